"""Question-answer pairs from jsonl, in either form that `data/` and its users write.

One row is `{"question": …, "answer": …}`, with `rephrasings` (other wordings of the question)
and `id` if it has them, or chat `{"messages": [… user, assistant]}`.
"""

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError


class Pair(BaseModel):
    """One answer and the ways to ask for it; `question` is the first of them."""

    model_config = ConfigDict(extra="ignore", str_strip_whitespace=True)

    question: str = Field(min_length=1)
    answer: str = Field(min_length=1)
    rephrasings: list[str] = []
    id: str = ""
    group: str = ""  # of one fact; `data` writes each wording as a row of its own

    @property
    def wordings(self) -> list[str]:
        """Every distinct wording of the question, the original first."""
        return list(dict.fromkeys([self.question, *filter(None, self.rephrasings)]))


class PairsError(ValueError):
    """Rows that cannot be used; the message names file and line of each."""


def by_fact(pairs: Iterable[Pair]) -> list[Pair]:
    """Rows of one group and answer as one pair with several wordings, in the rows' order."""
    facts: dict[tuple[str, str], Pair] = {}
    for number, pair in enumerate(pairs):
        key = (pair.group or f"row {number}", pair.answer)
        first = facts.setdefault(key, pair)
        if first is not pair:
            facts[key] = first.model_copy(
                update={"rephrasings": [*first.rephrasings, *pair.wordings]}
            )
    return list(facts.values())


def _as_pair(row: Any) -> Pair:
    """A Pair from one decoded row. Raises ValueError saying what the row lacks."""
    if not isinstance(row, dict):
        raise ValueError(f"expected a JSON object, found {type(row).__name__}")
    if "messages" not in row:
        return Pair.model_validate(row)
    messages = row["messages"]
    if not isinstance(messages, list) or not all(isinstance(m, dict) for m in messages):
        raise ValueError("messages: expected a list of objects with role and content")
    said = {m.get("role"): m.get("content") for m in messages}  # the last of each role
    missing = [role for role in ("user", "assistant") if not said.get(role)]
    if missing:
        raise ValueError(f"messages: no {' and no '.join(missing)} message")
    identity, group = str(row.get("id", "")), str(row.get("group") or "")
    return Pair(question=said["user"], answer=said["assistant"], id=identity, group=group)


def _reason(error: ValueError) -> str:
    """One line for an error of one row; pydantic's own text takes many."""
    if isinstance(error, ValidationError):
        return "; ".join(f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors())
    return str(error)


def read_pairs(paths: Iterable[Path], limit: int | None = None) -> list[Pair]:
    """The pairs of all files in order, at most `limit`; blank lines are skipped.

    Raises PairsError naming file and line of every bad row (the first ten), or a file that is
    missing or has no row.
    """
    pairs: list[Pair] = []
    problems: list[str] = []
    for path in paths:
        if not path.is_file():
            raise PairsError(f"{path}: no such file; give --pairs a .jsonl file")
        before = len(pairs) + len(problems)
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
            if not line.strip():
                continue
            try:
                pairs.append(_as_pair(json.loads(line)))
            except ValueError as error:  # JSONDecodeError and ValidationError are ValueErrors
                problems.append(f"{path}:{number}: {_reason(error)}")
        if len(pairs) + len(problems) == before:
            raise PairsError(f"{path}: no rows; expected one JSON object a line")
    if problems:
        more = f"\n… and {len(problems) - 10} more" if len(problems) > 10 else ""
        raise PairsError("\n".join(problems[:10]) + more)
    return pairs[:limit]
