"""The submission log: what was pushed, what was predicted, what the judge mailed back.

python -m preflight.submissions add --report report/TIME --settings MAX_NUM_SEQS=256
python -m preflight.submissions add --accuracy 0.41 --speed 9000
python -m preflight.submissions result 3 --accuracy 0.38 --speed 7400
python -m preflight.submissions result 4 --failed "health: no answer in 180 s"
python -m preflight.submissions undo 4
python -m preflight.submissions list

`add` takes model and revision from the commit's Dockerfile, and the verdict from the last preflight
where that looked at this commit. `--accuracy` and `--speed` of `add` are predictions (`--report`:
those that follow from a local judgement), of `result` the judge's own numbers; both for all
questions.
"""

from datetime import datetime, timezone
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from common.cli import argument, make_app, option, stop
from common.language import either, in_chinese
from common.submission_log import (
    ATTEMPTS,
    LOG,
    LogError,
    Numbers,
    Submission,
    read_log,
    write_log,
)
from preflight import submission_evidence as evidence

app = make_app()
LogOption = Annotated[Path, option("记录文件", "The log's file", "--log")]


@app.callback(invoke_without_command=True)
@in_chinese("提交记录。不带命令：列出来。")
def main(context: typer.Context) -> None:
    """The log of what was submitted. Without a command: the list."""
    if context.invoked_subcommand is None:
        show(LOG)


@app.command()
@in_chinese("在知道结果之前记下一次提交：事后的预测不算预测。")
def add(
    commit: Annotated[str, option("推送的是哪个提交", "What was pushed")] = "HEAD",
    model: Annotated[
        str | None,
        option(
            "模型库上的 用户名/模型名；不给：用 Dockerfile 里的",
            "OWNER/NAME on the hub; unset: the Dockerfile's",
        ),
    ] = None,
    revision: Annotated[
        str | None,
        option(
            "它的标签或分支；不给：用 Dockerfile 里的", "Its tag or branch; unset: the Dockerfile's"
        ),
    ] = None,
    settings: Annotated[
        list[str] | None, option("名=值，可以给多次", "NAME=VALUE, repeatable")
    ] = None,
    accuracy: Annotated[float | None, option("预测", "Predicted", min=0, max=1)] = None,
    speed: Annotated[
        float | None, option("预测，字符/秒", "Predicted, characters/s", min=0)
    ] = None,
    report: Annotated[
        Path | None,
        option(
            "本地评测的报告：按它来预测", "A local judge's report: what it lets expect is predicted"
        ),
    ] = None,
    preflight: Annotated[
        Path | None,
        option(
            f"它的 JSON；不给：{evidence.LAST}，如果检查的是这个提交",
            f"Its JSON; unset: {evidence.LAST}, if it is of this commit",
        ),
    ] = None,
    note: Annotated[str | None, typer.Option()] = None,
    log: LogOption = LOG,
) -> None:
    """Record an attempt, before its result is known: a prediction made later is none."""
    submissions = _read(log)
    if len(submissions) >= ATTEMPTS:
        stop(either(f"{log} 里已有全部 {ATTEMPTS} 次提交", f"all {ATTEMPTS} attempts are in {log}"))
    try:
        name = evidence.commit(commit)
        told = evidence.preflight(preflight, name)
        predicted = evidence.predicted(report, accuracy, speed)
    except LogError as error:
        stop(str(error))
    if model is None:
        model, named = evidence.model_of(name)
        revision = revision or named
    entry = Submission(
        number=len(submissions) + 1,
        pushed=datetime.now(timezone.utc).isoformat(timespec="seconds"),
        commit=name,
        model=model,
        revision=revision,
        settings=dict(_pair(text) for text in settings or []),
        predicted=predicted,
        preflight_passed=told.get("passed"),
        preflight_warnings=told.get("warnings"),
        note=note,
        report=report.resolve().name if report else None,
    )
    write_log(log, [*submissions, entry])
    named, verdict = _model(entry) or either("未知", "unknown"), _verdict(entry)
    typer.echo(
        either(
            f"第 {entry.number} 次提交（共 {ATTEMPTS} 次）：提交号 {name}，模型 {named}，"
            f"提交前检查{verdict}。要撤回：bash run.sh submissions undo",
            f"attempt {entry.number} of {ATTEMPTS}: commit {name}, model {named}, "
            f"preflight {verdict}. To take it back: bash run.sh submissions undo",
        )
    )
    if before := [each.number for each in submissions if each.commit == name]:
        typer.echo(
            either(
                f"注意：第 {before[-1]} 次也是这个提交；记重了就撤回",
                f"note: attempt {before[-1]} is of this commit, too; recorded twice? take it back",
            )
        )


@app.command()
@in_chinese("记下评测机对一次提交寄回的结果。")
def result(
    number: Annotated[int, argument("第几次提交", "The attempt's number", min=1)],
    accuracy: Annotated[float | None, option("评测机给的", "The judge's", min=0, max=1)] = None,
    speed: Annotated[
        float | None, option("评测机给的，字符/秒", "The judge's, characters/s", min=0)
    ] = None,
    failed: Annotated[str | None, option("评测机说的原因", "The judge's reason")] = None,
    log: LogOption = LOG,
) -> None:
    """Record what the judge mailed back for an attempt."""
    submissions = _read(log)
    entry = _attempt(submissions, number, log)
    if failed is None and accuracy is None and speed is None:
        stop(either("请给 --accuracy、--speed 或 --failed", "give --accuracy, --speed or --failed"))
    entry.failed = failed
    entry.result = None if failed else Numbers(accuracy=accuracy, speed=speed)
    write_log(log, submissions)
    typer.echo(either(f"第 {number} 次提交：已记录", f"attempt {number}: recorded"))


@app.command()
@in_chinese("撤回一次提交的结果；没有结果的，如果是最后一次就撤回它本身。")
def undo(
    number: Annotated[
        int | None,
        argument("第几次提交；不给：最后一次", "The attempt's number; unset: the last", min=1),
    ] = None,
    log: LogOption = LOG,
) -> None:
    """Take back an attempt's result; where it has none, the attempt itself, if it is the last."""
    submissions = _read(log)
    if not submissions:
        stop(either(f"{log} 里没有提交", f"no attempt in {log}"))
    entry = _attempt(submissions, number or submissions[-1].number, log)
    if entry.result or entry.failed:
        entry.result = entry.failed = None
        typer.echo(
            either(
                f"第 {entry.number} 次提交：撤回了结果，又在等待",
                f"attempt {entry.number}: its result is taken back, it waits again",
            )
        )
    elif entry is submissions[-1]:
        submissions.pop()
        typer.echo(
            either(f"撤回了第 {entry.number} 次提交", f"attempt {entry.number} is taken back")
        )
    else:
        stop(
            either(
                f"第 {entry.number} 次提交没有结果，而只有最后一次提交能撤回",
                f"attempt {entry.number} has no result, and only the last attempt can be taken "
                "back",
            )
        )
    write_log(log, submissions)


@app.command(name="list")
@in_chinese("预测与结果，以及还剩几次。")
def show(log: LogOption = LOG) -> None:
    """Prediction against outcome, and the attempts left."""
    submissions = _read(log)
    table = Table()
    en = ("#", "pushed", "commit", "model", "settings", "preflight")
    for heading in either(("#", "推送", "提交号", "模型", "设置", "提交前检查"), en):
        table.add_column(heading, overflow="fold")
    en = ("accuracy: predicted", "judge", "speed: predicted", "judge", "outcome")
    for heading in either(("准确率：预测", "评测", "速度：预测", "评测", "结果"), en):
        table.add_column(heading, justify="right", overflow="fold")
    for item in submissions:
        table.add_row(*_cells(item))
    console = Console(width=None if Console().is_terminal else 180)
    console.print(table)
    missed = [
        item.result.accuracy - item.predicted.accuracy
        for item in submissions
        if item.result and item.result.accuracy is not None and item.predicted.accuracy is not None
    ]
    if missed:
        mean = sum(missed) / len(missed)
        console.print(
            either(
                f"准确率，评测减预测：{len(missed)} 次平均 {mean:+.3f}",
                f"judge minus prediction, accuracy: {mean:+.3f} on average of {len(missed)}",
            )
        )
    judged = [item for item in submissions if _inside(item) is not None]
    if judged:
        inside = sum(_inside(item) is True for item in judged)
        console.print(
            either(
                f"落在预测区间内：{len(judged)} 次中 {inside} 次",
                f"inside the predicted interval: {inside} of {len(judged)}",
            )
        )
    left = ATTEMPTS - len(submissions)
    console.print(
        either(f"共 {ATTEMPTS} 次提交，还剩 {left} 次", f"{left} of {ATTEMPTS} attempts left")
    )


def _inside(item: Submission) -> bool | None:
    """Whether the judge's accuracy lies in the predicted interval; None without either."""
    got, told = item.result, item.predicted
    if got is None or got.accuracy is None or told.low is None or told.high is None:
        return None
    return told.low <= got.accuracy <= told.high


def _cells(item: Submission) -> list[str]:
    outcome = either("等待中", "waiting")
    if item.failed:
        outcome = either(f"失败：{item.failed}", f"failed: {item.failed}")
    elif item.result:
        outcome = either("已评", "judged")
    got = item.result or Numbers()
    settings = " ".join(f"{name}={value}" for name, value in item.settings.items())
    return [
        str(item.number), item.pushed[:16], item.commit, _model(item), settings, _verdict(item),
        _expected(item.predicted), _number(got.accuracy, 3),
        _number(item.predicted.speed, 0), _number(got.speed, 0), outcome,
    ]  # fmt: skip


def _model(item: Submission) -> str:
    return f"{item.model or ''}{'@' + item.revision if item.revision else ''}"


def _verdict(item: Submission) -> str:
    en = {None: "not run", True: "passed", False: "had failures"}
    told = either({None: "没有做", True: "通过", False: "有失败项"}, en)[item.preflight_passed]
    if not (count := item.preflight_warnings):
        return told
    return either(f"{told}，{count} 项警告", f"{told}, {count} warnings")


def _attempt(submissions: list[Submission], number: int, log: Path) -> Submission:
    found = next((item for item in submissions if item.number == number), None)
    return found or stop(either(f"{log} 里没有第 {number} 次提交", f"no attempt {number} in {log}"))


def _number(value: float | None, digits: int) -> str:
    return "" if value is None else f"{value:,.{digits}f}"


def _expected(told: Numbers) -> str:
    around = "" if told.low is None else f" [{told.low:.3f}, {told.high:.3f}]"
    return _number(told.accuracy, 3) + around


def _pair(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not equals or not name:
        stop(
            either(
                f"--settings {text!r}：应写成 名=值", f"--settings {text!r}: expected NAME=VALUE"
            )
        )
    return name, value


def _read(log: Path) -> list[Submission]:
    try:
        return read_log(log)
    except UnicodeDecodeError as error:
        stop(f"{log}: {error}")
    except (LogError, OSError) as error:
        stop(str(error))


if __name__ == "__main__":
    app()
