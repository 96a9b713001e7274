"""Find the serving settings that are fastest on this machine at the same score.

    bash run.sh tune --dev out/book/dev.jsonl --minutes 30
    bash run.sh tune --dev out/book/dev.jsonl --only-length      one trial: MAX_TOKENS alone
    MODEL_DIR=/path/to/model bash run.sh tune --dev out/book/dev.jsonl --testset mine.docx

Each trial starts the real service and judges it over HTTP on the dev split. Settings that are set
in the environment are kept fixed. Run it again to resume. It writes into --out: the trials
(study.db, tune.json), the Pareto front (front.png) and the chosen settings (serve.env). The
settings go to ./serve.env as well, which the service and the Dockerfile read; not those of the demo
model, since they suit no other model.
"""

import hashlib
import json
import os
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from common.cli import option, run_command, stop
from common.language import either, in_chinese
from common.manifest import read_manifest
from common.pairs import Pair, PairsError
from common.service_process import SignalReceived, stop_on_signals
from retrieval.examples_auto import as_settings
from serving.settings import SETTINGS_FILE, Settings, SettingsError, load_settings
from tune import settings_file, space
from tune.dev import DevError, default_dev, is_demo, read_dev, token_counts, too_short
from tune.pareto import TrialResult, pareto_front, plot, select
from tune.trial import Measure, Outcome, TrialFailedError, is_quantized, measure_with

console = Console(width=None if Console().is_terminal else 140)

# How every question is asked: by the model, or as the environment says, in each trial.
ASKED_WITH = ("RETRIEVAL_EXAMPLES", "RETRIEVAL_PASSAGES", *space.ROOM)
INTERRUPTED = "interrupted"
ENDED = {  # why a run ended, as tune.json has it
    INTERRUPTED: "已中断",
    "the time is up": "时间到了",
    "no settings are left that were not tried": "没有没试过的设置了",
}


@in_chinese("用验证集搜索服务的设置。")
def main(
    dev: Annotated[
        Path | None, option("验证集：docx 或 jsonl", "the dev split: docx or jsonl")
    ] = None,
    minutes: Annotated[float, option("这一次的时间预算", "budget of this run", min=0.1)] = 30.0,
    model: Annotated[Path, option("模型目录", "model directory", envvar="MODEL_DIR")] = Path(
        "model/demo"
    ),
    testset: Annotated[
        list[Path] | None,
        option(
            "你的测试集：验证集里混有它们就拒绝；答案比它们短很多就不选长度",
            "your test sets: a dev split that has one is refused; one whose answers are much "
            "shorter chooses no length",
        ),
    ] = None,
    limit: Annotated[
        int | None, option("只用前 N 道验证题", "only the first N dev questions", min=1)
    ] = None,
    may_lose: Annotated[
        float, option("为了速度最多可以丢多少分", "score that may be lost for speed", min=0)
    ] = 0.0,
    at_least: Annotated[
        float,
        option(
            "默认设置低于这个分数时：取够分的里面最快的，再慢也行",
            "where the defaults score less: the fastest settings that reach it, however slow",
            min=0,
            max=1,
        ),
    ] = 0.0,
    out: Annotated[Path, option("结果的目录", "folder of the results")] = Path("out/tune"),
    only_length: Annotated[
        bool,
        option(
            "只试一次，并按它的回答定 MAX_TOKENS",
            "one trial, and MAX_TOKENS by its answers",
            "--only-length",
        ),
    ] = False,
    write: Annotated[
        Path | None,
        option(
            "设置的第二份（默认：serve.env；演示模型：没有）",
            "second copy of the settings (default: serve.env; demo model: none)",
        ),
    ] = None,
) -> None:
    """Search serving settings on the dev split."""
    until = time.monotonic() + 60 * minutes
    stop_on_signals()
    try:
        questions = read_dev(dev or default_dev(model), testset or [])
        quantized = is_quantized(model)
        tokens = token_counts(questions, model)
        unlike = too_short(questions, testset or [])
        out.mkdir(parents=True, exist_ok=True)
        asked = questions.pairs[:limit]
        asked_with = as_settings(read_manifest(model))
        asked_with |= {n: os.environ[n] for n in ASKED_WITH if n in os.environ}
        name = f"{model.name}-{_fingerprint(model, asked, asked_with)}"
    except (DevError, PairsError, OSError, ValueError) as error:
        stop(str(error), 2)
    fixed = {n: os.environ[n] for n in (*space.NAMES, *space.ROOM) if n in os.environ}
    if unlike:
        stays = either(
            f"不设 MAX_TOKENS（serve.env 里原有的去掉）：{unlike}",
            f"MAX_TOKENS is not set, and one in serve.env is removed: {unlike}",
        )
        console.print(stays, highlight=False, soft_wrap=True, markup=False)
    shipped = write or (None if is_demo(model) else Path(SETTINGS_FILE))
    if only_length:
        kept = settings_file.read(shipped) if shipped else {}
        # The file may be of an older model, whose examples are not this one's. Passages that it
        # names are kept, so the trial has them, too: what was measured is what is written.
        asked_with = {n: kept[n] for n in ASKED_WITH if n in kept} | asked_with
        if unlike:
            # How questions are asked is this model's, and is written all the same.
            kept.pop("MAX_TOKENS", None)
            notes = [
                f"no MAX_TOKENS: the answers of {questions.path.name} are too short to choose by"
            ]
            _write(kept | asked_with, notes, out / "serve.env", shipped)
            return
        measure = measure_with(model, questions, limit, out, asked_with)
        paths = out / "serve.env", shipped
        _only_length(measure, len(asked), questions.path, kept | asked_with, *paths)
        return
    from tune.search import Search  # loads Optuna

    measure = measure_with(model, questions, limit, out, asked_with)
    search = Search(out.resolve() / "study.db", name, measure, may_lose, at_least)

    def make_space(outcome: Outcome) -> space.Space:
        return space.space_of(
            space.Facts(
                outcome.engine,
                len(asked),
                tokens,
                quantized,
                outcome.passages,
                outcome.examples,
                outcome.cap and outcome.cap.tokens,
            ),
            [*fixed, *(["MAX_TOKENS"] if unlike else [])],
        )

    ended, confirmed, exit_code = "", False, 0
    try:
        if search.begun:
            count, study = len(search.rows()), out / "study.db"
            console.print(
                either(
                    f"接着上次：{study} 里已有 {count} 次试验",
                    f"resumed: {count} trials are in {study}",
                )
            )
        else:
            count = len(asked)
            console.print(
                either(
                    f"先测默认设置，用 {questions.path} 的 {count} 题 …",
                    f"the defaults, on {count} questions of {questions.path} …",
                )
            )
            search.begin(make_space)
            _print_trial(search.rows()[0])
        ended = search.run(until, _print_trial)
        confirmed = search.confirm(until)
    except TrialFailedError as error:
        stop(
            either(
                f"默认设置跑不起来，没有可比的：{error}",
                f"the defaults do not run, so there is nothing to compare with: {error}",
            ),
            1,
        )
    except SignalReceived as received:
        exit_code = received.exit_code
        if not search.begun:
            stop(
                either(
                    "默认设置还没有测完就中断了", "interrupted before the defaults were measured"
                ),
                exit_code,
            )
        ended = INTERRUPTED
    rows = search.rows()
    best = select(rows, may_lose, at_least)
    console.print(either(ENDED.get(ended, ended), ended))
    count, file = len(asked), questions.path.name
    title = either(
        f"{model.name}，{file} 的 {count} 题", f"{model.name}, {count} questions of {file}"
    )
    _show(rows, best, title)
    plot(rows, best, out / "front.png", f"{model.name}: {len(rows)} trials")
    told = _report(rows, best, {"model": model.name, "dev": questions.path.name,
                                "questions": len(asked), "fixed": fixed, "ended": ended,
                                "confirmed": confirmed})  # fmt: skip
    (out / "tune.json").write_text(json.dumps(told, ensure_ascii=False, indent=1) + "\n", "utf-8")
    notes = [
        f"{model.name}: score {best.score:.4f} (defaults {rows[0].score:.4f}), speed "
        f"{best.speed:,.0f} characters/s (defaults {rows[0].speed:,.0f}), on the dev split, here",
        *([] if best.settings else ["nothing was faster than the defaults, so they apply"]),
        *([] if confirmed else ["measured once: there was no time for a second run"]),
    ]
    chosen = f"{either('选定：', 'chosen: ')}{_text(best.settings)}"
    console.print(chosen, highlight=False, markup=False)
    _write({**asked_with, **fixed, **best.settings}, notes, out / "serve.env", shipped)
    if exit_code:
        raise typer.Exit(exit_code)
    if not confirmed:
        console.print(
            either(
                "还没有第二次测量来证实：再运行一次并加大 --minutes，会接着做",
                "not confirmed by a second run: run it again with more --minutes to resume",
            )
        )


def _only_length(
    measure: Measure,
    count: int,
    dev: Path,
    kept: dict[str, str],
    result: Path,
    shipped: Path | None,
) -> None:
    """Ask the dev split once, choose MAX_TOKENS by its answers; `kept` is written beside it."""
    try:
        outcome = measure({}, "length")
    except TrialFailedError as error:
        stop(
            either(
                f"服务跑不起来，没有回答可供选择：{error}",
                f"the service does not run, so there are no answers to choose by: {error}",
            ),
            1,
        )
    except SignalReceived as received:
        raise typer.Exit(received.exit_code) from None
    console.print(
        either(
            f"{dev} 的 {count} 题，不设上限：得分 {outcome.score:.4f}",
            f"{count} questions of {dev}, uncapped: score {outcome.score:.4f}",
        )
    )
    if outcome.cap is None:
        console.print(
            either(
                "没有哪个上限确实更高（95 % 区间）：不设 MAX_TOKENS（serve.env 里原有的去掉）",
                "no cap certainly scores higher (95 %): MAX_TOKENS is not set, one in serve.env is "
                "removed",
            )
        )
        kept.pop("MAX_TOKENS", None)
        told = f"no MAX_TOKENS: no cap was shown to score higher on {dev.name}"
    else:
        console.print(outcome.cap.told(), highlight=False)
        kept["MAX_TOKENS"] = str(outcome.cap.tokens)
        told = f"{outcome.cap.told()} ({dev.name})"
    _write(kept, [told], result, shipped)


def _fingerprint(model: Path, asked: Sequence[Pair], asked_with: dict[str, str]) -> str:
    """Hash of what trials must share to be comparable: weights, the book's index, worked examples
    of one's own, questions, other settings."""
    settings = load_settings(retrieval_examples=asked_with["RETRIEVAL_EXAMPLES"])
    index, examples = settings.retrieval_dir, settings.retrieval_examples
    files = [*sorted(model.glob("*.safetensors")), *(index.glob("passages.jsonl") if index else ())]
    # One that is missing is the service's to tell, where it needs it.
    files += [examples] if isinstance(examples, Path) and examples.is_file() else []
    weights = [(file.name, file.stat()) for file in files]
    names = {name.upper() for name in Settings.model_fields} - {"MODEL_DIR", "SETTINGS_FILE"}
    parts = (
        (model / "config.json").read_text(encoding="utf-8"),
        [(name, stat.st_size, stat.st_mtime_ns) for name, stat in weights],
        [(question.question, question.answer) for question in asked],
        sorted((name, os.environ[name]) for name in names & os.environ.keys()),
        sorted(asked_with.items()),
    )
    return hashlib.sha256(repr(parts).encode()).hexdigest()[:12]


def _write(settings: dict[str, str], notes: list[str], result: Path, shipped: Path | None) -> None:
    examples = settings["RETRIEVAL_EXAMPLES"]
    try:
        if not settings_file.in_image(examples):
            notes = [*notes, f"{examples} is not in the image: copy it to index/ and name that"]
            better = f"RETRIEVAL_EXAMPLES=index/{Path(examples).name}"
            told = either(
                f"注意：{examples} 不进镜像，服务在那里会起不来：复制到 index/，并改成 {better}",
                f"note: {examples} does not go into the image, where the service would not start: "
                f"copy it to index/ and set {better}",
            )
            console.print(told, highlight=False, soft_wrap=True, markup=False)
        settings_file.write(result, settings, notes)
        message = either(f"已写入：{result}", f"written: {result}")
        if shipped is None:
            message += either(
                f"；没有写 ./{SETTINGS_FILE}，因为这是演示模型",
                f"; not ./{SETTINGS_FILE}, because this is the demo model",
            )
        elif settings_file.may_replace(shipped):
            settings_file.write(shipped, settings, notes)
            message += either(
                f" 和 {shipped}（提交它，镜像里才有）",
                f" and {shipped} (commit it, so that the image has it)",
            )
        else:
            message += either(
                f"；{shipped} 不是这个命令写的，没有动它：需要的自己抄过去",
                f"; {shipped} was not written by this command and is kept: copy what you want",
            )
    except (SettingsError, OSError) as error:
        stop(str(error), 1)
    console.print(message, highlight=False, soft_wrap=True)


def _print_trial(row: TrialResult) -> None:
    result = either(f"失败：{row.reason}", f"failed: {row.reason}")
    if row.ok:
        result = either(
            f"得分 {row.score:.4f}，{row.speed:,.0f} 字符/秒",
            f"score {row.score:.4f}, {row.speed:,.0f} characters/s",
        )
    if row.ok and (seconds := row.start_seconds):
        result += either(f"（{seconds:.0f} 秒就绪）", f" (ready after {seconds:.0f} s)")
    head = either(f"试验 {row.number}", f"trial {row.number}")
    console.print(f"{head}: {_text(row.settings)}: {result}", highlight=False, markup=False)


def _show(rows: list[TrialResult], best: TrialResult, title: str) -> None:
    table = Table(title=title, title_justify="left")
    table.add_column(either("试验", "trial"), justify="right")
    table.add_column(either("设置", "settings"), overflow="fold")
    zh, en = ("得分", "字符/秒", "÷ 默认", "次数"), ("score", "characters/s", "÷ defaults", "runs")
    for column in either(zh, en):
        table.add_column(column, justify="right")
    table.add_column("", overflow="fold")
    front = {row.number for row in pareto_front(rows)}
    done = sorted((row for row in rows if row.ok), key=lambda row: -row.speed)
    for row in [*done, *(row for row in rows if not row.ok)]:
        marks = [either("选定", "chosen")] if row is best else []
        marks += [either("帕累托前沿", "Pareto front")] if row.number in front else []
        cells = [either(f"失败：{row.reason}", f"failed: {row.reason}")]
        if row.ok:
            numbers = f"{row.score:.4f}", f"{row.speed:,.0f}", f"{row.speed / rows[0].speed:.3f}"
            cells = [*numbers, str(len(row.measured)), ", ".join(marks)]
        else:
            cells = ["", "", "", "", *cells]
        escaped = [cell.replace("[", "\\[") for cell in (_text(row.settings), *cells)]
        table.add_row(str(row.number), *escaped, style="bold" if row is best else None)
    console.print(table)


def _report(rows: list[TrialResult], best: TrialResult, facts: dict[str, Any]) -> dict[str, Any]:
    return {
        **facts,
        "defaults": rows[0].number,
        "best": best.number,
        "front": [row.number for row in pareto_front(rows)],
        "trials": [{**vars(row)} for row in rows],
    }


def _text(settings: dict[str, str]) -> str:
    return " ".join(f"{name}={value}" for name, value in settings.items()) or either(
        "默认", "defaults"
    )


if __name__ == "__main__":
    run_command(main)
