"""From base model and pairs to a model that serves: one command, or step by step.

python -m train run RECIPE.yaml [key=value …]            all steps; --dry-run only plans
python -m train lora RECIPE.yaml [key=value …] --resume  training alone (merge, quantize, check too)
python -m train upload DIR OWNER/NAME                    to ModelScope (or --hub hf)
python -m train compare BASE TUNED --testset T.docx      did it help?
python -m train plan CONFIG --device-gb 24               memory and time before anything runs
python -m train retriever RECIPE.yaml, train reranker …  the models that find passages of the book
"""

import logging
import os
from pathlib import Path
from typing import Annotated

import typer

from common.before_imports import before_imports
from common.cli import make_app, option
from common.language import either, in_chinese
from train import after, steps
from train.recipe_file import load_recipe
from train.retriever.command import Overrides, RecipePath, Sweep, Testset, train_finder
from train.told import resume_hint, told_errors
from train.verdict import EXIT_WORSE

app = make_app(
    no_args_is_help=True,
    help=either("微调、合并、量化。", "Fine-tune, merge, quantize."),
)
before_imports()
# On a CPU bitsandbytes, which PEFT loads, asks for kernels that nothing here uses.
logging.getLogger("bitsandbytes").setLevel(logging.ERROR)
# TRL tells its makers of each training run, where there is a network; a course's machine need not.
os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")


@app.command()
@in_chinese(
    "按一份配方训练、与基座比、合并、量化、检查。\n\n"
    "退出码 3：微调后比基座差；5：通用能力降得超过 max_ability_drop（都什么也没有导出）；\n"
    "6：导出比合并后的模型掉分太多。"
)
def run(
    recipe: RecipePath,
    overrides: Overrides = None,
    resume: Annotated[
        bool, option("从最后一个检查点接着训练", "go on from the last checkpoint")
    ] = False,
    dry_run: Annotated[bool, option("只显示计划", "only show the plan")] = False,
    even_if_worse: Annotated[
        bool,
        option(
            "答得比基座差、或忘了原来会的，也照样导出",
            "export also what answers worse than its base, or has forgotten",
        ),
    ] = False,
    guard: Annotated[
        str | None,
        option(
            "微调后仍要会答的通用题：配方里的 guard",
            "general questions that it must still answer: the recipe's guard",
        ),
    ] = None,
) -> None:
    """Train, judge against the base, merge, quantize and check by one recipe.

    Exit code 3: the tuned model is worse than its base; 5: general ability fell by more than
    max_ability_drop (nothing was exported then); 6: an export lost more than max_score_drop.
    """
    from train.guard import EXIT_FORGOT, check_guard
    from train.guard import guard as guarded

    with told_errors("" if dry_run else resume_hint()):
        settings = load_recipe(recipe, overrides or [])
        if guard:
            settings = settings.model_copy(update={"guard": guard})
        check_guard(settings)
        if dry_run:
            steps.show_plan(settings)
            return
        found = steps.train(settings, resume, exports=True)
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
@in_chinese("只训练：得到适配器；finetuning_type=full 时是全部权重。")
def lora(
    recipe: RecipePath,
    overrides: Overrides = None,
    resume: Annotated[
        bool, option("从最后一个检查点接着训练", "go on from the last checkpoint")
    ] = False,
) -> None:
    """Train only: an adapter, or all weights with finetuning_type=full."""
    with told_errors(resume_hint()):
        settings = load_recipe(recipe, overrides or [])
        steps.train(settings, resume)
        if settings.finetuning_type == "lora":
            steps.say_next("train merge", recipe, overrides)
        else:
            steps.show_score(settings)


@app.command()
@in_chinese("把适配器并入基座的权重。")
def merge(
    recipe: RecipePath,
    overrides: Overrides = None,
    adapter: Annotated[
        list[Path] | None, option("默认：配方里的", "default: the recipe's own")
    ] = None,
    by_verdict: Annotated[
        bool,
        option(
            "留出题上的估计不高于基座，就直接用基座",
            "take the base itself unless the tuned model's estimate is above it",
        ),
    ] = False,
) -> None:
    """Add adapters to the base's weights."""
    with told_errors():
        settings = load_recipe(recipe, overrides or [])
        if not (by_verdict and steps.take_base_unless_gained(settings)):
            steps.merge(settings, adapter)
        steps.show_score(settings)


@app.command()
@in_chinese("按配方里的格式导出合并后的模型。")
def quantize(recipe: RecipePath, overrides: Overrides = None) -> None:
    """Export the merged model in the recipe's formats."""
    with told_errors():
        steps.quantize(load_recipe(recipe, overrides or []))
        steps.say_next("train check", recipe, overrides)


@app.command()
@in_chinese("用 vLLM 启动每个导出，在验证题上与合并后的模型比较。退出码 6：掉分太多。")
def check(recipe: RecipePath, overrides: Overrides = None) -> None:
    """Serve each export in vLLM and compare it with the merged model on the dev questions.

    Exit code 6: it scores too far below.
    """
    with told_errors():
        settings = load_recipe(recipe, overrides or [])
        steps.check(settings)
        testset = either("测试集.docx", "TESTSET.docx")
        directory = settings.output_dir / steps.best_export(settings)
        steps.say(
            either("接下来，提交前检查：", "next, before the push: ")
            + f"bash run.sh preflight --model-dir {directory} {testset}"
        )


@app.command()
@in_chinese("训练双塔模型来找教材片段；说出它是否胜过基座。")
def retriever(
    recipe: RecipePath,
    overrides: Overrides = None,
    sweep: Sweep = None,
    testset: Testset = None,
) -> None:
    """Train a bi-encoder to find the book's passages; says whether it beats its base."""
    with told_errors():
        train_finder("retriever", recipe, overrides or [], sweep or [], testset)


@app.command()
@in_chinese("训练重排模型来给 BM25 的结果排序；说出排得是否更好。")
def reranker(
    recipe: RecipePath,
    overrides: Overrides = None,
    sweep: Sweep = None,
    testset: Testset = None,
) -> None:
    """Train a cross-encoder to order what BM25 finds; says whether its order is better."""
    with told_errors():
        train_finder("reranker", recipe, overrides or [], sweep or [], testset)


for command in (after.verdict, after.advise, after.sweep, after.upload, after.compare, after.plan):
    app.command()(command)


if __name__ == "__main__":
    app()
