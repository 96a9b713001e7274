"""A comparison as people read it: a table for the terminal, one HTML file with all answers.

<out>/comparison.txt    the table
<out>/comparison.html   the table, and every question's answers side by side
<out>/comparison.json   the same for programs
"""

from pathlib import Path
from typing import Any

from rich.console import Console, Group
from rich.table import Table
from rich.text import Text

from common.html_page import template
from common.intervals import VERDICTS
from common.language import either, language
from judging import report_words
from train.compare import TIE, Comparison, Judged, as_json

WIDTH = 110  # of comparison.txt
LABELS = report_words.LABELS | {
    "its 95 % interval": "其 95 % 区间",
    "gain over the first": "比第一个模型",
    "questions won / lost": "变好 / 变差的题数",
    "seconds until ready": "启动用时，秒",
    "peak memory, MB": "内存峰值，MB",
    "GPU memory in use, MB": "占用显存，MB",
    "weights, MB": "权重，MB",
    "longest answer allowed, tokens": "回答最长，词元",
}


def write_comparison(comparison: Comparison, out: Path) -> None:
    """Write the three files into `out`. Raises OSError when they cannot be written."""
    out.mkdir(parents=True, exist_ok=True)
    (out / "comparison.json").write_text(as_json(comparison), encoding="utf-8")
    (out / "comparison.html").write_text(_page(comparison), encoding="utf-8")
    with (out / "comparison.txt").open("w", encoding="utf-8") as stream:
        Console(file=stream, width=WIDTH).print(table(comparison, out))


def table(comparison: Comparison, out: Path) -> Group:
    """One table a test set, models side by side, and where the report is."""
    parts: list[Any] = []
    for testset, results in _by_testset(comparison).items():
        grid = Table(title=f"{testset}: {_verdict(results)}", title_justify="left")
        grid.add_column("")
        for result in results:
            grid.add_column(Text(result.model), justify="right", overflow="fold")
        for index, (label, *cells) in enumerate(_lines(results)):
            grid.add_row(label, *cells, style="bold" if index == 0 else "")
        parts.append(grid)
    if any(result.demo for result in comparison.results):
        parts.append(Text(report_words.demo_note(), style="bold yellow"))
    parts.append(
        Text(either("逐题对照：", "every answer side by side: ") + str(out / "comparison.html"))
    )
    return Group(*parts)


def _by_testset(comparison: Comparison) -> dict[str, list[Judged]]:
    sets: dict[str, list[Judged]] = {}
    for result in comparison.results:
        sets.setdefault(result.testset, []).append(result)
    return sets


def _verdict(results: list[Judged]) -> str:
    """Whether the last model differs from the first by more than chance, in words."""
    last = results[-1]
    return either(*VERDICTS[(last.difference_low > 0) - (last.difference_high < 0)])


def _lines(results: list[Judged]) -> list[tuple[str, ...]]:
    """Rows of the table: a label and one cell a model; rows that no model has are left out."""

    def row(label: str, cells: list[str | None]) -> tuple[str, ...] | None:
        label = either(LABELS[label], label)
        return (label, *(cell or "–" for cell in cells)) if any(cells) else None

    def megabytes(count: int | None) -> str | None:
        return None if count is None else f"{count / 1e6:,.1f}"

    def against(r: Judged, text: str) -> str | None:
        return None if r is results[0] else text

    rows = [
        row("accuracy (judge)", [f"{r.score:.3f}" for r in results]),
        row("its 95 % interval", [f"{r.low:.3f} … {r.high:.3f}" for r in results]),
        row("ceiling of the set", [f"{r.ceiling:.3f}" for r in results]),
        row("echoing the question", [None if r.echo is None else f"{r.echo:.3f}" for r in results]),
        row("Chinese-aware ROUGE-L", [f"{r.chinese:.3f}" for r in results]),
        row("gain over the first", [against(r, f"{r.difference:+.3f}") for r in results]),
        row(
            "its 95 % interval",
            [against(r, f"{r.difference_low:+.3f} … {r.difference_high:+.3f}") for r in results],
        ),
        row("questions won / lost", [against(r, f"{r.wins} / {r.losses}") for r in results]),
        row("characters/s (judge)", [f"{r.speed:,.0f}" for r in results]),
        row(
            "seconds until ready",
            [None if r.load_seconds is None else f"{r.load_seconds:.1f}" for r in results],
        ),
        row("peak memory, MB", [megabytes(r.peak_bytes) for r in results]),
        row("GPU memory in use, MB", [megabytes(r.device_bytes) for r in results]),
        row("weights, MB", [megabytes(r.weight_bytes) for r in results]),
        row("longest answer allowed, tokens", [str(r.max_tokens or "") for r in results]),
    ]
    return [line for line in rows if line]


def _page(comparison: Comparison) -> str:
    first, last = comparison.models[0], comparison.models[-1]
    sets = []
    for testset, results in _by_testset(comparison).items():
        rows = [
            question | {"gain": question["scores"][last] - question["scores"][first]}
            for question in comparison.questions
            if question["testset"] == testset
        ]
        rows.sort(key=lambda question: abs(question["gain"]), reverse=True)
        groups = [
            (either("变差", "Lost"), [q for q in rows if q["gain"] < -TIE], True),
            (either("变好", "Won"), [q for q in rows if q["gain"] > TIE], True),
            (either("不变", "As before"), [q for q in rows if abs(q["gain"]) <= TIE], False),
        ]
        sets.append(
            {"name": testset, "verdict": _verdict(results), "lines": _lines(results)}
            | {"groups": groups}
        )
    note = report_words.demo_note() if any(result.demo for result in comparison.results) else ""
    return template(Path(__file__).with_name("compare.html.j2")).render(
        models=comparison.models, sets=sets, note=note, either=either, language=language()
    )
