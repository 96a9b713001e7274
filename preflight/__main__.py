"""Before the push: would this repository, with this model, pass the judge, and what would it score?

python -m preflight                                 the commit, the Dockerfile's model
python -m preflight --model-dir model/demo          and a dress rehearsal with that model
python -m preflight --config config.json --weights awq --device rtx-4090-laptop

Looks at the last commit as the judge would clone it. Exit code: 0 when nothing would fail (what
could not be looked at is `unknown`; what passes the judge's limits and most likely wastes the
attempt is `warn`), 1 when something would, 2 for wrong usage.
"""

from enum import Enum
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from common.cli import argument, make_app, option
from common.device_table import KEYS
from common.facts import JUDGES_DEVICE
from common.language import either, in_chinese
from common.model_shape import ShapeError
from common.pairs import PairsError
from preflight.check import Submission, check
from preflight.checkout import RepositoryError
from preflight.model import ModelError, Precision
from preflight.submission_evidence import LAST
from preflight.table import passed, show, write

DeviceKey = Enum("DeviceKey", {key: key for key in KEYS}, type=str)
JUDGES = DeviceKey(JUDGES_DEVICE)
app = make_app()


@app.command()
@in_chinese("在花掉一次提交之前先检查。")
def main(
    testsets: Annotated[
        list[Path] | None,
        argument(
            "用来估时间和彩排的测试集：docx 或 jsonl",
            "Test sets for times and rehearsal: docx or jsonl",
        ),
    ] = None,
    repository: Annotated[Path, option("要提交的仓库", "Repository to submit")] = Path(),
    commit: Annotated[str, option("要提交的提交号", "Commit to submit")] = "HEAD",
    model_dir: Annotated[
        Path | None,
        option(
            "模型目录：看大小和形状，也用来彩排",
            "Model directory: its bytes, its shape, the rehearsal",
        ),
    ] = None,
    config: Annotated[
        Path | None,
        option("只有 config.json，与 --weights 一起用", "config.json alone, with --weights"),
    ] = None,
    weights: Annotated[Precision, option("与 --config 一起用", "For --config")] = "bf16",
    device: Annotated[
        DeviceKey, option("按哪种设备的速度和显存", "Whose speed and memory")
    ] = JUDGES,
    startup_s: Annotated[
        float | None,
        option("测得的启动时间，代替估计", "A measured start, instead of the estimate", min=0),
    ] = None,
    rehearsal: Annotated[
        bool,
        option("在这里启动并评测（需要 --model-dir）", "Run and judge it here (needs --model-dir)"),
    ] = True,
    offline: Annotated[
        bool, option("不查模型库和软件包索引", "Ask no hub and no package index")
    ] = False,
    out: Annotated[
        Path, option("结果存成 JSON，给提交记录用", "The lines as JSON, for the submission log")
    ] = LAST,
) -> None:
    """Check a submission before it costs an attempt."""
    told = Console(stderr=True)
    what = Submission(
        repository=repository,
        commit=commit,
        testsets=testsets or [],
        model_dir=model_dir,
        config=config,
        precision=weights,
        device=device.value,
        startup_s=startup_s,
        rehearsal=rehearsal,
        offline=offline,
    )
    doing = either("提交前检查", "preflight")
    if model_dir and rehearsal:
        doing += either(
            "：把服务启动两次，各答一遍题，要几分钟",
            ": the service starts twice and answers all questions each time, which takes minutes",
        )
    if not told.is_terminal and (not model_dir or model_dir.is_dir()):
        told.print(doing)  # a log shows no spinner
    try:
        with told.status(doing):
            found = check(what)
        show(found, device.value)
        write(out, found, device.value)
    except (RepositoryError, ModelError, ShapeError, PairsError, OSError) as error:
        told.print(str(error), markup=False, highlight=False, soft_wrap=True, style="red")
        raise typer.Exit(2) from None
    raise typer.Exit(0 if passed(found.lines) else 1)


if __name__ == "__main__":
    app()
