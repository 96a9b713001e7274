"""From base model and pairs to a model that serves: one command, or step by step.

python -m train run RECIPE.yaml [key=value …]            all steps; --dry-run only plans
python -m train lora RECIPE.yaml [key=value …] --resume  training alone (merge, quantize, check too)
python -m train upload DIR OWNER/NAME                    to ModelScope (or --hub hf)
python -m train compare BASE TUNED --testset T.docx      did it help?
python -m train plan CONFIG --device-gb 24               memory and time before anything runs
"""

import os
import shlex
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated

import typer
from rich.console import Console

from common.facts import FACTS, JUDGES_DEVICE
from common.language import either
from common.manifest import ManifestError
from common.model_shape import ShapeError
from common.pairs import PairsError
from train.base import ModelError, fetch_base
from train.dataset import DataError, load_rows
from train.recipe import Recipe, RecipeError, load_recipe

app = typer.Typer(add_completion=False, no_args_is_help=True, help="Fine-tune, merge, quantize.")
console = Console()
DEVICE_GB: float = FACTS["devices"][JUDGES_DEVICE]["memory_bytes"] / 1e9
RecipePath = Annotated[Path, typer.Argument(help="a YAML of train/recipes, or your own")]
Overrides = Annotated[list[str] | None, typer.Argument(help="key=value, over the recipe's")]


# Idle OpenMP threads sleep instead of spinning: on a CPU with anything else running, spinning made
# a step several times slower. Read when torch loads; a GPU does not mind.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")


def _resume_hint() -> str:
    return either(
        "；同一条命令加上 --resume，从最后一个检查点（每轮一个）接着训练",
        "; the same command with --resume goes on from the last checkpoint (one an epoch)",
    )


@contextmanager
def _told(hint: str = "") -> Iterator[None]:
    """Errors that the user can mend become one message and exit code 1; Ctrl-C gives 130."""
    try:
        yield
    except (RecipeError, PairsError, DataError, ModelError, ShapeError, ManifestError) as error:
        told = either(f"错误：{error}", f"error: {error}")
        console.print(told, style="red", markup=False, highlight=False, soft_wrap=True)
        raise typer.Exit(1) from error
    except KeyboardInterrupt as error:
        told = either("已中断", "interrupted") + hint
        console.print(told, markup=False, highlight=False, soft_wrap=True)
        raise typer.Exit(130) from error


@app.command()
def run(
    recipe: RecipePath,
    overrides: Overrides = None,
    resume: Annotated[bool, typer.Option(help="go on from the last checkpoint")] = False,
    dry_run: Annotated[bool, typer.Option(help="only show the plan")] = False,
) -> None:
    """Train, merge, quantize and check by one recipe."""
    with _told("" if dry_run else _resume_hint()):
        settings = load_recipe(recipe, overrides or [])
        if dry_run:
            _show_plan(settings)
            return
        _lora(settings, resume)
        _merge(settings)
        _quantize(settings)
        _check(settings)
        _show_next(settings)


@app.command()
def lora(
    recipe: RecipePath,
    overrides: Overrides = None,
    resume: Annotated[bool, typer.Option(help="go on from the last checkpoint")] = False,
) -> None:
    """Train only: an adapter, or all weights with finetuning_type=full."""
    with _told(_resume_hint()):
        settings = load_recipe(recipe, overrides or [])
        _lora(settings, resume)
        if settings.finetuning_type == "lora":
            _say_next("train merge", recipe, overrides)
        else:
            _show_score(settings.output_dir / "merged")


@app.command()
def merge(
    recipe: RecipePath,
    overrides: Overrides = None,
    adapter: Annotated[list[Path] | None, typer.Option(help="default: the recipe's own")] = None,
) -> None:
    """Add adapters to the base's weights."""
    with _told():
        settings = load_recipe(recipe, overrides or [])
        _merge(settings, adapter)
        _show_score(settings.output_dir / "merged")


@app.command()
def quantize(recipe: RecipePath, overrides: Overrides = None) -> None:
    """Export the merged model in the recipe's formats."""
    with _told():
        _quantize(load_recipe(recipe, overrides or []))
        _say_next("train check", recipe, overrides)


@app.command()
def check(recipe: RecipePath, overrides: Overrides = None) -> None:
    """Serve each export in vLLM and compare it with the merged model on the dev questions."""
    with _told():
        settings = load_recipe(recipe, overrides or [])
        _check(settings)
        testset = either("测试集.docx", "TESTSET.docx")
        directory = settings.output_dir / _best_export(settings)
        _say(
            either("接下来，提交前检查：", "next, before the push: ")
            + f"bash run.sh preflight --model-dir {directory} {testset}"
        )


@app.command()
def upload(
    directory: Annotated[Path, typer.Argument(help="model directory")],
    repo: Annotated[str, typer.Argument(help="OWNER/NAME")],
    hub: Annotated[str, typer.Option(help="modelscope or hf")] = "modelscope",
    public: Annotated[bool, typer.Option(help="visible to all; the judge needs that")] = False,
) -> None:
    """Upload a model; the token comes from MODELSCOPE_API_TOKEN (or HF_TOKEN)."""
    from train.upload import upload as send

    with _told():
        said, *attention = send(directory, repo, hub, public).splitlines()
        console.print(said, markup=False, highlight=False, soft_wrap=True)
        for line in attention:
            console.print(line, style="bold yellow", markup=False, highlight=False, soft_wrap=True)


@app.command()
def compare(
    models: Annotated[list[Path], typer.Argument(help="BASE TUNED [QUANTIZED …]")],
    testset: Annotated[list[Path], typer.Option(help="docx or jsonl; may be given several times")],
    out: Annotated[Path, typer.Option(help="where the report goes")] = Path("report/compare"),
    judged: Annotated[
        list[Path] | None,
        typer.Option(help="a report of eval_local.py: its model is not served again"),
    ] = None,
    max_tokens: Annotated[
        int | None, typer.Option(min=1, help="longest answer; default: the service's setting")
    ] = None,
    serve_python: Annotated[Path, typer.Option(help="one with vLLM")] = Path(".venv/bin/python"),
) -> None:
    """Serve each model in turn, judge each, and say which answers were won and lost."""
    from train.compare import compare_models
    from train.compare_report import table, write_comparison

    with _told():
        compared = compare_models(models, testset, serve_python, max_tokens, judged or [])
        write_comparison(compared, out)
        console.print(table(compared, out))


@app.command()
def plan(
    model: Annotated[str, typer.Argument(help="model directory, config.json, or hub id")],
    device_gb: Annotated[
        float, typer.Option(help="memory of the device, GB (10⁹ bytes)")
    ] = DEVICE_GB,
    tokens: Annotated[int, typer.Option(help="tokens in one step of training")] = 4096,
    lora_rank: Annotated[int, typer.Option()] = 32,
) -> None:
    """Memory and time of serving and training a model, by formulas."""
    from train.estimate import print_plan

    with _told():
        print_plan(model, device_gb, tokens, lora_rank, console)


def _lora(recipe: Recipe, resume: bool) -> None:
    from train.finetune import finetune

    console.rule(either("训练", "train"))
    _say(f"{either('训练完成：', 'trained: ')}{finetune(recipe, resume)}")


def _merge(recipe: Recipe, adapters: list[Path] | None = None) -> None:
    from train.merge import merge as merge_adapters

    if recipe.finetuning_type == "full":
        return
    console.rule(either("合并", "merge"))
    chosen = adapters or [recipe.output_dir / "adapter"]
    merged = recipe.output_dir / "merged"
    merge_adapters(fetch_base(recipe), chosen, merged, recipe.export_size)
    _say(f"{either('合并完成：', 'merged: ')}{merged}")


def _quantize(recipe: Recipe) -> None:
    from train.quantize import quantize as export

    rows = load_rows(recipe).calibration
    for form in recipe.export_formats:
        console.rule(f"{either('量化：', 'quantize: ')}{form}")
        out = recipe.output_dir / form
        export(
            recipe.output_dir / "merged", out, form, rows, recipe.calibration_samples, recipe.seed
        )
        _say(f"{either('已导出：', 'exported: ')}{out}")


def _check(recipe: Recipe) -> None:
    from train.check import check as check_exports
    from train.stage_table import stage_table

    console.rule(either("检查", "check"))
    # The service is asked one text a question: a turn with a talk before it cannot be.
    rows = [row for row in load_rows(recipe).dev if not row.history][: recipe.check_samples]
    if not rows:
        raise DataError(
            either(
                f"{recipe.dev_file}：每一行都有前文对话，没有可以单独提问的",
                f"{recipe.dev_file}: every dev row has turns before it: none can be asked",
            )
        )
    exports = [recipe.output_dir / form for form in recipe.export_formats]
    merged = recipe.output_dir / "merged"
    base = fetch_base(recipe) if recipe.check_base else None
    drop = recipe.max_score_drop
    results = check_exports(merged, exports, rows, recipe.serve_python, drop, base)
    console.print(stage_table(recipe, results, len(rows)))
    failed = [row.name for row in results if not row.passed]
    if failed:
        names, most = ", ".join(failed), recipe.max_score_drop
        raise ModelError(
            either(
                f"{names}：得分比合并后的模型低了不止 max_score_drop={most}，或回答为空；不要上传",
                f"{names}: more than max_score_drop={most} below merged, "
                "or empty answers; do not upload",
            )
        )


def _show_next(recipe: Recipe) -> None:
    """The command that follows; of the exports the one that the judge's vLLM reads."""
    _show_score(recipe.output_dir / _best_export(recipe))


def _best_export(recipe: Recipe) -> str:
    formats = recipe.export_formats
    return "awq-gemm" if "awq-gemm" in formats else [*formats, "merged"][0]


def _show_score(directory: Path) -> None:
    testset = either("测试集.docx", "TESTSET.docx")
    command = f"MODEL_DIR={directory} bash run.sh {testset}"
    _say(f"{either('接下来，看它的得分：', 'next, its score: ')}{command}")


def _say_next(step: str, recipe: Path, overrides: list[str] | None) -> None:
    command = shlex.join(["bash", "run.sh", *step.split(), str(recipe), *(overrides or [])])
    _say(f"{either('接下来：', 'next: ')}{command}")


def _say(text: str) -> None:
    """A line as it is: paths are not cut and brackets are no markup."""
    console.print(text, markup=False, highlight=False, soft_wrap=True)


def _show_plan(recipe: Recipe) -> None:
    from train.estimate import print_recipe_plan

    if (
        recipe.demo_base_steps is None
        or (Path(recipe.model_name_or_path) / "config.json").is_file()
    ):
        print_recipe_plan(recipe, console)
        return
    with TemporaryDirectory() as folder:  # a plan leaves nothing behind
        fields = {"model_name_or_path": f"{folder}/base", "output_dir": Path(folder) / "out"}
        untrained = recipe.model_copy(update={**fields, "demo_base_steps": 0})
        fetch_base(untrained, quiet=True)
        print_recipe_plan(untrained, console)


if __name__ == "__main__":
    app()
