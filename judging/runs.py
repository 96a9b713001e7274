"""Every judgement so far in one table: model, data, book, score, speed, what changed, what the
contest's judge said.

    bash run.sh judging runs                      report/, oldest first
    bash run.sh judging runs --sort accuracy --plot report/runs.png --csv report/runs.csv

The reports on disk are the record: no server and no second database that could disagree with them.
Two runs are compared only on the same questions.
"""

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from common.chart_words import Words, chart_words
from common.cli import argument, make_app, option
from common.facts import WANTED_ACCURACY
from common.intervals import difference
from common.language import either, in_chinese
from common.submission_log import LOG, LogError, Submission, read_log
from judging.read_report import Report, ReportError, read_reports, same_questions, scored_rows
from judging.run_settings import changes, data_of, questions_of, settings_of, testsets_of
from judging.verdicts import stands, verdict

app = make_app()


@dataclass(frozen=True)
class Run:
    """One judgement, the one before it on the same questions, and its submissions."""

    report: Report
    before: Report | None
    submissions: list[Submission]

    @property
    def against(self) -> str:
        """Better or worse than the one before, in words; "" for the first."""
        if self.before is None:
            return ""
        try:
            first, second = same_questions([self.before, self.report])
        except ReportError:  # none of them has a reference
            return ""
        return verdict(difference([r["score"] for r in first], [r["score"] for r in second]))

    @property
    def changed(self) -> str:
        """What was changed since the one before."""
        if self.before is None:
            return ""
        return "; ".join(changes(self.report, self.before)) or either("无", "nothing")

    @property
    def judged(self) -> str:
        """What the contest's judge said of it."""
        return "; ".join(f"#{each.number} {_outcome(each)}" for each in self.submissions)


@app.command()
@in_chinese("一个目录里的所有评测，一张表。")
def main(
    folder: Annotated[Path, argument("本地评测写在哪里", "Where the local judge writes")] = Path(
        "report"
    ),
    sort: Annotated[
        Literal["time", "accuracy", "speed"],
        option("最好的或最新的排在最后", "Best or newest last"),
    ] = "time",
    plot: Annotated[
        Path | None,
        option(
            "再画出准确率和速度随时间的变化：PNG 或 SVG",
            "Also draw accuracy and speed over time: PNG or SVG",
        ),
    ] = None,
    csv_file: Annotated[
        Path | None,
        option(
            "再写成一张表，含全部配置：Excel、pandas、MLflow 都能读",
            "Also write it as a table with all settings, for Excel, pandas or MLflow",
            "--csv",
        ),
    ] = None,
    log: Annotated[Path, option("提交记录", "The log of submissions")] = LOG,
) -> None:
    """Every judgement in a folder as one table."""
    reports, problems = read_reports(folder)
    for problem in problems:
        typer.secho(problem, err=True, fg="yellow")
    if not reports:
        typer.secho(
            either(
                f"{folder}：还没有评测报告。bash run.sh 会写一份",
                f"{folder}: no report yet; bash run.sh writes one",
            ),
            err=True,
            fg="red",
        )
        raise typer.Exit(2)
    try:
        submissions = read_log(log)
    except (LogError, OSError) as error:
        typer.secho(str(error), err=True, fg="yellow")
        submissions = []
    runs = runs_of(reports, submissions)
    console = Console(width=None if Console().is_terminal else 180)
    for line in head(runs):
        console.print(Text(line, style="bold"), soft_wrap=True)
    console.print(table(runs, sort))
    if csv_file:
        write_csv(runs, csv_file)
        typer.echo(str(csv_file))
    if plot:
        plot.write_bytes(drawn(reports, plot.suffix.lstrip(".") or "png"))
        typer.echo(str(plot))


def runs_of(reports: Sequence[Report], submissions: Sequence[Submission] = ()) -> list[Run]:
    """Reports in their order of time, each with the last one before it on the same questions."""
    last: dict[frozenset[tuple[str, str]], Report] = {}
    found = []
    for report in reports:
        key = questions_of(report)
        sent = [each for each in submissions if each.report == report.folder.name]
        found.append(Run(report, last.get(key), sent))
        last[key] = report
    return found


def head(runs: Sequence[Run]) -> list[str]:
    """The newest run, against the one before it, and the best so far on its questions."""
    newest = runs[-1]
    rows = scored_rows(newest.report.rows)
    said = []
    if newest.report.failures:
        told = newest.report.failures[0]
        said.append(either(f"最新的一次，评测会判失败：{told}", f"the newest would fail: {told}"))
    elif rows:
        name = newest.report.name
        said.append(either(f"最新：{name}，{stands(rows)}", f"newest: {name}, {stands(rows)}"))
    if newest.against:
        said.append(
            either(
                f"与上一次相比：{newest.against}（改了：{newest.changed}）",
                f"against the last: {newest.against} (changed: {newest.changed})",
            )
        )
    key = questions_of(newest.report)
    alike = [run for run in runs if questions_of(run.report) == key and not run.report.failures]
    if len(alike) > 1:
        best = max(alike, key=lambda run: run.report.summary["total"]["accuracy"]).report
        score = best.summary["total"]["accuracy"]
        said.append(
            either(
                f"同样的题上 {len(alike)} 次里最高：{best.name}，{score:.3f}"
                "（挑出来的最高分偏高，下一次多半低一些）",
                f"the highest of {len(alike)} on these questions: {best.name}, {score:.3f} "
                "(the best of several is flattered by chance)",
            )
        )
    return said


def table(runs: Sequence[Run], sort: str) -> Table:
    """One row a run. What changed is told against the run before it on the same questions."""
    grid = Table()
    for zh, en in (("时间", "time"), ("模型", "model"), ("数据", "data"), ("书", "book"),
                   ("测试集", "test sets")):  # fmt: skip
        grid.add_column(either(zh, en), overflow="fold")
    for zh, en in (("准确率", "accuracy"), ("复述问题", "echo"), ("字符/秒", "characters/s")):
        grid.add_column(either(zh, en), justify="right")
    grid.add_column(either("与上一次相比", "against the last"), overflow="fold")
    grid.add_column(either("改了什么", "changed"), overflow="fold")
    judged = any(run.submissions for run in runs)
    if judged:
        grid.add_column(either("评测机", "the judge"), overflow="fold")
    if sort != "time":
        runs = sorted(runs, key=lambda run: run.report.summary["total"][sort])
    for run in runs:
        report, total = run.report, run.report.summary["total"]
        score = f"{total['accuracy']:.3f} ± {1.96 * total['stderr']:.3f}"
        echo = "–" if total.get("echo") is None else f"{total['echo']:.3f}"
        grid.add_row(
            Text(report.folder.name),
            Text(report.model),
            Text(data_of(report)),
            Text(report.book),
            Text(testsets_of(report)),
            Text(either("评测判失败", "failed"), style="red") if report.failures else score,
            echo,
            f"{total['speed']:,.0f}" if total["speed"] else "–",
            Text(run.against),
            Text(run.changed),
            *([Text(run.judged)] if judged else []),
            style="dim" if report.summary.get("demo") else "",
        )
    return grid


def write_csv(runs: Sequence[Run], path: Path) -> None:
    """One row a run with its numbers and all its settings. Raises OSError."""
    settings = sorted({name for run in runs for name in settings_of(run.report)})
    names = ["time", "model", "data", "book", "testsets", "demo", "failed"]
    numbers = ["accuracy", "stderr", "ceiling", "echo", "chinese", "speed", "questions", "seconds"]
    # utf-8-sig: Excel takes a file without the mark for another encoding.
    with path.open("w", encoding="utf-8-sig", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow([*names, *numbers, "against", "changed", "judge", *settings])
        for run in runs:
            report, told = run.report, settings_of(run.report)
            total = report.summary["total"]
            writer.writerow(
                [report.folder.name, report.model, data_of(report), report.book,
                 testsets_of(report), bool(report.summary.get("demo")), "; ".join(report.failures),
                 *(total.get(name) for name in numbers), run.against, run.changed, run.judged,
                 *(told.get(name) for name in settings)]
            )  # fmt: skip


def _outcome(each: Submission) -> str:
    if each.failed:
        return either(f"失败：{each.failed}", f"failed: {each.failed}")
    if each.result is None or each.result.accuracy is None:
        return either("等待中", "waiting")
    told = each.predicted
    inside = ""
    if told.low is not None and told.high is not None:
        within = told.low <= each.result.accuracy <= told.high
        inside = either("（在预测区间内）" if within else "（在预测区间外）",
                        " (as forecast)" if within else " (outside its forecast)")  # fmt: skip
    return f"{each.result.accuracy:.3f}{inside}"


def drawn(reports: Sequence[Report], form: str) -> bytes:
    """Accuracy with its interval, and speed, over the runs; a colour for each test set."""
    from matplotlib.figure import Figure

    with chart_words(text_stays_text=form == "svg") as say:
        return _drawn(Figure(figsize=_size(reports), layout="constrained"), reports, form, say)


def _size(reports: Sequence[Report]) -> tuple[float, float]:
    """Inches: as wide as the labels of all runs need."""
    return min(40, max(9, 0.3 * len(reports))), 7.5


def _drawn(figure: Any, reports: Sequence[Report], form: str, say: Words) -> bytes:
    above, below = figure.subplots(2, 1, sharex=True)
    for key in dict.fromkeys(map(questions_of, reports)):
        members = [(i, r) for i, r in enumerate(reports) if questions_of(r) == key]
        where = [i for i, _ in members]
        totals = [r.summary["total"] for _, r in members]
        line = above.errorbar(
            where,
            [0.0 if r.failures else r.summary["total"]["accuracy"] for _, r in members],
            yerr=[1.96 * total["stderr"] for total in totals],
            marker="o",
            capsize=3,
            label=testsets_of(members[0][1]),
        )
        color = line.lines[0].get_color()
        echoes = [
            (i, t["echo"]) for i, t in zip(where, totals, strict=True) if t.get("echo") is not None
        ]
        if echoes:
            above.plot(*zip(*echoes, strict=True), "_", color=color, markersize=14)
        below.plot(where, [total["speed"] for total in totals], marker="o")
    above.axhline(WANTED_ACCURACY, color="#9aa5b1", linewidth=1)
    above.set_ylim(bottom=0)
    above.set_ylabel(
        say("准确率（95 %）\n短横：复述问题；横线：要求", "accuracy (95 %)\n_: echo; line: wanted")
    )
    below.set_ylabel(say("字符/秒", "characters/s"))
    below.set_ylim(bottom=0)
    below.set_xticks(
        range(len(reports)),
        [f"{r.folder.name} {r.model[:24]}" for r in reports],
        rotation=90,
        fontsize=8,
    )
    above.legend(fontsize=8, ncols=3, loc="lower left", bbox_to_anchor=(0, 1))
    above.grid(alpha=0.3)
    below.grid(alpha=0.3)
    import io

    stream = io.BytesIO()
    figure.savefig(stream, format=form, dpi=120)
    return stream.getvalue()
