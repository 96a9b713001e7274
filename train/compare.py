"""Did it help? Several models served in turn, judged on the same test sets, side by side."""

import json
import random
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from html import escape
from pathlib import Path
from typing import Any

from answering.manifest import read_manifest
from judging.questions import read_testset
from judging.scoring import score_answers, speed
from train.base import ModelError, weight_bytes
from train.served import serve

RESAMPLES = 2000
TIE = 1e-9


@dataclass(frozen=True)
class Judged:
    """One model on one test set; scores are the judge's, `low` … `high` their 95 % interval."""

    model: str
    testset: str
    demo: bool
    score: float
    low: float
    high: float
    ceiling: float
    echo: float | None
    chinese: float
    speed: float
    load_seconds: float
    peak_bytes: int
    weight_bytes: int
    wins: int
    losses: int
    difference: float
    difference_low: float
    difference_high: float


@dataclass(frozen=True)
class Comparison:
    """All results, the first model being what the others are compared with, and the answers."""

    results: list[Judged]
    questions: list[dict[str, Any]]
    out: Path


def bootstrap(values: Sequence[float], seed: int = 0) -> tuple[float, float]:
    """95 % interval of a mean by resampling questions (Efron 1979, percentile method)."""
    rng = random.Random(seed)
    size = len(values)
    means = sorted(sum(rng.choices(values, k=size)) / size for _ in range(RESAMPLES))
    return means[int(0.025 * RESAMPLES)], means[int(0.975 * RESAMPLES) - 1]


def compare_models(models: list[Path], testsets: list[Path], out: Path, python: Path) -> Comparison:
    """Serve and judge each model on each test set; writes comparison.json and comparison.html.

    Raises ModelError when there is nothing to compare or a model cannot be served.
    """
    if len(models) < 2:
        raise ModelError("give at least two models: BASE TUNED")
    sets = [read_testset(path) for path in testsets]
    results: list[Judged] = []
    questions: list[dict[str, Any]] = []
    first: list[Any] = []
    for model in models:
        with serve(model, python) as served:
            asked = [served.answers([q.question for q in s.questions]) for s in sets]
        manifest = read_manifest(model)
        for index, (testset, replies) in enumerate(zip(sets, asked, strict=True)):
            texts = [q.question for q in testset.questions]
            scores = score_answers([q.reference for q in testset.questions], replies.answers, texts)
            values = [item.score for item in scores.items]
            if model is models[0]:
                first.append(values)
                questions += [
                    {"testset": testset.name, "question": q.question, "reference": q.reference}
                    | {"answers": {}, "scores": {}}
                    for q in testset.questions
                ]
            offset = sum(len(s.questions) for s in sets[:index])
            for number, (answer, value) in enumerate(zip(replies.answers, values, strict=True)):
                row = questions[offset + number]
                row["answers"][str(model)], row["scores"][str(model)] = answer, value
            gains = [b - a for a, b in zip(first[index], values, strict=True)]
            results.append(
                Judged(
                    str(model),
                    testset.name,
                    bool(manifest and manifest.demo),
                    scores.accuracy,
                    *bootstrap(values),
                    scores.ceiling,
                    scores.echo,
                    scores.chinese,
                    speed(sum(map(len, replies.answers)), replies.total_seconds),
                    served.load_seconds,
                    served.peak_bytes,
                    weight_bytes(model),
                    sum(g > TIE for g in gains),
                    sum(g < -TIE for g in gains),
                    sum(gains) / len(gains),
                    *bootstrap(gains),
                )
            )
    comparison = Comparison(results, questions, out)
    out.mkdir(parents=True, exist_ok=True)
    told = {"results": [asdict(r) for r in results], "questions": questions}
    (out / "comparison.json").write_text(
        json.dumps(told, ensure_ascii=False, indent=1), encoding="utf-8"
    )
    (out / "comparison.html").write_text(_page(comparison, models), encoding="utf-8")
    return comparison


def print_comparison(comparison: Comparison, console: Any) -> None:
    """The table, and where the report is."""
    from rich.table import Table

    table = Table(title="judge's score with its 95 % interval")
    for column in _COLUMNS:
        table.add_column(column)
    for row in comparison.results:
        table.add_row(*_cells(row))
    console.print(table)
    console.print(f"per question: {comparison.out / 'comparison.html'}")


_COLUMNS = ("model", "test set", "score", "ceiling", "echo", "Chinese-aware", "against the first",
            "won / lost", "characters/s", "load s", "memory MB", "weights MB")  # fmt: skip


def _cells(row: Judged) -> list[str]:
    low, high = row.difference_low, row.difference_high
    return [
        row.model + (" (demo)" if row.demo else ""),
        row.testset,
        f"{row.score:.3f} [{row.low:.3f}, {row.high:.3f}]",
        f"{row.ceiling:.3f}",
        "" if row.echo is None else f"{row.echo:.3f}",
        f"{row.chinese:.3f}",
        f"{row.difference:+.3f} [{low:+.3f}, {high:+.3f}]",
        f"{row.wins} / {row.losses}",
        f"{row.speed:.0f}",
        f"{row.load_seconds:.0f}",
        f"{row.peak_bytes / 1e6:.0f}",
        f"{row.weight_bytes / 1e6:.1f}",
    ]


def _page(comparison: Comparison, models: list[Path]) -> str:
    names = [str(model) for model in models]

    def cells(values: Sequence[str], tag: str = "td") -> str:
        return "<tr>" + "".join(f"<{tag}>{escape(v)}</{tag}>" for v in values) + "</tr>"

    def gain(row: dict[str, Any]) -> float:
        return float(row["scores"][names[-1]] - row["scores"][names[0]])

    head = cells(_COLUMNS, "th")
    table = "".join(cells(_cells(row)) for row in comparison.results)
    listed = [cells(["gain", "question", "reference", *names], "th")]
    for row in sorted(comparison.questions, key=gain):
        answers = [f"{row['scores'][n]:.2f} {row['answers'][n]}" for n in names]
        listed.append(cells([f"{gain(row):+.2f}", row["question"], row["reference"], *answers]))
    return (
        '<!doctype html><meta charset="utf-8"><title>Comparison</title><style>'
        "body{font:15px/1.5 sans-serif;margin:2em}table{border-collapse:collapse;margin:1em 0}"
        "td,th{border:1px solid #ccc;padding:.3em .6em;vertical-align:top;text-align:left;"
        "white-space:pre-wrap}</style><h1>Comparison</h1>"
        f"<table>{head}{table}</table><h2>Questions, losses first</h2>"
        f"<table>{''.join(listed)}</table>\n"
    )
