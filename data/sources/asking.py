"""How a local model is asked, and what it was asked about."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from common.prompting import SYSTEM_PROMPT, messages_for
from data.sources.spans import Span
from retrieval.examples import examples_of, turns_of
from retrieval.passages import Passage
from retrieval.prompt import with_passages

Chat = list[dict[str, str]]
# (chats, tokens of a reply, replies to each, temperature) -> replies of each chat, in order.
Ask = Callable[[Sequence[Chat], int, int, float], list[list[str]]]
ANSWER_TOKENS = 512


@dataclass(frozen=True)
class Asked:
    """A span and the questions to it, the best first."""

    span: Span
    questions: tuple[str, ...]


def chat_of(question: str, passages: Sequence[Passage], examples: bool) -> Chat:
    """How an answer is asked for: worked examples, then passages (best first) and the question."""
    history = turns_of(examples_of(examples))
    return messages_for(with_passages(question, passages), SYSTEM_PROMPT, history)
