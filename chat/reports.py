"""The judge's reports and comparisons of several models, read into one shape."""

import json
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

COMPARISON_NAME, SUMMARY_NAME, ANSWERS_NAME = "comparison.json", "summary.json", "answers.jsonl"
FOLDERS = ("report", "out", "model")


@dataclass(frozen=True)
class Asked:
    """A question with what each model answered and scored. extra: ceiling, missed words, …"""

    testset: str
    section: str
    question: str
    reference: str
    answers: dict[str, str]
    scores: dict[str, float]
    extra: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Report:
    """One judgement, or a comparison. numbers: a row a model and test set, for the table; margin:
    half the 95 % interval of its score, None where it is not known. failures: why the judge would
    fail it. conclusion: what the local judge wrote, `zh`, `en` and the next `command`."""

    id: str
    created: str
    models: list[str]
    numbers: list[dict[str, Any]]
    demo: bool
    path: Path
    failures: list[str] = field(default_factory=list)
    conclusion: dict[str, str] = field(default_factory=dict)


def find_reports(root: Path) -> tuple[list[Report], list[str]]:
    """All reports and comparisons, the newest first, and what could not be read, in words."""
    found, problems = [], []
    for path in _files(root):
        try:
            found.append(_read(path, root))
        except (OSError, ValueError, KeyError, TypeError) as error:
            problems.append(f"{path.relative_to(root)}: {error!r}")
    return sorted(found, key=lambda report: report.created, reverse=True), problems


def questions_of(report: Report) -> list[Asked]:
    """Every question of a report. Raises ValueError naming the file, OSError."""
    try:
        if report.path.name == COMPARISON_NAME:
            told = json.loads(report.path.read_text(encoding="utf-8"))
            return [
                Asked(q["testset"], "", q["question"], q["reference"], q["answers"], q["scores"])
                for q in told["questions"]
            ]
        lines = (report.path.parent / ANSWERS_NAME).read_text(encoding="utf-8").split("\n")
        rows = [json.loads(line) for line in lines if line]
        (model,) = report.models
        return [
            Asked(
                row["testset"],
                row["section"],
                row["question"],
                row["reference"],
                {model: row["answer"] or ""},
                {model: row["score"]},
                {key: row.get(key) for key in ("ceiling", "missed", "stray", "seconds", "where")},
            )
            for row in rows
        ]
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(f"{report.path}: {error!r}") from error


def beside(first: list[Asked], second: list[Asked], name: str) -> list[Asked]:
    """The first report's questions, with the answers of the report `name` where it was asked the
    same: the same words with the same reference, whatever the file was called."""
    more = {(asked.question, asked.reference): asked for asked in second}
    found = []
    for asked in first:
        if also := more.get((asked.question, asked.reference)):
            # The same model judged twice has the same name in both.
            answers = {f"{model} ({name})": text for model, text in also.answers.items()}
            scores = {f"{model} ({name})": score for model, score in also.scores.items()}
            asked = replace(asked, answers=asked.answers | answers, scores=asked.scores | scores)
        found.append(asked)
    return found


def _files(root: Path) -> Iterator[Path]:
    for folder in FOLDERS:
        for depth in ("*", "*/*"):
            for name in (SUMMARY_NAME, COMPARISON_NAME):
                yield from sorted((root / folder).glob(f"{depth}/{name}"))


def _read(path: Path, root: Path) -> Report:
    told = json.loads(path.read_text(encoding="utf-8"))
    name = path.parent.relative_to(root).as_posix()
    if path.name == COMPARISON_NAME:
        keys = ("model", "testset", "score", "ceiling", "echo", "speed")
        rows = [{key: result.get(key) for key in keys} for result in told["results"]]
        for row, result in zip(rows, told["results"], strict=True):
            low, high = result.get("low"), result.get("high")
            row["margin"] = None if low is None or high is None else (high - low) / 2
        created = _time(path)
        models = list(told["models"])
        demo = any(result.get("demo") for result in told["results"])
    else:
        rows = [
            {
                "model": told["model"],
                "testset": each["name"],
                "score": each["accuracy"],
                "margin": 1.96 * each["stderr"] if each.get("stderr") is not None else None,
                "ceiling": each["ceiling"],
                "echo": each["echo"],
                "speed": each["speed"],
            }
            for each in told["testsets"]
        ]
        created = str(told["created"])
        models, demo = [str(told["model"])], bool(told["demo"])
    failures = [str(each) for each in told.get("failures") or []]
    said = told.get("conclusion")
    conclusion = {k: str(v) for k, v in said.items()} if isinstance(said, dict) else {}
    return Report(name, created, models, rows, demo, path, failures, conclusion)


def _time(path: Path) -> str:
    stamp = datetime.fromtimestamp(path.stat().st_mtime, timezone.utc)
    return stamp.isoformat(timespec="seconds")
