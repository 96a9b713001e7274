"""How a model's reply is read: whatever stands around the JSON, every usable pair is kept."""

from typing import Any

from common.json_reply import ReplyError, reply_json
from data.records import CODE, Chunk, Pair, pair_at
from data.sources.prompts import TALK
from data.text import is_code

_NAMES = {"问题": "question", "答案": "answer", "q": "question", "a": "answer"}


def read_reply(text: str, chunk: Chunk, source: str, count: int) -> list[Pair]:
    """The pairs of a reply, at most `count`. Raises ReplyError saying what is wrong.

    Thoughts, code fences and prose around the JSON are passed over; a bare list, one bare pair
    and the whole pairs of a reply that was cut off count as well; null fields are absent ones.
    """
    values = reply_json(text)
    rows = [row for value in values for row in _rows(value)]
    if not rows:
        if any(isinstance(v, dict) and v.get("pairs") == [] for v in values) or values == [[]]:
            return []
        raise ReplyError(f"JSON of another shape (begins {text.strip()[:60]!r})")
    pairs = [pair for row in rows if (pair := _pair(row, chunk, source))]
    if not pairs:
        raise ReplyError(
            f"JSON of another shape (no pair with question and answer: {rows[0]!r:.80})"
        )
    return pairs[:count]


def _rows(value: Any) -> list[dict[str, Any]]:
    """The objects that may be pairs: in a list, under "pairs" or any other name, or one alone."""
    if isinstance(value, list):
        return [row for row in value if isinstance(row, dict)]
    if not isinstance(value, dict):
        return []
    if _said(value, "question"):
        return [value]
    for held in [value.get("pairs"), *value.values()]:
        if isinstance(held, list) and any(isinstance(row, dict) for row in held):
            return [row for row in held if isinstance(row, dict)]
    return []


def _said(row: dict[str, Any], name: str) -> str:
    named = {_NAMES.get(key, key): value for key, value in row.items()}
    value = named.get(name)
    return value.strip() if isinstance(value, str) else ""


def kind_of_answer(kind: str, answer: str) -> str:
    """The kind that a pair is given: code is an answer of code alone, whatever was asked for."""
    return "other" if kind == CODE and not is_code(answer) else kind


def _pair(row: dict[str, Any], chunk: Chunk, source: str) -> Pair | None:
    question, answer = _said(row, "question"), _said(row, "answer")
    if len(question) < 2 or len(answer) < 2:
        return None
    kind = kind_of_answer(_said(row, "kind") or "other", answer)
    pair = pair_at(chunk, question, answer, kind, source)
    given = row.get("wordings")
    texts = [w.strip() for w in given if isinstance(w, str)] if isinstance(given, list) else []
    pair.wordings = tuple(filter(None, texts))
    turns = row.get("turns")
    if isinstance(turns, list) and kind == TALK:
        said = [(_said(t, "question"), _said(t, "answer")) for t in turns if isinstance(t, dict)]
        pair.history = tuple((q, a) for q, a in said if q and a)
        pair.wordings = ()
    return None if kind == TALK and not pair.history else pair
