"""How a local model is asked, and what it was asked about."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from data.sources.spans import Span

Chat = list[dict[str, str]]
# (chats, tokens of a reply, replies to each, temperature) -> replies of each chat, in order.
Ask = Callable[[Sequence[Chat], int, int, float], list[list[str]]]
ANSWER_TOKENS = 512


@dataclass(frozen=True)
class Asked:
    """A span and the questions to it, the best first."""

    span: Span
    questions: tuple[str, ...]
