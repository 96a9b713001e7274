"""What the steps of one build share."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from data.cache import Cache
from data.filters import Filters
from data.funnel import Funnel
from data.report import token_counter
from data.review import Reviewer
from data.settings import BuildSettings
from data.sources import PairSource


class Progress(Protocol):
    """What a build tells while it works; `data/cli/console.py` shows it."""

    def step(self, name: str, total: int | None = None) -> None:
        """A new step begins, of `total` parts where known."""

    def advance(self, count: int = 1) -> None:
        """So many parts of the step are done."""

    def tell(self, text: str) -> None:
        """A short line beside the step, such as the tokens used so far."""

    def warn(self, text: str) -> None:
        """Something the user should know."""


class NoProgress:
    """For callers that do not show any."""

    def step(self, name: str, total: int | None = None) -> None:
        """Nothing is shown."""

    def advance(self, count: int = 1) -> None:
        """Nothing is shown."""

    def tell(self, text: str) -> None:
        """Nothing is shown."""

    def warn(self, text: str) -> None:
        """Nothing is shown."""


@dataclass
class BuildContext:
    """Source, settings and cache of a build, and what it counts on the way.

    Raises ValueError for filters that do not exist and for a missing tokenizer.
    """

    source: PairSource
    settings: BuildSettings
    cache: Cache
    progress: Progress = field(default_factory=NoProgress)
    funnel: Funnel = field(default_factory=Funnel)
    reviewer: Reviewer | None = None
    to_compose: bool = False  # answers are stand-ins until `data compose` writes others
    filters: Filters = field(init=False)
    count_tokens: Callable[[Sequence[str]], list[int]] | None = field(init=False)

    def __post_init__(self) -> None:
        self.filters = Filters(frozenset(self.settings.filters_off))
        self.count_tokens = token_counter(self.settings.tokenizer)
