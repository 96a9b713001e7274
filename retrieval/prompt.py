"""How passages stand before a question: one form, for the service and for training on passages.

The best passage stands last, next to the question: small models follow what they read last.
"""

from collections.abc import Callable, Sequence

from retrieval.passages import Passage

FORM = (
    "教材片段：\n{passages}\n\n根据教材片段，直接回答问题"
    "（写全主语，用教材的术语、标识符和数字；问代码时给出核心代码）：{question}"
)
BETWEEN = "\n---\n"


def with_passages(question: str, passages: Sequence[Passage]) -> str:
    """The user's turn: passages (best first), then the question; without passages the question."""
    if not passages:
        return question
    shown = BETWEEN.join(passage.indexed_text for passage in reversed(passages))
    # Not str.format on the whole: braces of code are text.
    head, tail = FORM.split("{passages}")
    return head + shown + tail.replace("{question}", question)


def fitting(
    passages: Sequence[Passage], tokens: Callable[[str], int], budget: int
) -> list[Passage]:
    """The first passages (best first) whose texts have at most `budget` tokens together.

    One that is too long is left out and the next one tried: half a passage may say the opposite of
    the whole.
    """
    chosen = []
    for passage in passages:
        size = tokens(passage.indexed_text + BETWEEN)
        if size <= budget:
            chosen.append(passage)
            budget -= size
    return chosen
