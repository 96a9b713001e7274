"""How a model's reply is read: whatever stands around the JSON, every usable pair is kept."""

import json
import re
from collections.abc import Iterator
from typing import Any

from common.column_names import column_roles
from common.json_reply import (
    ReplyError,
    json_values,
    reply_json,
    with_escapes,
    without_thoughts,
)
from data.code_lines import is_code
from data.records import CODE, Chunk, Pair, pair_at
from data.sources.prompts import TALK

_DEPTH = 4  # objects and lists around the pairs, and JSON written as a string


def read_reply(text: str, chunk: Chunk, source: str, count: int) -> list[Pair]:
    """The pairs of a reply, at most `count`. Raises ReplyError saying what is wrong.

    Thoughts, code fences and prose around the JSON are passed over; a bare list, one bare pair,
    other names for question and answer, and the whole pairs of a reply that was cut off count as
    well; null fields are absent ones; quotes and commas that break the JSON are mended.
    """
    values, broken = _values(text)
    rows = [row for value in values for row in _rows(value, _DEPTH)]
    pairs = [pair for row in rows if (pair := _pair(row, chunk, source))]
    if mended := _mended(text):
        others = [p for row in _rows(mended, _DEPTH) if (p := _pair(row, chunk, source))]
        pairs = max(pairs, others, key=len)
    if pairs:
        return pairs[:count]
    if broken:
        raise broken
    if any(isinstance(v, dict) and v.get("pairs") == [] for v in values) or values == [[]]:
        return []
    shown = f"no pair with question and answer: {rows[0]!r:.80}" if rows else ""
    raise ReplyError(f"JSON of another shape ({shown or f'begins {text.strip()[:60]!r}'})")


def _values(text: str) -> tuple[list[Any], ReplyError | None]:
    try:
        return reply_json(text), None
    except ReplyError as error:
        try:
            whole = json.loads(without_thoughts(text).strip() or "null")
        except ValueError:
            whole = None
        return ([whole], None) if isinstance(whole, str) else ([], error)


def _mended(text: str) -> Any:
    """The JSON of a reply whose quotes or commas break it; None where it is whole, or cut off: its
    end would be made up."""
    text = without_thoughts(text).strip().strip("`").strip()
    start = re.search(r"[{\[]", text)
    if not start or text[-1] not in "}]":
        return None
    try:
        json.loads(with_escapes(text[start.start() :]), strict=False)
    except json.JSONDecodeError:
        import json_repair

        return json_repair.loads(with_escapes(text[start.start() :])) or None
    return None


def _rows(value: Any, depth: int) -> Iterator[dict[str, Any]]:
    """The objects that may be pairs: alone, in a list, or under any name."""
    if isinstance(value, dict):
        if _said(value, "question"):
            yield value
            return
        inside = [value["pairs"]] if value.get("pairs") else [*value.values()]
    elif isinstance(value, list):
        inside = value
    elif isinstance(value, str) and value.lstrip()[:1] in ("{", "["):
        inside = [*json_values(value)]
    else:
        return
    for each in inside if depth else ():
        yield from _rows(each, depth - 1)


def _said(row: dict[str, Any], name: str) -> str:
    """The question or answer of an object, whatever it calls it; "" for none."""
    value = row.get(name)
    if value is None:
        names, roles = [*row], column_roles(map(str, row))
        places = roles.questions if name == "question" else [roles.best_answer]
        value = row[names[places[0]]] if places and places[0] >= 0 else None
    if name == "question" and isinstance(value, list):  # all questions of the reply in one list
        return ""
    if row.get(name) is None:
        below = row.get("input")  # of Alpaca's rows
        if name == "question" and "instruction" in row and _text(below):
            return f"{_text(value)}\n{_text(below)}"
    return _text(value)


def _text(value: Any) -> str:
    """Words, a number, or a list of words as a text; "" for anything else."""
    if isinstance(value, list):
        return "\n".join(filter(None, map(_text, value)))
    if isinstance(value, int | float) and not isinstance(value, bool):
        return str(value)
    return value.strip() if isinstance(value, str) else ""


def kind_of_answer(kind: str, answer: str) -> str:
    """The kind that a pair is given: code is an answer of code alone, whatever was asked for."""
    return "other" if kind == CODE and not is_code(answer) else kind


def _pair(row: dict[str, Any], chunk: Chunk, source: str) -> Pair | None:
    question, answer = _said(row, "question"), _said(row, "answer")
    if len(question) < 2 or (len(answer) < 2 and not answer.isdigit()):
        return None
    kind = kind_of_answer(_text(row.get("kind")) or "other", answer)
    place = row.get("block")
    known = isinstance(place, int) and 0 <= place < len(chunk.blocks)
    block = chunk.blocks[place] if known else None
    pair = pair_at(chunk, question, answer, kind, source, block)
    pair.train_only = row.get("train_only") is True
    given = row.get("wordings")
    texts = given if isinstance(given, list) else [given]
    pair.wordings = tuple(filter(None, map(_wording, texts)))
    turns = row.get("turns")
    if isinstance(turns, list) and kind == TALK:
        said = [(_said(t, "question"), _said(t, "answer")) for t in turns if isinstance(t, dict)]
        pair.history = tuple((q, a) for q, a in said if q and a)
        pair.wordings = ()
    return None if kind == TALK and not pair.history else pair


def _wording(value: Any) -> str:
    """Another wording, as a text or as the only text of an object."""
    if isinstance(value, dict) and len(value) == 1:
        value = next(iter(value.values()))
    return value.strip() if isinstance(value, str) else ""
