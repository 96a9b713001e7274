"""Has training taken what the base could do? General questions before the export.

`guard` in the recipe (or `train run --guard`) names them; judging/ability.py asks base and merged
model with lm-evaluation-harness, pairs the answers and keeps the result as ability.json.
"""

import sys
from pathlib import Path

from common.language import either
from judging.ability import beside, fell, measure, sentences
from judging.ability_task import is_file, read_choices
from judging.harness import Harness
from train import steps
from train.base import fetch_base
from train.recipe import Recipe

EXIT_FORGOT = 5  # of `train run`: stopped before the export


def check_guard(recipe: Recipe) -> None:
    """Before hours of training: is the harness here, can its questions be read?

    Raises HarnessError or TaskError with what to do.
    """
    if recipe.guard is None:
        return
    Harness(Path(sys.executable)).version()
    if is_file(recipe.guard):
        read_choices(Path(recipe.guard))


def guard(recipe: Recipe) -> bool:
    """Whether the merged model may be exported; says what was found. Raises HarnessError."""
    if recipe.guard is None:
        return True
    steps.console.rule(either("通用能力", "general ability"))
    merged = str(recipe.output_dir / "merged")
    harness = Harness(Path(sys.executable), limit=recipe.guard_samples)
    out = beside(merged)
    found = measure(str(fetch_base(recipe)), merged, [recipe.guard], harness, out, steps.say)
    for line in sentences(found):
        steps.say(line)
    if not found.lost(recipe.max_ability_drop):
        return True
    steps.say(fell(found, recipe.max_ability_drop), "bold red")
    steps.say(
        either(
            "没有导出。少训练一些（num_train_epochs、learning_rate），或混入通用数据（mix_file）；"
            "仍要导出：加 --even-if-worse",
            "not exported. Train less (num_train_epochs, learning_rate), or mix in general rows "
            "(mix_file); --even-if-worse exports it all the same",
        )
    )
    return False
