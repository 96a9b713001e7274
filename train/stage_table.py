"""What each stage of a recipe brought: score, size and seconds, from base to export."""

from collections.abc import Sequence
from pathlib import Path

from rich.table import Table

from common.language import either
from common.manifest import read_manifest
from train.check import Checked
from train.recipe import Recipe

COLUMNS = (
    ("阶段", "stage"),
    ("得分", "score"),
    ("比合并后", "to merged"),
    ("回答相同", "same"),
    ("MB", "MB"),
    ("制作，秒", "made, s"),
    ("加载，秒", "load, s"),
    ("回答，秒", "answer, s"),
    ("", ""),
)
STAGES = {
    "base": "基座",
    "merged": "合并后",
}  # as people read them; an export has its format's name


def stage_table(recipe: Recipe, results: Sequence[Checked], questions: int) -> Table:
    """One row a stage; `same` is the share of answers equal to the merged model's.

    Scores are the judge's on the dev questions, by the served model. The adapter is not served by
    itself: its score is the best that training saw, by Transformers.
    """
    ceiling = results[0].ceiling
    table = Table(
        title=either(
            f"{questions} 道验证题，评测机的算法（上限 {ceiling:.3f}）",
            f"{questions} dev questions, judge's score (ceiling {ceiling:.3f})",
        )
    )
    for zh, en in COLUMNS:
        left = en in ("stage", "")
        table.add_column(
            either(zh, en),
            justify="left" if left else "right",
            no_wrap=en == "stage",
            overflow="fold",  # a terminal of 80 columns shows the whole head
        )
    for result in results:
        if result.name == "merged":
            all_of_dev = questions < recipe.check_samples
            asked = min(recipe.eval_samples, questions) if all_of_dev else recipe.eval_samples
            _adapter_row(table, recipe, asked)
        own = result.name == "merged"
        table.add_row(
            either(STAGES.get(result.name, result.name), result.name),
            f"{result.score:.3f}",
            "" if own else f"{-result.drop:+.3f}",
            "" if own else f"{result.same_answers:.0%}",
            f"{result.bytes / 1e6:,.1f}",
            _seconds(recipe, result.name),
            f"{result.load_seconds:.0f}",
            f"{result.answer_seconds:.1f}",
            either("通过", "ok") if result.passed else f"[red]{either('不通过', 'failed')}[/red]",
        )
    return table


def _adapter_row(table: Table, recipe: Recipe, asked: int) -> None:
    manifest = read_manifest(recipe.output_dir / "adapter")
    if manifest is None:  # full training has none
        return
    best = manifest.scores.get("dev_judge_best")
    score = "" if best is None else f"{best:.3f}"
    weights = recipe.output_dir / "adapter" / "adapter_model.safetensors"
    size = f"{weights.stat().st_size / 1e6:,.1f}" if weights.is_file() else ""
    table.caption = either(
        f"LoRA 的得分是训练中见过的最好一次，{asked} 题",
        f"LoRA's score is the best seen in training, {asked} questions",
    )
    table.add_row("LoRA", score, "", "", size, f"{manifest.seconds:.0f}", "", "", "")


def _seconds(recipe: Recipe, stage: str) -> str:
    """Wall seconds that the stage took, from its manifest; blank for a base that came ready."""
    base = stage == "base"
    directory = recipe.output_dir / stage
    if base and recipe.demo_base_steps is None:
        return ""
    manifest = read_manifest(Path(recipe.model_name_or_path) if base else directory)
    return f"{manifest.seconds:.0f}" if manifest else ""
