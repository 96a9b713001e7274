"""Answers to the dev questions by step of training, as files: samples/step-0.jsonl is the base."""

import json
from collections.abc import Sequence
from pathlib import Path

from common.pairs import Pair


def sample_path(out: Path, step: int) -> Path:
    """Where the answers of a step lie; 0: before the first one."""
    return out / "samples" / f"step-{step}.jsonl"


def write_sample(out: Path, step: int, rows: Sequence[Pair], answers: Sequence[str]) -> None:
    """Write the answers of a step, a line each; a kill leaves the file whole or missing."""
    path = sample_path(out, step)
    path.parent.mkdir(parents=True, exist_ok=True)
    texts = [
        {"question": row.question, "reference": row.answer, "answer": answer}
        for row, answer in zip(rows, answers, strict=True)
    ]
    part = path.with_suffix(".part")
    part.write_text("".join(json.dumps(t, ensure_ascii=False) + "\n" for t in texts), "utf-8")
    part.replace(path)


def read_rows(out: Path, step: int) -> list[dict[str, str]]:
    """`question`, `reference` and `answer` of each dev row at a step. Raises OSError."""
    lines = sample_path(out, step).read_text(encoding="utf-8").rstrip("\n").split("\n")
    return [json.loads(line) for line in lines]


def read_sample(out: Path, step: int, rows: Sequence[Pair]) -> list[str] | None:
    """The answers of a step; None where there are none for exactly these rows."""
    if not sample_path(out, step).is_file():
        return None
    found = read_rows(out, step)
    if [(r["question"], r["reference"]) for r in found] != [(r.question, r.answer) for r in rows]:
        return None
    return [row["answer"] for row in found]


def remove_samples(out: Path) -> None:
    """Remove the answers of an earlier run, which would pass for epochs of the next."""
    for path in (out / "samples").glob("step-*.jsonl"):
        path.unlink()
