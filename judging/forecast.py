"""The accuracy to expect of the judge, from a sample test set's answers.

    bash run.sh judging forecast report/TIME

The interval holds the chance of both samples of questions, yours and the judge's. It cannot know
whether the judge's questions are of the same kind, nor how far settings were chosen on your sample:
the submission log shows how good earlier predictions were (bash run.sh submissions add --report).
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from common.cli import argument, make_app, stop
from common.facts import FACTS, WANTED_ACCURACY
from common.intervals import FEWEST, Interval, predicted, predicted_together
from common.language import either, in_chinese
from judging.read_report import Report, ReportError, read_report, scored_rows

JUDGES_QUESTIONS: dict[str, int] = FACTS["judge"]["questions"]
IN_CHINESE = {"basic": "基础", "bonus": "加分"}
app = make_app()


def forecast(report: Report, questions: int, testset: str | None = None) -> Interval:
    """The accuracy to expect on `questions` questions like those of a report (or of one test set
    of it). Raises ReportError where no question has a reference."""
    return predicted(_scores(report, testset), questions)


def forecast_all(report: Report) -> Interval:
    """The accuracy to expect over all questions of the judge: of each of its sets by the sample
    that is named like it, else by all questions. Raises ReportError as `forecast` does."""
    samples = _samples(report)
    return predicted_together(
        [
            (_scores(report, samples.get(name)), questions)
            for name, questions in JUDGES_QUESTIONS.items()
        ]
        if samples
        else [(_scores(report), sum(JUDGES_QUESTIONS.values()))]
    )


@app.command()
@in_chinese("一份报告里每个题集，在评测机上能指望的准确率。")
def main(
    report: Annotated[Path, argument("本地评测写出的目录", "A folder that the local judge wrote")],
) -> None:
    """The judge's accuracy to expect, for each test set of a report."""
    try:
        found = read_report(report)
        whole = forecast_all(found)
        grid = table(found)
    except ReportError as error:
        stop(error)
    console = Console()
    console.print(Text(conclusion(whole), style="bold"), soft_wrap=True)
    for line in doubts(found):
        console.print(Text(line, style="yellow"), soft_wrap=True)
    console.print(grid)
    told = either(
        "95 % 区间；前提是评测的题与样题同类、没有按样题调过参数。记下来，事后看准不准："
        f"bash run.sh submissions add --report {report}",
        "95 % intervals, if the judge's questions are of the sample's kind and nothing was tuned "
        "on the sample. To see later how good it was: "
        f"bash run.sh submissions add --report {report}",
    )
    console.print(Text(told, style="dim"), soft_wrap=True)


def conclusion(whole: Interval) -> str:
    """What to expect over all questions of the judge, in a sentence."""
    side = (whole.low > WANTED_ACCURACY) - (whole.high < WANTED_ACCURACY)
    zh = {1: "够得到", 0: "说不准够不够得到", -1: "够不到"}[side]
    en = {1: "enough for", 0: "not certain to be enough for", -1: "not enough for"}[side]
    return either(
        f"评测机大概会给 {_shown(whole)}：{zh}比赛要求的 {WANTED_ACCURACY:g}",
        f"expect {_shown(whole)} of the judge: {en} the contest's {WANTED_ACCURACY:g}",
    )


def doubts(report: Report) -> list[str]:
    """Why the forecast may be worth less than its interval says."""
    found = []
    if report.failures:
        found.append(
            either(
                f"这一次评测会判失败，得 0 分（{report.failures[0]}）；下面是不失败时的分",
                f"this one would fail, score 0 ({report.failures[0]}); below: if it did not",
            )
        )
    if report.summary.get("demo"):
        found.append(
            either(
                "演示模型：它答的是训练过的事实，别的题答不了",
                "a demo model: it answers facts that it was trained on, and no others",
            )
        )
    scored = scored_rows(report.rows)
    if left := len(report.rows) - len(scored):
        found.append(
            either(
                f"{left} 题没有参考答案或问了两遍，不算",
                f"{left} questions have no reference or are asked twice: left out",
            )
        )
    if len(scored) < FEWEST:
        found.append(
            either(
                f"只有 {len(scored)} 题：等于不知道",
                f"too few questions ({len(scored)}): as good as unknown",
            )
        )
    return found


def table(report: Report) -> Table:
    """What to expect of each sample, on the judge's set of its name or on either."""
    grid = Table()
    grid.add_column(either("样题", "sample"))
    grid.add_column(either("题数", "questions"), justify="right")
    for name, count in JUDGES_QUESTIONS.items():
        label = either(f"{IN_CHINESE.get(name, name)} {count} 题", f"{count} {name}")
        grid.add_column(label, justify="right")
    samples = {sample: name for name, sample in _samples(report).items()}
    for sample in dict.fromkeys(row["testset"] for row in report.rows):
        counts = len([row for row in scored_rows(report.rows) if row["testset"] == sample])
        if not counts:
            continue
        cells = [
            "–" if samples and samples.get(sample) != name else _shown(forecast(report, m, sample))
            for name, m in JUDGES_QUESTIONS.items()
        ]
        grid.add_row(Text(sample), str(counts), *cells)
    return grid


def _samples(report: Report) -> dict[str, str]:
    """The judge's sets, each with the one sample that is named like it; empty unless every set has
    one with a question that can be scored."""
    names = list(dict.fromkeys(row["testset"] for row in scored_rows(report.rows)))
    found: dict[str, str] = {}
    for kind in JUDGES_QUESTIONS:
        like = [n for n in names if kind in n.lower() or IN_CHINESE.get(kind, kind) in n]
        if len(like) != 1:
            return {}
        found[kind] = like[0]
    return found if len(set(found.values())) == len(names) else {}


def _scores(report: Report, testset: str | None = None) -> Sequence[Any]:
    rows = scored_rows(report.rows)
    values = [row["score"] for row in rows if testset in (None, row["testset"])]
    if not values:
        raise ReportError(
            f"{report.folder}：没有一题有参考答案，说不出分数",
            f"{report.folder}: no question has a reference, so there is no score to expect",
        )
    return values


def _shown(found: Interval) -> str:
    return f"{found.mean:.3f} [{found.low:.3f}, {found.high:.3f}]"
