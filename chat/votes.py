"""Votes between answers: `report/chat/votes.csv`, a row a vote.

Columns: time (UTC, ISO 8601), question, blind, models and answers (each after the other, with a
line `===` between), winner (a model's name, `tie` or `none`).
"""

import csv
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from chat.csv_file import append, now

VOTES_NAME = "votes.csv"


def save_vote(directory: Path, told: Mapping[str, Any], winner: str) -> None:
    """Append a vote. told: question, blind, names and answers. Raises OSError."""
    row = {
        "time": now(),
        "question": told["question"],
        "blind": told["blind"],
        "models": "\n===\n".join(told["names"]),
        "answers": "\n===\n".join(told["answers"]),
        "winner": winner,
    }
    append(directory / VOTES_NAME, row)


def votes(directory: Path) -> dict[str, int]:
    """How often each model, `tie` and `none` won, the most first. Raises OSError."""
    with (directory / VOTES_NAME).open(encoding="utf-8", newline="") as stream:
        return dict(Counter(row["winner"] for row in csv.DictReader(stream)).most_common())
