"""Of two pairs on one thing, one of which holds the other's answer, the fuller one stays."""

import re
from collections.abc import Iterable, Iterator

from data.records import Pair
from data.sources.rules.named import subjects
from data.sources.rules.nouns import core

# Kinds whose questions all ask what one thing is or does, in different words.
_ONE_QUESTION = ("definition", "explain", "purpose", "api")
_FIELD = re.compile(r"^[^，。]{1,24}? ?中(?:的)?\s*(?=\S)")


def held_by_fuller(pairs: Iterable[Pair]) -> Iterator[tuple[Pair, Pair]]:
    """Each of the rules' pairs whose answer begins that of another on the same thing, with that.

    什么是 X？ and 请简要介绍 X。 of one paragraph teach the same sentence twice. Asked after the
    filters, which may have dropped the fuller one.
    """
    by_subject: dict[tuple[str, str], list[Pair]] = {}
    for pair in pairs:
        if pair.source == "rules" and pair.kind in _ONE_QUESTION and _subject(pair.question):
            by_subject.setdefault((pair.book, _subject(pair.question)), []).append(pair)
    for same in by_subject.values():
        fullest = max(same, key=lambda pair: len(pair.answer))
        for pair in same:
            said = _bare(pair.answer)
            if len(said) < len(_bare(fullest.answer)) and _bare(fullest.answer).startswith(said):
                yield pair, fullest


def _subject(question: str) -> str:
    """What a question asks about, without its field and the word for its sort."""
    asked = subjects(question)
    name = _FIELD.sub("", asked[0]) if len(asked) == 1 else ""
    return core(re.sub(r"\s*(?:命令|函数|协议|工具|的?用法)$", "", name)).lower()


def _bare(answer: str) -> str:
    return re.sub(r"[\s。]", "", answer)
