"""Rows of reading comprehension (SQuAD, CMRC, DRCD, MRQA) → rows of one question and one answer.

    {"data": [{"title": …, "paragraphs": [{"context": …, "qas": [{"question": …, "answers": …}]}]}]}

The passage that an answer is taken from becomes the row's `context`, which is neither asked nor
learned (the reader says so), the title its section.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from common.column_names import column_roles
from common.row_formats import LAYOUTS
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
    """Whether articles, paragraphs or questions are listed in it; rows under `data` are others'.

    Never where it has a question and an answer itself: the list beside them is its evidence.
    """
    roles = column_roles(row)
    if (roles.questions and roles.answers) or any(each.answer_of(row) for each in LAYOUTS):
        return False
    if isinstance(row.get("data"), list):
        articles = [each for each in row["data"] if isinstance(each, Mapping)]
        return bool(articles) and all(is_nested(each) for each in articles)
    return any(isinstance(row.get(name), list) for name in _INSIDE[1:])


def _inside(spot: str, row: Mapping[str, Any], above: Mapping[str, Any]) -> Iterator[Any]:
    above = {**above, **{_ABOVE[name]: row[name] for name in _ABOVE if row.get(name)}}
    listed = [name for name in _INSIDE if isinstance(row.get(name), list)]
    if not any(row[name] for name in listed) and "qas" not in listed:
        yield spot, RowError("里面没有 qas 列表", "no list called qas is in it")
    for name in listed:
        for number, each in enumerate(row[name], 1):
            place = f"{spot}, {name} {number}"
            if not isinstance(each, Mapping):
                kind = type(each).__name__
                yield (
                    place,
                    RowError(f"应是对象，而不是 {kind}", f"expected an object, got {kind}"),
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
    given = [] if given is None else [given] if isinstance(given, str) else given
    if not isinstance(given, list):
        return row
    texts = [each.get("text") if isinstance(each, Mapping) else each for each in given]
    if not all(isinstance(text, str) for text in texts):
        return row
    # A question that its text does not answer has none: an empty answer is left out, and said.
    others = list(dict.fromkeys(texts))[1:]
    rest = {name: value for name, value in row.items() if name != "answers"}
    return {**rest, "answer": texts[0] if texts else "", **({"answers": others} if others else {})}
