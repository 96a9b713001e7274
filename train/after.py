"""Commands around a training: did it help, what next, compare, plan, sweep, upload."""

from pathlib import Path
from typing import Annotated

import typer

from common.cli import argument, option
from common.facts import FACTS, JUDGES_DEVICE
from common.language import in_chinese
from train import steps
from train.base import ModelError
from train.retriever.command import Overrides
from train.told import told_errors
from train.verdict import EXIT_WORSE, read_verdict
from train.verdict import NAME as VERDICT_NAME

console = steps.console
DEVICE_GB: float = FACTS["devices"][JUDGES_DEVICE]["memory_bytes"] / 1e9


@in_chinese("那次训练有用吗？退出码 0：有；4：没有差别；3：比基座差。")
def verdict(
    out: Annotated[Path, argument("一次训练的目录（output_dir）", "a run's folder (output_dir)")],
) -> None:
    """Did that run help? Exit code 0: yes; 4: no difference; 3: worse than its base."""
    with told_errors():
        found = read_verdict(out)
        if found is None:
            raise ModelError(
                f"{out}：没有 {VERDICT_NAME}；`train run` 或 `train lora` 会写出它",
                f"{out}: no {VERDICT_NAME}: `train run` or `train lora` writes it",
            )
        steps.show_verdict(found, out)
        raise typer.Exit({"better": 0, "same": 4, "worse": EXIT_WORSE}[found.verdict])


@in_chinese("最可能提分的三步，每一步都来自那次训练的一个数字。")
def advise(
    out: Annotated[
        Path, argument("评测过的训练目录（output_dir）", "a judged run's folder (output_dir)")
    ],
    judged: Annotated[
        Path | None, option("再加一份 eval_local.py 的报告", "a report of eval_local.py, too")
    ] = None,
) -> None:
    """The three steps most likely to raise the score, each from a number of the run."""
    from train.advise import advise as advised
    from train.advise import tell

    with told_errors():
        tell(advised(out, judged), steps.say)


@in_chinese("一份配方的多次训练，一张表：显存、分钟、得分及其区间。")
def sweep(
    file: Annotated[
        Path, argument("train/sweeps 里的 YAML，或你自己的", "a YAML of train/sweeps, or your own")
    ],
    overrides: Overrides = None,
    at_once: Annotated[int | None, option("同时跑几个", "runs side by side", min=1)] = None,
) -> None:
    """Many runs of one recipe in one table: memory, minutes, score with its interval."""
    from train.sweep import load_sweep, run_sweep, sweep_table
    from train.sweep_pools import pool_table, pools

    with told_errors():
        wanted = load_sweep(file, overrides or [])
        if at_once:
            wanted = wanted.model_copy(update={"at_once": at_once})
        rows = run_sweep(wanted, steps.say)
        console.print(sweep_table(rows))
        if any("seed" in row.changes for row in rows):
            console.print(pool_table(pools(rows)))
        for told in dict.fromkeys(row.failed for row in rows if row.failed):
            console.print(told, style="red", markup=False, highlight=False, soft_wrap=True)
        if not any(row.verdict for row in rows):
            raise typer.Exit(1)


@in_chinese("上传模型；令牌取自 MODELSCOPE_API_TOKEN（或 HF_TOKEN）。")
def upload(
    directory: Annotated[Path, argument("模型目录", "model directory")],
    repo: Annotated[str, argument("用户名/模型名", "OWNER/NAME")],
    hub: Annotated[str, option("modelscope 或 hf", "modelscope or hf")] = "modelscope",
    public: Annotated[
        bool, option("所有人可见；评测机需要这样", "visible to all; the judge needs that")
    ] = False,
) -> None:
    """Upload a model; the token comes from MODELSCOPE_API_TOKEN (or HF_TOKEN)."""
    from train.upload import upload as send

    with told_errors():
        said, *attention = send(directory, repo, hub, public).splitlines()
        console.print(said, markup=False, highlight=False, soft_wrap=True)
        for line in attention:
            console.print(line, style="bold yellow", markup=False, highlight=False, soft_wrap=True)


@in_chinese("逐个启动模型、逐个评测，说出赢了和输了哪些回答。")
def compare(
    models: Annotated[list[Path], argument("基座 微调后 [量化后 …]", "BASE TUNED [QUANTIZED …]")],
    testset: Annotated[
        list[Path], option("docx 或 jsonl；可以给多次", "docx or jsonl; may be given several times")
    ],
    out: Annotated[Path, option("报告写到哪里", "where the report goes")] = Path("report/compare"),
    judged: Annotated[
        list[Path] | None,
        option(
            "eval_local.py 的一份报告：它的模型不再重新启动",
            "a report of eval_local.py: its model is not served again",
        ),
    ] = None,
    max_tokens: Annotated[
        int | None,
        option(
            "最长的回答；默认：服务的设置", "longest answer; default: the service's setting", min=1
        ),
    ] = None,
    serve_python: Annotated[Path, option("装有 vLLM 的 python", "one with vLLM")] = Path(
        ".venv/bin/python"
    ),
) -> None:
    """Serve each model in turn, judge each, and say which answers were won and lost."""
    from train.compare import compare_models
    from train.compare_report import table, write_comparison

    with told_errors():
        compared = compare_models(models, testset, serve_python, max_tokens, judged or [])
        write_comparison(compared, out)
        console.print(table(compared, out))


@in_chinese("按公式估计服务和训练一个模型要多少显存和时间。")
def plan(
    model: Annotated[
        str, argument("模型目录、config.json 或模型名", "model directory, config.json, or hub id")
    ],
    device_gb: Annotated[
        float, option("设备的显存，GB（10⁹ 字节）", "memory of the device, GB (10⁹ bytes)", min=0.1)
    ] = DEVICE_GB,
    tokens: Annotated[
        int, option("训练一步的词元数", "tokens in one step of training", min=1)
    ] = 4096,
    lora_rank: Annotated[int, typer.Option(min=1)] = 32,
) -> None:
    """Memory and time of serving and training a model, by formulas."""
    from train.estimate import print_plan

    with told_errors():
        print_plan(model, device_gb, tokens, lora_rank, console)
