"""What the service and its engines' processes say to each other (several.py, worker.py).

Pickled: both ends are this service's own. None, too: the process is to end.
"""

from dataclasses import dataclass, field
from typing import Any

from serving.engine.base import Answer
from serving.engine.shares import Share
from serving.settings import Settings


@dataclass(frozen=True)
class Start:
    """The first message: what to load. hold: import the libraries, then wait for `Go`."""

    settings: Settings
    share: Share
    hold: bool = False


@dataclass(frozen=True)
class Go:
    """The engines before this one have loaded: it is its turn."""


@dataclass(frozen=True)
class Part:
    """Questions of one batch: `Batch`'s fields. call: a number that stands for the HTTP call."""

    number: int
    prompts: list[list[int]]
    max_tokens: list[int]
    deadline: float
    call: int
    ignore_eos: bool
    draw_temperature: float | None = None


@dataclass(frozen=True)
class Deadline:
    """A part's deadline was brought forward, or its caller is gone."""

    number: int
    deadline: float
    cancelled: bool


@dataclass(frozen=True)
class GiveBack:
    """Questions that have not begun are wanted by an engine that has nothing to do."""

    count: int


@dataclass(frozen=True)
class ResetPrefixCache:
    """For measurements: forget the prompts that were answered."""


@dataclass(frozen=True)
class Ready:
    """The engine has loaded."""

    info: dict[str, Any]
    max_model_len: int
    warmup_questions: int


@dataclass(frozen=True)
class Failed:
    """The engine does not start. hopeless: a ModelError."""

    reason: str
    hopeless: bool


@dataclass
class Report:
    """What has happened: answers by part and place; what a lost engine had written of others;
    questions given back (when some were wanted; maybe none); and the engine's figures."""

    answers: list[tuple[int, int, Answer]] = field(default_factory=list)
    partial: list[tuple[int, int, Answer]] = field(default_factory=list)
    given_back: list[tuple[int, int]] | None = None
    stats: dict[str, float] = field(default_factory=dict)
    recovering: bool = False
