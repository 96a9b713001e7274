"""--resume goes on with the run that began: by the same settings, on the same rows."""

import json
from pathlib import Path

import yaml

from common.language import either
from common.manifest import file_record
from retrieval.examples import examples_path
from train.base import ModelError
from train.recipe import Recipe

RECIPE, ROWS = "recipe.yaml", "rows.json"
# What a run may go on with otherwise: its length, what is logged and kept, how steps are computed,
# what follows the training. The rows are compared by their bytes, wherever they lie.
MAY_CHANGE = {
    *("num_train_epochs", "max_steps", "early_stopping_patience", "save_total_limit"),
    *("logging_steps", "report_to", "gradient_checkpointing", "attn_implementation"),
    *("torch_compile", "use_liger_kernel", "hub", "output_dir", "demo_base_steps"),
    *("dataset_dir", "train_file", "dev_file", "calibration_file", "mix_file"),
    *("export_size", "export_formats", "calibration_samples", "serve_python", "check_samples"),
    *("check_base", "max_score_drop", "guard", "guard_samples", "max_ability_drop", "exclude"),
}


def note_run(recipe: Recipe) -> None:
    """Write beside the checkpoints what a later --resume is compared with."""
    text = yaml.safe_dump(recipe.model_dump(mode="json"), allow_unicode=True, sort_keys=False)
    (recipe.output_dir / RECIPE).write_text(text, encoding="utf-8")
    (recipe.output_dir / ROWS).write_text(json.dumps(_rows(recipe)), encoding="utf-8")


def need_same_run(recipe: Recipe) -> None:
    """Raise ModelError where the checkpoints in output_dir are of other settings or rows.

    Their optimizer would go on with the earlier learning rate, their scores would be of other
    questions, and an adapter of another rank does not load.
    """
    out = recipe.output_dir
    if not any((out / "checkpoints").glob("checkpoint-*")):
        return
    try:
        before = yaml.safe_load((out / RECIPE).read_text(encoding="utf-8"))
        rows = json.loads((out / ROWS).read_text(encoding="utf-8"))
    except (OSError, ValueError, yaml.YAMLError):  # of an earlier version of this kit
        return
    now = recipe.model_dump(mode="json")
    other = [
        f"{name}={now[name]} ({either('原来是', 'it was')} {before[name]})"
        for name in now
        if name not in MAY_CHANGE and name in before and before[name] != now[name]
    ]
    other += [
        either(f"{role} 的行变了", f"the {role} rows have changed")
        for role, sha in _rows(recipe).items()
        if rows.get(role) != sha
    ]
    if other:
        told = ", ".join(other)
        raise ModelError(
            f"--resume：{out} 里的训练是用别的设置开始的：{told}。改回去再接着训练，"
            "或换一个 output_dir 从头开始",
            f"--resume: the run in {out} began otherwise: {told}. Set it back to go on, or set "
            "another output_dir to begin anew",
        )


def _rows(recipe: Recipe) -> dict[str, str]:
    """The sha256 of the files of train, dev and mixed rows, and of worked examples."""
    files: dict[str, Path | None] = {
        "train": recipe.dataset_dir / recipe.train_file,
        "dev": recipe.dataset_dir / recipe.dev_file if recipe.dev_file else None,
        "mix": recipe.mix_file,
    }
    if shown := examples_path(recipe.retrieval_examples):
        files["examples"] = shown
    return {role: file_record(path).sha256 if path else "" for role, path in files.items()}
