"""What each stage of a recipe brought: score, size and seconds, from base to export."""

from collections.abc import Sequence
from pathlib import Path

from rich.table import Table

from common.manifest import read_manifest
from train.check import Checked
from train.recipe import Recipe

COLUMNS = ("stage", "score", "to merged", "same", "MB", "made, s", "load, s", "answer, s")


def stage_table(recipe: Recipe, results: Sequence[Checked], questions: int) -> Table:
    """One row a stage; `same` is the share of answers equal to the merged model's.

    Scores are the judge's on the dev questions, by the served model. The adapter is not served by
    itself: its score is the best that training saw, by Transformers.
    """
    ceiling = results[0].ceiling
    table = Table(title=f"{questions} dev questions, judge's score (ceiling {ceiling:.3f})")
    for column in (*COLUMNS, ""):
        left = column in ("stage", "")
        table.add_column(column, justify="left" if left else "right", no_wrap=column == "stage")
    for result in results:
        if result.name == "merged":
            _adapter_row(table, recipe)
        own = result.name == "merged"
        table.add_row(
            result.name,
            f"{result.score:.3f}",
            "" if own else f"{-result.drop:+.3f}",
            "" if own else f"{result.same_answers:.0%}",
            f"{result.bytes / 1e6:,.1f}",
            _seconds(recipe, result.name),
            f"{result.load_seconds:.0f}",
            f"{result.answer_seconds:.1f}",
            "ok" if result.passed else "[red]failed[/red]",
        )
    return table


def _adapter_row(table: Table, recipe: Recipe) -> None:
    manifest = read_manifest(recipe.output_dir / "adapter")
    if manifest is None:  # full training has none
        return
    best = manifest.scores.get("dev_judge_best")
    score = "" if best is None else f"{best:.3f}"
    weights = recipe.output_dir / "adapter" / "adapter_model.safetensors"
    size = f"{weights.stat().st_size / 1e6:,.1f}" if weights.is_file() else ""
    table.caption = f"LoRA's score is the best seen in training, {recipe.eval_samples} questions"
    table.add_row("LoRA", score, "", "", size, f"{manifest.seconds:.0f}", "", "", "")


def _seconds(recipe: Recipe, stage: str) -> str:
    """Wall seconds that the stage took, from its manifest; blank for a base that came ready."""
    base = stage == "base"
    directory = recipe.output_dir / stage
    if base and recipe.demo_base_steps is None:
        return ""
    manifest = read_manifest(Path(recipe.model_name_or_path) if base else directory)
    return f"{manifest.seconds:.0f}" if manifest else ""
