"""Load an export in vLLM, ask it dev questions, compare with the unquantized model."""

from dataclasses import asdict, dataclass, replace
from pathlib import Path

from common.manifest import read_manifest, write_manifest
from common.pairs import Pair
from judging.scoring import score_answers
from train.base import weight_bytes
from train.served import serve


@dataclass(frozen=True)
class Checked:
    """One model directory served and judged on the dev rows (judge's accuracy, its ceiling)."""

    name: str
    score: float
    ceiling: float
    same_answers: float
    empty: int
    bytes: int
    load_seconds: float
    answer_seconds: float
    drop: float
    passed: bool


def ask_model(
    directory: Path, rows: list[Pair], python: Path, reference: "Asked | None" = None
) -> "Asked":
    """Serve a directory and ask it the rows' questions. Raises ModelError when it cannot serve."""
    with serve(directory, python) as served:
        replies = served.answers([row.question for row in rows])
        return Asked(directory, replies.answers, served.load_seconds, replies.total_seconds)


@dataclass(frozen=True)
class Asked:
    """Answers of one served model directory."""

    directory: Path
    answers: list[str]
    load_seconds: float
    answer_seconds: float


def check(
    merged: Path,
    exports: list[Path],
    rows: list[Pair],
    python: Path,
    max_drop: float,
    base: Path | None = None,
) -> list[Checked]:
    """Check each export against the merged model; scores go into the manifests.

    An export fails when its score lies more than `max_drop` below the merged model's. `base`, when
    given, is asked first, to show what training brought; it cannot fail.
    """
    before = [ask_model(base, rows, python)] if base else []
    full = ask_model(merged, rows, python)
    results = [_checked(full, full, rows, max_drop)]
    results += [
        _checked(ask_model(export, rows, python), full, rows, max_drop) for export in exports
    ]
    for directory, result in zip([merged, *exports], results, strict=True):
        _record(directory, result)
    first = [_checked(asked, full, rows, max_drop) for asked in before]
    return [replace(result, name="base", passed=True) for result in first] + results


def _checked(asked: Asked, base: Asked, rows: list[Pair], max_drop: float) -> Checked:
    references = [row.answer for row in rows]
    scores = score_answers(references, asked.answers)
    drop = score_answers(references, base.answers).accuracy - scores.accuracy
    same = sum(a == b for a, b in zip(asked.answers, base.answers, strict=True)) / len(rows)
    return Checked(
        name=asked.directory.name,
        score=scores.accuracy,
        ceiling=scores.ceiling,
        same_answers=same,
        empty=scores.empty,
        bytes=weight_bytes(asked.directory),
        load_seconds=asked.load_seconds,
        answer_seconds=asked.answer_seconds,
        drop=drop,
        passed=drop <= max_drop and scores.empty < len(rows),
    )


def _record(directory: Path, result: Checked) -> None:
    manifest = read_manifest(directory)
    if manifest is None:
        return
    manifest.scores |= {"dev_judge": result.score, "dev_ceiling": result.ceiling}
    manifest.scores["dev_same_answers"] = result.same_answers
    manifest.settings["check"] = asdict(result)
    write_manifest(directory, manifest)
