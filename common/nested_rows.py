"""Rows of reading comprehension (SQuAD, CMRC, DRCD, MRQA) → rows of one question and one answer.

    {"data": [{"title": …, "paragraphs": [{"context": …, "qas": [{"question": …, "answers": …}]}]}]}

The passage that an answer is taken from becomes the row's `context`, which is neither asked nor
learned (the reader says so), the title its section.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from common.language import either
from common.row_talks import RowError

_INSIDE = ("data", "paragraphs", "qas")  # from the outermost list to the innermost
# What the others call SQuAD's fields.
_NAMES = {
    **{"query_text": "question", "query": "question", "query_id": "id", "qid": "id"},
    **{"context_text": "context"},
}
_ABOVE = {"title": "section", "context": "context", "context_text": "context"}


def flat_rows(spot: str, row: Any) -> Iterator[tuple[str, Any]]:
    """The rows that stand in one, each with its place; a row of any other kind as it is."""
    if not isinstance(row, Mapping):
        yield spot, row
    elif is_nested(row):
        yield from _inside(spot, row, {})
    else:
        yield spot, _with_answer(row)


def is_nested(row: Mapping[str, Any]) -> bool:
    """Whether articles, paragraphs or questions are listed in it; rows under `data` are others'."""
    if isinstance(row.get("data"), list):
        articles = [each for each in row["data"] if isinstance(each, Mapping)]
        return bool(articles) and all(is_nested(each) for each in articles)
    return any(isinstance(row.get(name), list) for name in _INSIDE[1:])


def _inside(spot: str, row: Mapping[str, Any], above: Mapping[str, Any]) -> Iterator[Any]:
    above = {**above, **{_ABOVE[name]: row[name] for name in _ABOVE if row.get(name)}}
    for name in _INSIDE:
        for number, each in enumerate(row[name] if isinstance(row.get(name), list) else [], 1):
            place = f"{spot}, {name} {number}"
            if not isinstance(each, Mapping):
                kind = type(each).__name__
                yield (
                    place,
                    RowError(either(f"应是对象，而不是 {kind}", f"expected an object, got {kind}")),
                )
            elif name == "qas":
                named = {_NAMES.get(key, key): value for key, value in each.items()}
                yield place, _with_answer({**above, **named})
            else:
                yield from _inside(place, each, above)


def _with_answer(row: Mapping[str, Any]) -> Mapping[str, Any]:
    """The row with the first of its `answers` as its answer; the others stay where they differ."""
    if "question" not in row or "answers" not in row or {"answer", "reference"} & set(row):
        return row
    given = row["answers"]
    given = given.get("text") if isinstance(given, Mapping) else given
    given = [given] if isinstance(given, str) else given or []
    texts = [each.get("text") if isinstance(each, Mapping) else each for each in given]
    if not isinstance(given, list) or not all(isinstance(text, str) for text in texts):
        return row
    # A question that its text does not answer has none: an empty answer is left out, and said.
    others = list(dict.fromkeys(texts))[1:]
    rest = {name: value for name, value in row.items() if name != "answers"}
    return {**rest, "answer": texts[0] if texts else "", **({"answers": others} if others else {})}
