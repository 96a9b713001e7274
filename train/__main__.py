"""From base model and pairs to a model that serves: one command, or step by step.

python -m train run RECIPE.yaml [key=value …]            all steps; --dry-run only plans
python -m train lora RECIPE.yaml [key=value …] --resume  training alone (merge, quantize, check too)
python -m train upload DIR OWNER/NAME                    to ModelScope (or --hub hf)
python -m train compare BASE TUNED --testset T.docx      did it help?
python -m train plan CONFIG --device-gb 24               memory and time before anything runs
python -m train retriever RECIPE.yaml, train reranker …  the models that find passages of the book
"""

import os
import shlex
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer

from common.facts import FACTS, JUDGES_DEVICE
from common.language import either
from common.manifest import ManifestError
from common.model_shape import ShapeError
from common.pairs import PairsError
from judging.ability_task import TaskError
from judging.harness import HarnessError
from retrieval.search import IndexFileError
from train import steps
from train.base import ModelError
from train.dataset import DataError
from train.recipe import RecipeError, load_recipe
from train.retriever.command import Overrides, RecipePath, Sweep, Testset, train_finder
from train.verdict import EXIT_WORSE, read_verdict, sentences
from train.verdict import NAME as VERDICT_NAME

app = typer.Typer(add_completion=False, no_args_is_help=True, help="Fine-tune, merge, quantize.")
console = steps.console
DEVICE_GB: float = FACTS["devices"][JUDGES_DEVICE]["memory_bytes"] / 1e9


# Idle OpenMP threads sleep instead of spinning: on a CPU with anything else running, spinning made
# a step several times slower. Read when torch loads; a GPU does not mind.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
# TRL tells its makers of each training run, where there is a network; a course's machine need not.
os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")


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
    except (
        RecipeError,
        PairsError,
        DataError,
        ModelError,
        ShapeError,
        ManifestError,
        IndexFileError,
        TaskError,
        HarnessError,
    ) as error:
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
    even_if_worse: Annotated[
        bool, typer.Option(help="export also what answers worse than its base, or has forgotten")
    ] = False,
    guard: Annotated[
        str | None,
        typer.Option(help="general questions that it must still answer: the recipe's guard"),
    ] = None,
) -> None:
    """Train, judge against the base, merge, quantize and check by one recipe.

    Exit code 3: the tuned model is worse than its base; 5: general ability fell by more than
    max_ability_drop. Nothing was exported then.
    """
    from train.guard import EXIT_FORGOT, check_guard
    from train.guard import guard as guarded

    with _told("" if dry_run else _resume_hint()):
        settings = load_recipe(recipe, overrides or [])
        if guard:
            settings = settings.model_copy(update={"guard": guard})
        check_guard(settings)
        if dry_run:
            steps.show_plan(settings)
            return
        found = steps.train(settings, resume)
        if found and found.verdict == "worse" and not even_if_worse:
            steps.say(
                either(
                    "没有导出；仍要导出：加 --even-if-worse",
                    "not exported; --even-if-worse exports it all the same",
                )
            )
            raise typer.Exit(EXIT_WORSE)
        steps.merge(settings)
        if not guarded(settings, even_if_worse):
            raise typer.Exit(EXIT_FORGOT)
        steps.quantize(settings)
        steps.check(settings)
        steps.show_next(settings)


@app.command()
def lora(
    recipe: RecipePath,
    overrides: Overrides = None,
    resume: Annotated[bool, typer.Option(help="go on from the last checkpoint")] = False,
) -> None:
    """Train only: an adapter, or all weights with finetuning_type=full."""
    with _told(_resume_hint()):
        settings = load_recipe(recipe, overrides or [])
        steps.train(settings, resume)
        if settings.finetuning_type == "lora":
            steps.say_next("train merge", recipe, overrides)
        else:
            steps.show_score(settings.output_dir / "merged")


@app.command()
def merge(
    recipe: RecipePath,
    overrides: Overrides = None,
    adapter: Annotated[list[Path] | None, typer.Option(help="default: the recipe's own")] = None,
    by_verdict: Annotated[
        bool, typer.Option(help="take the base itself unless the verdict is better")
    ] = False,
) -> None:
    """Add adapters to the base's weights."""
    with _told():
        settings = load_recipe(recipe, overrides or [])
        merged = settings.output_dir / "merged"
        if not (by_verdict and steps.take_base_unless_better(settings)):
            steps.merge(settings, adapter)
        steps.show_score(merged)


@app.command()
def quantize(recipe: RecipePath, overrides: Overrides = None) -> None:
    """Export the merged model in the recipe's formats."""
    with _told():
        steps.quantize(load_recipe(recipe, overrides or []))
        steps.say_next("train check", recipe, overrides)


@app.command()
def check(recipe: RecipePath, overrides: Overrides = None) -> None:
    """Serve each export in vLLM and compare it with the merged model on the dev questions."""
    with _told():
        settings = load_recipe(recipe, overrides or [])
        steps.check(settings)
        testset = either("测试集.docx", "TESTSET.docx")
        directory = settings.output_dir / steps.best_export(settings)
        steps.say(
            either("接下来，提交前检查：", "next, before the push: ")
            + f"bash run.sh preflight --model-dir {directory} {testset}"
        )


@app.command()
def prefer(
    recipe: RecipePath,
    overrides: Overrides = None,
    questions: Annotated[int, typer.Option(min=1, help="train questions to ask")] = 200,
    draws: Annotated[int, typer.Option(min=2, help="answers drawn for each")] = 6,
    gap: Annotated[float, typer.Option(min=0, help="least score between best and worst")] = 0.1,
    beta: Annotated[float, typer.Option(help="larger stays closer to the model")] = 0.1,
    learning_rate: Annotated[float, typer.Option()] = 5e-6,
    epochs: Annotated[float, typer.Option()] = 1,
) -> None:
    """After `lora`: prefer the better of the model's own answers (DPO); a second adapter."""
    from train.prefer import PreferenceSettings
    from train.prefer import prefer as train_preferences

    with _told():
        settings = load_recipe(recipe, overrides or [])
        asked = PreferenceSettings(
            questions, draws, gap=gap, beta=beta, learning_rate=learning_rate, epochs=epochs
        )
        adapter, found = train_preferences(settings, asked, steps.say)
        told, _ = sentences(found, adapter.parent)
        steps.say(told)
        first = settings.output_dir / "adapter"
        command = ["bash", "run.sh", "train", "merge", str(recipe)]
        for each in (first, adapter):
            command += ["--adapter", str(each)] if each.is_dir() else []
        told = either("有提升才合并：", "merge it only where it helped: ")
        steps.say(told + shlex.join(command))


@app.command()
def verdict(
    out: Annotated[Path, typer.Argument(help="a run's folder (output_dir)")],
) -> None:
    """Did that run help? Exit code 0: yes; 4: no difference; 3: worse than its base."""
    with _told():
        found = read_verdict(out)
        if found is None:
            raise ModelError(f"{out}: no {VERDICT_NAME}: `train run` or `train lora` writes it")
        steps.show_verdict(found, out)
        raise typer.Exit({"better": 0, "same": 4, "worse": EXIT_WORSE}[found.verdict])


@app.command()
def advise(
    out: Annotated[Path, typer.Argument(help="a judged run's folder (output_dir)")],
    judged: Annotated[Path | None, typer.Option(help="a report of eval_local.py, too")] = None,
) -> None:
    """The three steps most likely to raise the score, each from a number of the run."""
    from train.advise import advise as advised
    from train.advise import tell

    with _told():
        tell(advised(out, judged), steps.say)


@app.command()
def sweep(
    file: Annotated[Path, typer.Argument(help="a YAML of train/sweeps, or your own")],
    overrides: Overrides = None,
    at_once: Annotated[int | None, typer.Option(min=1, help="runs side by side")] = None,
) -> None:
    """Many runs of one recipe in one table: memory, minutes, score with its interval."""
    from train.sweep import load_sweep, run_sweep, sweep_table

    with _told():
        wanted = load_sweep(file, overrides or [])
        if at_once:
            wanted = wanted.model_copy(update={"at_once": at_once})
        console.print(sweep_table(run_sweep(wanted, steps.say)))


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


@app.command()
def retriever(
    recipe: RecipePath,
    overrides: Overrides = None,
    sweep: Sweep = None,
    testset: Testset = None,
) -> None:
    """Train a bi-encoder to find the book's passages; says whether it beats its base."""
    with _told():
        train_finder("retriever", recipe, overrides or [], sweep or [], testset)


@app.command()
def reranker(
    recipe: RecipePath,
    overrides: Overrides = None,
    sweep: Sweep = None,
    testset: Testset = None,
) -> None:
    """Train a cross-encoder to order what BM25 finds; says whether its order is better."""
    with _told():
        train_finder("reranker", recipe, overrides or [], sweep or [], testset)


if __name__ == "__main__":
    app()
