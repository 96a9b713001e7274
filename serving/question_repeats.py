"""Answers that only say their question again, which small models give instead of an answer."""

import re

# Single Chinese characters, and runs of Latin letters and digits.
_TOKEN = re.compile(r"[a-z0-9]+|[\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff]")
# What turns a question into a sentence and tells nothing.
_EMPTY = frozenset("因为是的了有会一些") | {"because", "the", "is", "are"}
# Questions that are answered by the words they are made of: yes or no, or one of several.
_CLOSED = re.compile(
    r"吗|是否|能否|可否|还是|哪(?:一?[个种类者项条边方]|些)|谁|有没有|([\u4e00-\u9fff])不\1"
    r"|^\s*(is|are|was|were|do|does|did|can|could|will|should|has|have)\b|\b(or|which)\b",
    re.IGNORECASE,
)
# Of a question's words, what an answer that repeats it has: a name chosen from the question has
# fewer.
_REPEATED = 0.5


def only_repeats(question: str, answer: str) -> bool:
    """Whether an answer has half of its question's words or more, and none of its own.

    Strict, because whoever asks throws the answer away and knows no right one. A report, which has
    a reference to hold it against, asks judging.scoring.repeats_question.
    """
    if _CLOSED.search(question):
        return False
    asked, said = _tokens(question), _tokens(answer)
    return bool(said) and said <= asked | _EMPTY and len(said & asked) >= _REPEATED * len(asked)


def _tokens(text: str) -> frozenset[str]:
    return frozenset(_TOKEN.findall(text.lower()))
