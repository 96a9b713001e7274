"""Worked examples: turns of the talk before every question, each passages, a question and its
answer (RETRIEVAL_EXAMPLES of the service, retrieval_examples of a recipe).
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from retrieval.passages import Passage
from retrieval.prompt import with_passages

# Two about other subjects, in prose and with code; scores: docs/retrieval.md.
OWN = Path(__file__).with_name("examples.jsonl")


@dataclass(frozen=True)
class Example:
    """passages: as they are shown, best first. answer: what a good model would say."""

    passages: tuple[str, ...]
    question: str
    answer: str

    @property
    def turn(self) -> tuple[str, str]:
        """The user's and the assistant's message."""
        shown = [Passage("", "", (), 0, 0, text) for text in self.passages]
        return with_passages(self.question, shown), self.answer


def examples_path(choice: bool | Path) -> Path | None:
    """The file that a setting names: true is the kit's own, false none."""
    return OWN if choice is True else choice or None


def examples_of(choice: bool | Path) -> list[Example]:
    """The examples that a setting asks for; [] for false.

    Raises OSError, or ValueError with a line for each row that cannot be used, by its field.
    """
    path = examples_path(choice)
    if path is None:
        return []
    try:
        lines = path.read_text(encoding="utf-8-sig").split("\n")
    except UnicodeDecodeError as error:
        raise ValueError(f"{path}: not UTF-8; save it as UTF-8") from error
    rows = [(number, line) for number, line in enumerate(lines, 1) if line.strip()]
    examples, wrong = [], []
    for number, line in rows:
        try:
            examples.append(_example(json.loads(line)))
        except ValueError as error:  # of json.loads as well
            wrong.append(f"{path}, line {number}: {error}")
    if wrong or not rows:
        raise ValueError("\n".join(wrong) or f"{path}: no example in it")
    return examples


def turns_of(examples: Sequence[Example]) -> tuple[tuple[str, str], ...]:
    """The (user, assistant) turns that stand before a question."""
    return tuple(example.turn for example in examples)


def _example(row: object) -> Example:
    if not isinstance(row, dict):
        raise ValueError("expected an object with passages, question and answer")
    for name in ("question", "answer"):
        if not isinstance(row.get(name), str) or not row[name].strip():
            raise ValueError(f"{name}: expected a text that is not empty")
    passages = row.get("passages")
    good = isinstance(passages, list) and all(isinstance(p, str) and p.strip() for p in passages)
    if not good or not passages:
        raise ValueError("passages: expected a list of texts, at least one, none empty")
    return Example(tuple(passages), row["question"], row["answer"])
