"""Every judgement so far in one table: model, data, settings, score, speed, and what changed.

    bash run.sh judging runs                      report/, oldest first
    bash run.sh judging runs --sort accuracy --plot report/runs.png

The reports on disk are the record: no server and no second database that could disagree with them.
Two runs are compared only on the same test sets.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from common.chart_words import Words, chart_words
from common.cli import make_app
from common.language import either, in_chinese
from judging.read_report import Report, read_reports

# Settings that say where, not how: two runs that differ in these alone are the same run.
_PLACES = {
    "model_dir",
    "port",
    "host",
    "api_token",
    "warmup_file",
    "compile_cache",
    "settings_file",
}
app = make_app()


def settings_of(report: Report) -> dict[str, Any]:
    """The service's settings as GET /info told them, without places and secrets."""
    info = report.summary.get("info")
    told = info.get("settings") if isinstance(info, dict) else None
    return {k: v for k, v in told.items() if k not in _PLACES} if isinstance(told, dict) else {}


def testsets_of(report: Report) -> str:
    """The test sets' names and numbers of questions: what makes two scores comparable."""
    return " + ".join(
        f"{t['name']} ({t.get('questions', '?')})" for t in report.summary["testsets"]
    )


def changes(report: Report, before: Report | None) -> str:
    """What differs from the run before on the same test sets: model and settings."""
    if before is None:
        return ""
    found = []
    if report.summary.get("model") != before.summary.get("model"):
        found.append(f"{before.summary.get('model')} → {report.summary.get('model')}")
    data, earlier = data_of(report), data_of(before)
    if data != earlier:
        found.append(f"{earlier or '–'} → {data or '–'}")
    now, then = settings_of(report), settings_of(before)
    for name in sorted(now.keys() | then.keys()):
        if now.get(name) != then.get(name):
            found.append(f"{name.upper()}={then.get(name)} → {now.get(name)}")
    return "; ".join(found) or either("无", "nothing")


def data_of(report: Report) -> str:
    """The data that the model was trained on, by its manifest; "" where it names none."""
    lines = report.summary.get("manifest_chain") or []
    named = [line.strip() for line in lines if line.strip().startswith("data:")]
    return named[0].removeprefix("data:").strip() if named else ""


@app.command()
@in_chinese("一个目录里的所有评测，一张表。")
def main(
    folder: Annotated[
        Path, typer.Argument(help=either("本地评测写在哪里", "Where the local judge writes"))
    ] = Path("report"),
    sort: Annotated[
        Literal["time", "accuracy", "speed"],
        typer.Option(help=either("最好的或最新的排在最后", "Best or newest last")),
    ] = "time",
    plot: Annotated[
        Path | None,
        typer.Option(
            help=either(
                "再画出准确率和速度随时间的变化：PNG 或 SVG",
                "Also draw accuracy and speed over time: PNG or SVG",
            )
        ),
    ] = None,
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
    Console(width=None if Console().is_terminal else 180).print(table(reports, sort))
    if plot:
        plot.write_bytes(drawn(reports, plot.suffix.lstrip(".") or "png"))
        typer.echo(str(plot))


def table(reports: Sequence[Report], sort: str) -> Table:
    """One row a report. "Changed" is told against the run before it on the same test sets."""
    grid = Table()
    for zh, en in (("时间", "time"), ("模型", "model"), ("数据", "data"), ("测试集", "test sets")):
        grid.add_column(either(zh, en), overflow="fold")
    for zh, en in (("准确率", "accuracy"), ("复述问题", "echo"), ("字符/秒", "characters/s")):
        grid.add_column(either(zh, en), justify="right")
    grid.add_column(either("与上一次的不同", "changed since the last"), overflow="fold")
    last: dict[str, Report] = {}
    rows = []
    for report in reports:
        key = testsets_of(report)
        rows.append((report, changes(report, last.get(key))))
        last[key] = report
    if sort != "time":
        rows.sort(key=lambda row: row[0].summary["total"][sort])
    for report, changed in rows:
        total = report.summary["total"]
        failed = report.summary.get("failures")
        score = f"{total['accuracy']:.3f} ± {1.96 * total['stderr']:.3f}"
        echo = "–" if total.get("echo") is None else f"{total['echo']:.3f}"
        grid.add_row(
            report.folder.name,
            Text(str(report.summary.get("model"))),
            Text(data_of(report)),
            Text(testsets_of(report)),
            Text(either("评测判失败", "failed"), style="red") if failed else score,
            echo,
            f"{total['speed']:,.0f}",
            Text(changed),
            style="dim" if report.summary.get("demo") else "",
        )
    return grid


def drawn(reports: Sequence[Report], form: str) -> bytes:
    """Accuracy with its interval, and speed, over the runs; a colour for each test set."""
    from matplotlib.figure import Figure

    with chart_words(text_stays_text=form == "svg") as say:
        return _drawn(Figure(figsize=(9, 6), layout="constrained"), reports, form, say)


def _drawn(figure: Any, reports: Sequence[Report], form: str, say: Words) -> bytes:
    above, below = figure.subplots(2, 1, sharex=True)
    names = list(dict.fromkeys(map(testsets_of, reports)))
    for name in names:
        members = [(i, r.summary["total"]) for i, r in enumerate(reports) if testsets_of(r) == name]
        where = [i for i, _ in members]
        above.errorbar(
            where,
            [total["accuracy"] for _, total in members],
            yerr=[1.96 * total["stderr"] for _, total in members],
            marker="o",
            capsize=3,
            label=name,
        )
        below.plot(where, [total["speed"] for _, total in members], marker="o")
    above.set_ylabel(say("准确率（95 %）", "accuracy (95 %)"))
    below.set_ylabel(say("字符/秒", "characters/s"))
    below.set_xticks(range(len(reports)), [r.folder.name for r in reports], rotation=60)
    above.legend()
    above.grid(alpha=0.3)
    below.grid(alpha=0.3)
    import io

    stream = io.BytesIO()
    figure.savefig(stream, format=form, dpi=120)
    return stream.getvalue()
