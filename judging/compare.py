"""Judgements beside each other: every metric, its interval, and whether a difference is real.

    bash run.sh judging compare report/A                       one: all metrics, by kind and section
    bash run.sh judging compare report/BASE report/TUNED       paired, on the questions both have
    bash run.sh judging compare report/A report/B --encoder model/bge-small-zh
    bash run.sh judging compare report/A report/B --out report/compared    pages with a chart

Exit code: 0; 2 for wrong usage or a folder without a report.
"""

import json
from dataclasses import asdict
from itertools import groupby
from pathlib import Path
from typing import Annotated, Any, Literal

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from common.cli import make_app
from common.language import either, in_chinese
from common.question_kinds import kind_of
from judging.compare_page import FEW, gap_text, mean_text, page, verdicts
from judging.document import write
from judging.intervals import Difference, difference, interval
from judging.metrics import METRICS, Metric, scores, similarity
from judging.read_report import Report, read_report, same_questions

app = make_app()
out_to = Console()
notes_to = Console(stderr=True)


@app.command()
@in_chinese("一次评测的全部指标；几次的，与第一次逐题比较。")
def main(
    reports: Annotated[
        list[Path],
        typer.Argument(help=either("本地评测写出的目录", "Folders that the local judge wrote")),
    ],
    encoder: Annotated[
        Path | None,
        typer.Option(
            help=either(
                "sentence-transformers 模型目录：加上语义相近度",
                "A sentence-transformers model directory: adds closeness in meaning",
            )
        ),
    ] = None,
    by: Annotated[
        Literal["kind", "section", "none"],
        typer.Option(help=either("表格下面的分组", "Groups under the table")),
    ] = "kind",
    out: Annotated[
        Path | None,
        typer.Option(
            help=either(
                "把 compare.html、.md、.docx 写到这里，带图",
                "Write compare.html, .md and .docx here, with a chart",
            )
        ),
    ] = None,
    json_file: Annotated[
        Path | None, typer.Option("--json", help=either("把数字写到这里", "Write the numbers here"))
    ] = None,
) -> None:
    """All metrics of one judgement, or of several, paired with the first."""
    try:
        found = [read_report(folder) for folder in reports]
        rows = same_questions(found)
        metrics = [*METRICS.values(), *([similarity(encoder)] if encoder else [])]
    except ValueError as error:
        notes_to.print(Text(str(error), style="bold red"))
        raise typer.Exit(2) from None
    told = compared(found, rows, metrics)
    if len(rows[0]) < len(found[0].rows):
        notes_to.print(
            either(
                f"只比较共有的 {len(rows[0])} 题（第一份报告有 {len(found[0].rows)} 题）",
                f"only the {len(rows[0])} questions in common (the first has {len(found[0].rows)})",
            ),
            style="yellow",
        )
    for line in tables(told, found, by):
        out_to.print(line)
    if out:
        for path in write(page(told, found), out, "compare"):
            out_to.print(Text(str(path)))
    if json_file:
        text = json.dumps(told, ensure_ascii=False, indent=1, default=asdict)
        json_file.write_text(text + "\n", encoding="utf-8")


def compared(
    reports: list[Report], rows: list[list[dict[str, Any]]], metrics: list[Metric]
) -> dict[str, Any]:
    """`questions`, and of every metric `what` it measures, `means` (one Interval a report),
    `differences` (one Difference for each further report), and the means by `kind` and `section`.
    `gains`: for each further report the judge's score minus the first's, a question.
    """
    references = [row["reference"] for row in rows[0]]
    asked = [row["question"] for row in rows[0]]
    values = [scores(metrics, references, [row["answer"] for row in each]) for each in rows]
    groups = {
        "kind": [either(kind_of(text).zh, kind_of(text).en) for text in asked],
        "section": [row.get("section") or "–" for row in rows[0]],
    }
    found: dict[str, Any] = {"questions": len(asked), "reports": [str(r.folder) for r in reports]}
    found["metrics"] = {
        each.name: {
            "what": either(each.zh, each.en),
            "better": each.better,
            "means": [interval(v[each.name]) for v in values],
            "differences": [difference(values[0][each.name], v[each.name]) for v in values[1:]],
        }
        for each in metrics
    }
    judged = [v["judge"] for v in values]
    found["gains"] = [[b - a for a, b in zip(judged[0], each, strict=True)] for each in judged[1:]]
    found["by"] = {name: _grouped(members, judged) for name, members in groups.items()}
    return found


def _grouped(members: list[str], judged: list[list[float]]) -> dict[str, Any]:
    """The judge's score by group: how many questions, each report's mean, and the differences."""
    order = sorted(range(len(members)), key=lambda i: members[i])
    found = {}
    for name, indices in groupby(order, key=lambda i: members[i]):
        where = list(indices)
        parts = [[values[i] for i in where] for values in judged]
        found[name] = {
            "questions": len(where),
            "means": [interval(part) for part in parts],
            "differences": [difference(parts[0], part) for part in parts[1:]],
        }
    return found


def tables(told: dict[str, Any], reports: list[Report], by: str) -> list[Table | Text]:
    """The numbers for the terminal, and what they mean in a sentence."""
    grid = _grid(reports, either("指标", "metric"))
    for name, each in told["metrics"].items():
        cells = [mean_text(each["means"][0])]
        for mean, gap in zip(each["means"][1:], each["differences"], strict=True):
            cells += [mean_text(mean), _styled(gap, each["better"])]
        grid.add_row(name, *cells)
    parts: list[Table | Text] = [Text(line) for line in verdicts(told, reports)]
    parts.append(grid)
    parts += [
        Text(f"  {name}: {each['what']}", style="dim") for name, each in told["metrics"].items()
    ]
    groups = told["by"].get(by, {})
    if len(groups) > 1:
        grid = _grid(reports, either({"kind": "题型", "section": "章节"}[by], by))
        for name, each in groups.items():
            if each["questions"] < FEW:
                continue
            cells = [mean_text(each["means"][0])]
            for mean, gap in zip(each["means"][1:], each["differences"], strict=True):
                cells += [mean_text(mean), _styled(gap, 1)]
            grid.add_row(f"{name} ({each['questions']})", *cells)
        few = sum(each["questions"] for each in groups.values() if each["questions"] < FEW)
        if grid.row_count:
            parts.append(grid)
        if few:
            parts.append(
                Text(
                    either(
                        f"  {few} 题所在的组不足 {FEW} 题，未列出",
                        f"  {few} questions in groups of fewer than {FEW} are not shown",
                    ),
                    style="dim",
                )
            )
    return parts


def _grid(reports: list[Report], first: str) -> Table:
    grid = Table()
    grid.add_column(first)
    for index, report in enumerate(reports):
        grid.add_column(Text(report.name), justify="right", overflow="fold")
        if index:
            grid.add_column(either("差", "difference"), justify="right")
    return grid


def _styled(gap: Difference, better: int) -> Text:
    good = gap.side * better
    style = "green" if good > 0 else "red" if good < 0 else "dim"
    return Text(gap_text(gap), style=style)
