"""The local judge: asks a running service as the contest's judge would, and says what it scores.

    python eval_local.py testset.docx more.jsonl
    python eval_local.py --url http://127.0.0.1:8000 --out report --min-accuracy 0.35 testset.docx
    python eval_local.py --wait testset.docx           the service is still starting

Exit code: 0 when the run completed, 1 when the judge would have failed the submission or a gate
(--min-accuracy, --min-speed) was missed, 2 for wrong usage.
"""

from pathlib import Path
from typing import Annotated, Any, Literal

import typer
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    SpinnerColumn,
    TextColumn,
    TimeElapsedColumn,
)

from common.cli import argument, make_app, option
from common.facts import HEALTH_LIMIT_S, PREDICT_LIMIT_S
from common.language import either, in_chinese
from common.pairs import PairFile
from common.tokenizer_file import load_tokenizer
from data.answer_profile import gap
from judging.judge import Conditions, Judgement, judge
from judging.protocol import NothingListensError, ServiceNotReadyError, check_url
from judging.report import answer_rows, summary, table, write_report
from judging.testset import read_testsets

WARNINGS_SHOWN = 5  # a test set; the report has all

# Texts from files and services are printed as they are, and a path is one line to copy.
PLAIN: dict[str, Any] = {"markup": False, "highlight": False, "soft_wrap": True}
results_to = Console()
notes_to = Console(stderr=True)
app = make_app()


@app.command()
@in_chinese("像比赛的评测机那样，用题集评测一个正在运行的服务。")
def main(
    testsets: Annotated[
        list[Path],
        argument(
            "测试集：.docx、.xlsx、.jsonl、.json、.csv",
            "Test sets: .docx, .xlsx, .jsonl, .json, .csv",
        ),
    ],
    url: Annotated[str, option("服务的地址", "The service's address")] = "http://127.0.0.1:8000",
    mode: Annotated[
        Literal["auto", "batch", "serial"],
        option(
            "auto：按服务的 GET / 所说，与评测机一样",
            "auto: as the service's GET / says, like the judge",
        ),
    ] = "auto",
    timeout: Annotated[
        float,
        option(
            "一个题集所有 POST 一共多少秒", "Seconds for all POST calls of one test set", min=0.001
        ),
    ] = PREDICT_LIMIT_S,
    health_timeout: Annotated[
        float,
        option("等 GET / 返回 HTTP 200 多少秒", "Seconds to wait for HTTP 200 of GET /", min=0.001),
    ] = HEALTH_LIMIT_S,
    wait: Annotated[
        bool,
        option(
            "端口还没开也等，与评测机一样",
            "Wait for a port that is not open yet, as the judge does",
            "--wait",
        ),
    ] = False,
    limit: Annotated[
        int | None,
        option("每个题集只问前 N 题", "Ask only the first N questions of each test set", min=1),
    ] = None,
    out: Annotated[Path, option("报告的目录", "Folder for the reports")] = Path("report"),
    tokenizer: Annotated[
        Path | None,
        option(
            "有 tokenizer.json 的模型目录：加上真实的词元/秒",
            "A model's folder with tokenizer.json: adds real tokens/s",
        ),
    ] = None,
    only_read: Annotated[
        bool, option("只读题集，不评", "Only read the test sets", hidden=True)
    ] = False,
    min_accuracy: Annotated[
        float | None,
        option(
            "全部题集的准确率低于它就以 1 退出",
            "Exit 1 below this accuracy over all sets",
            min=0,
            max=1,
        ),
    ] = None,
    min_speed: Annotated[
        float | None,
        option(
            "全部题集的字符/秒低于它就以 1 退出",
            "Exit 1 below these characters/s over all sets",
            min=0,
        ),
    ] = None,
) -> None:
    """Judge a running service on test sets, as the contest's judge would."""
    # Everything that can be wrong on this side is found before the service is asked anything.
    try:
        address = check_url(url)
        sets = read_testsets(testsets)
        loaded_tokenizer = load_tokenizer(tokenizer) if tokenizer else None
        out.mkdir(parents=True, exist_ok=True)
    except (ValueError, OSError) as error:
        _complain(error)
        raise typer.Exit(2) from None
    if only_read:
        return
    conditions = Conditions(mode, timeout, health_timeout, limit, wait_for_port=wait)
    try:
        judgement = _judge_with_progress(address, sets, conditions)
    except NothingListensError as error:
        _complain(
            either(
                f"{error}。先启动服务（bash run.sh serve），或用 --wait 等它",
                f"{error}. Start the service (bash run.sh serve), or wait for it: --wait",
            )
        )
        raise typer.Exit(1) from None
    except ServiceNotReadyError as error:
        _complain(_would_fail(error))
        raise typer.Exit(1) from None
    told = summary(judgement, loaded_tokenizer)
    rows = list(answer_rows(judgement))
    from judging.history import against  # loads numpy

    told["against"] = against(told, rows, out)
    told["gap"] = gap([row["answer"] for row in rows], [row["reference"] for row in rows])
    _note_warnings(told)
    # Before any file is written: a full disk must not cost it. Uncropped: it holds a command.
    results_to.print(table(told), crop=False)
    results_to.print(told["gap"], **PLAIN)
    directory = write_report(told, rows, out)
    results_to.print(f"{either('报告：', 'report: ')}{directory / 'report.html'}", **PLAIN)
    problems = [*(_would_fail(line) for line in told["failures"]), *judgement.leaks]
    for name, value, least in (
        ("accuracy", told["total"]["accuracy"], min_accuracy),
        ("speed", told["total"]["speed"], min_speed),
    ):
        if least is not None and value < least:
            problems.append(
                either(
                    f"{name} {value:.4g} 低于 --min-{name} {least:g}",
                    f"{name} {value:.4g} is below --min-{name} {least:g}",
                )
            )
    for problem in problems:
        _complain(problem)
    raise typer.Exit(1 if problems else 0)


def _judge_with_progress(url: str, sets: list[PairFile], conditions: Conditions) -> Judgement:
    columns = (
        SpinnerColumn(finished_text="✓"),
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=notes_to) as progress:
        tasks: dict[str, Any] = {}

        def show(name: str, done: int, total: int) -> None:
            if done == 0:
                tasks[name] = progress.add_task(name, total=total)
            progress.update(tasks[name], completed=done)

        return judge(url, sets, conditions, show)


def _note_warnings(told: dict[str, Any]) -> None:
    for warning in told["warnings"]:
        _note(either(f"注意：{warning}", f"warning: {warning}"))
    for testset in told["testsets"]:
        for warning in testset["warnings"][:WARNINGS_SHOWN]:
            _note(f"{testset['name']}: {warning}")
        if (more := len(testset["warnings"]) - WARNINGS_SHOWN) > 0:
            name = testset["name"]
            _note(
                either(
                    f"{name}：另有 {more} 条见报告", f"{name}: {more} warnings more in the report"
                )
            )
    if told["deviations"]:
        options = ", ".join(told["deviations"])
        _note(either(f"与评测条件不同：{options}", f"not the judge's own conditions: {options}"))


def _would_fail(why: object) -> str:
    return either(f"评测会判失败：{why}", f"the judge would fail this submission: {why}")


def _note(text: object) -> None:
    notes_to.print(str(text), style="yellow", **PLAIN)


def _complain(text: object) -> None:
    notes_to.print(str(text), style="bold red", **PLAIN)


if __name__ == "__main__":
    app()
