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

from common.cli import argument, make_app, option
from common.intervals import Difference, difference, interval
from common.language import either, in_chinese
from common.question_kinds import kind_of
from judging.compare_page import FEW, gap_text, mean_text, page
from judging.document import write
from judging.metrics import METRICS, Metric, scores, similarity
from judging.read_report import Report, read_report, same_questions, scored_rows, without_reference
from judging.verdicts import next_step, verdicts

app = make_app()
out_to = Console()
notes_to = Console(stderr=True)


@app.command()
@in_chinese("一次评测的全部指标；几次的，与第一次逐题比较。")
def main(
    reports: Annotated[
        list[Path], argument("本地评测写出的目录", "Folders that the local judge wrote")
    ],
    encoder: Annotated[
        Path | None,
        option(
            "sentence-transformers 模型目录：加上语义相近度",
            "A sentence-transformers model directory: adds closeness in meaning",
        ),
    ] = None,
    by: Annotated[
        Literal["kind", "section", "none"], option("表格下面的分组", "Groups under the table")
    ] = "kind",
    out: Annotated[
        Path | None,
        option(
            "把 compare.html、.md、.docx 写到这里，带图",
            "Write compare.html, .md and .docx here, with a chart",
        ),
    ] = None,
    json_file: Annotated[
        Path | None, option("把数字写到这里", "Write the numbers here", "--json")
    ] = None,
) -> None:
    """All metrics of one judgement, or of several, paired with the first."""
    try:
        if len({folder.resolve() for folder in reports}) < len(reports):
            raise ValueError(either("同一份报告给了两次", "the same report is given twice"))
        found = [read_report(folder) for folder in reports]
        rows = same_questions(found)
        metrics = [*METRICS.values(), *([similarity(encoder)] if encoder else [])]
    except ValueError as error:
        notes_to.print(Text(str(error), style="bold red"), soft_wrap=True)
        raise typer.Exit(2) from None
    told = compared(found, rows, metrics)
    for line in left_out(found, len(rows[0])):
        notes_to.print(Text(line, style="yellow"), soft_wrap=True)
    for line in verdicts(told, found, rows):
        out_to.print(Text(line, style="bold"), soft_wrap=True)
    words, command = next_step(told, found, rows)
    if command:
        out_to.print(Text(f"{either('接下来：', 'Next: ')}{words}\n  {command}"), soft_wrap=True)
    for part in tables(told, found, by):
        out_to.print(part)
    if out:
        for path in write(page(told, found, rows), out, "compare"):
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
        "section": [str(row.get("section") or "–") for row in rows[0]],
    }
    found: dict[str, Any] = {"questions": len(asked), "reports": [str(r.folder) for r in reports]}
    found["metrics"] = {
        each.name: {
            "label": either(each.label, each.name),
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


def left_out(reports: list[Report], compared: int) -> list[str]:
    """Which questions of each report are not compared, and why, in words."""
    said = []
    for report in reports:
        if without := without_reference(report.rows):
            said.append(
                either(
                    f"{report.name}：{without} 题没有参考答案，不算",
                    f"{report.name}: {without} questions without a reference are left out",
                )
            )
        scored = len(scored_rows(report.rows))
        if twice := len(report.rows) - without - scored:
            said.append(
                either(
                    f"{report.name}：{twice} 题问了不止一遍，只算一遍",
                    f"{report.name}: {twice} questions are asked more than once and count once",
                )
            )
        if others := scored - compared:
            said.append(
                either(
                    f"{report.name}：{others} 题别的报告里没有，只比共有的 {compared} 题",
                    f"{report.name}: {others} questions that another report has not; only the "
                    f"{compared} in common are compared",
                )
            )
    return said


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
    """The numbers for the terminal: all metrics, what each is, and the judge's score by group."""
    grid = _grid(reports, either("指标", "metric"))
    for each in told["metrics"].values():
        grid.add_row(each["label"], *_cells(each, each["better"]))
    parts: list[Table | Text] = [grid]
    parts += [
        Text(f"  {each['label']}{either('：', ': ')}{each['what']}", style="dim")
        for each in told["metrics"].values()
    ]
    if by == "none":
        return parts
    groups = told["by"][by]
    name = either({"kind": "题型", "section": "章节"}[by], by)
    shown = {group: each for group, each in groups.items() if each["questions"] >= FEW}
    if len(groups) > 1 and shown:
        grid = _grid(reports, name)
        for group, each in shown.items():
            grid.add_row(Text(f"{group} ({each['questions']})"), *_cells(each, 1))
        parts.append(grid)
    few = told["questions"] - sum(each["questions"] for each in shown.values())
    if len(groups) == 1:
        told_of = either(f"  {name}：只有一个，不分组", f"  {name}: only one, so no groups")
        parts.append(Text(told_of, style="dim"))
    elif few:
        told_of = either(
            f"  {few} 题所在的组不足 {FEW} 题，未列出",
            f"  {few} questions in groups of fewer than {FEW} are not shown",
        )
        parts.append(Text(told_of, style="dim"))
    return parts


def _cells(each: dict[str, Any], better: int) -> list[str | Text]:
    cells: list[str | Text] = [mean_text(each["means"][0])]
    for mean, gap in zip(each["means"][1:], each["differences"], strict=True):
        cells += [mean_text(mean), _styled(gap, better)]
    return cells


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
