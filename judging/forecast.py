"""The accuracy to expect of the judge, from a sample test set's answers.

    bash run.sh judging forecast report/TIME

The interval holds the chance of both samples of questions, yours and the judge's. It cannot know
whether the judge's questions are of the same kind, nor how far settings were chosen on your sample:
the submission log shows how good earlier predictions were (bash run.sh submissions add --report).
"""

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from common.cli import make_app
from common.facts import FACTS, WANTED_ACCURACY
from common.language import either, in_chinese
from judging.intervals import Interval, predicted
from judging.read_report import Report, ReportError, read_report

JUDGES_QUESTIONS: dict[str, int] = FACTS["judge"]["questions"]
app = make_app()


def forecast(report: Report, questions: int, testset: str | None = None) -> Interval:
    """The accuracy to expect on `questions` questions like those of a report (or of one test set
    of it). Raises ReportError where no question has a reference."""
    rows = [row for row in report.rows if testset in (None, row["testset"])]
    values = [row["score"] for row in rows if row["reference"].strip()]
    if not values:
        raise ReportError(
            either(
                f"{report.folder}：没有一题有参考答案，说不出分数",
                f"{report.folder}: no question has a reference, so there is no score to expect",
            )
        )
    return predicted(values, questions)


def forecast_all(report: Report) -> Interval:
    """The accuracy to expect over all questions of the judge."""
    return forecast(report, sum(JUDGES_QUESTIONS.values()))


@app.command()
@in_chinese("一份报告里每个题集，在评测机上能指望的准确率。")
def main(
    report: Annotated[
        Path,
        typer.Argument(help=either("本地评测写出的目录", "A folder that the local judge wrote")),
    ],
) -> None:
    """The judge's accuracy to expect, for each test set of a report."""
    try:
        found = read_report(report)
        grid = Table()
        grid.add_column(either("样题", "sample"))
        grid.add_column(either("题数", "questions"), justify="right")
        for name, count in JUDGES_QUESTIONS.items():
            grid.add_column(either(f"{name} {count} 题", f"{count} {name}"), justify="right")
        for each in [told["name"] for told in found.summary["testsets"]]:
            counts = sum(row["testset"] == each for row in found.rows)
            expected = [forecast(found, m, each) for m in JUDGES_QUESTIONS.values()]
            grid.add_row(Text(each), str(counts), *(_shown(interval) for interval in expected))
    except ReportError as error:
        typer.secho(str(error), err=True, fg="red")
        raise typer.Exit(2) from None
    console = Console()
    console.print(grid)
    told = either(
        f"95 % 区间；前提是评测的题与样题同类、没有按样题调过参数。要求：{WANTED_ACCURACY:g}",
        "95 % intervals, if the judge's questions are of the sample's kind and nothing was tuned "
        f"on the sample. Wanted: {WANTED_ACCURACY:g}",
    )
    console.print(Text(told, style="dim"))


def _shown(found: Interval) -> str:
    return f"{found.mean:.3f} [{found.low:.3f}, {found.high:.3f}]"
