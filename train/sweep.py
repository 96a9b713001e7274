"""Many runs of one recipe, side by side on one card, in one table: what helps, in memory, minutes
and score.

A sweep is a YAML file (train/sweeps/): a recipe, what all runs share, and what varies. `around`
changes one thing at a time, `grid` takes every combination, `runs` are single ones. Each run is
`python -m train lora` in a process of its own, so that one that fails costs only its row; finished
runs are skipped when the same command is given again. Runs that differ in their seed alone are
pooled (train/sweep_pools.py).
"""

import itertools
import json
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel, ConfigDict, Field
from rich.table import Table

from common.language import either
from common.manifest import read_manifest
from train.recipe_file import RecipeError, load_recipe
from train.same_run import RECIPE
from train.samples import sample_path
from train.verdict import Verdict, cross_fitted, read_scores, read_verdict

RESULTS = "sweep.json"
# What a run may change and its untuned base still answers the same.
BASE_STAYS = {
    *("output_dir", "seed", "learning_rate", "lr_scheduler_type", "warmup_ratio", "weight_decay"),
    *("max_grad_norm", "num_train_epochs", "max_steps", "per_device_train_batch_size"),
    *("gradient_accumulation_steps", "lora_rank", "lora_alpha", "lora_dropout", "lora_target"),
    *("use_rslora", "use_dora", "neftune_noise_alpha", "mix_file", "mix_share"),
    *("train_on_prompt", "optim", "pack_len"),
}
Values = dict[str, Any]


class Sweep(BaseModel):
    """A sweep's file. at_once: runs side by side on the card."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    recipe: Path
    output_dir: Path
    at_once: int = Field(1, ge=1)
    shared: Values = {}
    around: dict[str, list[Any]] = {}
    grid: dict[str, list[Any]] = {}
    runs: list[Values] = []


class Row(BaseModel):
    """One run's outcome. None: the run failed (`failed` says how) or did not say.

    base, tuned: the judge's score of each dev question, in their order, as the verdict has them.
    """

    name: str
    changes: Values
    minutes: float | None = None
    device_gb: float | None = None
    verdict: Verdict | None = None
    base: list[float] = []
    tuned: list[float] = []
    failed: str = ""


def load_sweep(path: Path, overrides: Sequence[str] = ()) -> Sweep:
    """The checked sweep; overrides (`key=value` of the recipe) go over what its runs share.

    Raises RecipeError naming the field, or the run whose recipe cannot be used.
    """
    found = load_recipe(path, (), Sweep)
    if wrong := [item for item in overrides if "=" not in item]:
        raise RecipeError(either(f"{wrong[0]}：应写成 键=值", f"{wrong[0]}: expected key=value"))
    given = dict(item.partition("=")[::2] for item in overrides)
    out = Path(given.pop("output_dir", found.output_dir))
    values = {key: yaml.safe_load(value) for key, value in given.items()}
    sweep = found.model_copy(update={"shared": {**found.shared, **values}, "output_dir": out})
    for changes in variants(sweep):  # a wrong value must show before the first hour
        load_recipe(sweep.recipe, _overrides(sweep, changes))
    return sweep


def variants(sweep: Sweep) -> list[Values]:
    """What each run changes: nothing first, then one thing at a time, combinations, single runs."""
    found: list[Values] = [{}]
    found += [{key: value} for key, values in sweep.around.items() for value in values]
    if sweep.grid:
        keys = list(sweep.grid)
        found += [
            dict(zip(keys, each, strict=True)) for each in itertools.product(*sweep.grid.values())
        ]
    found += sweep.runs
    distinct: list[Values] = []
    for each in found:
        if each not in distinct:
            distinct.append(each)
    return distinct


def run_sweep(sweep: Sweep, say: Callable[[str], None] = print) -> list[Row]:
    """Train every variant that is not there yet, `at_once` side by side.

    sweep.json is written after each, so that one that is stopped leaves those that had ended.
    Raises RecipeError, before any run, where the rows to learn are not there.
    """
    recipes = [load_recipe(sweep.recipe, _overrides(sweep, each)) for each in variants(sweep)]
    for rows in dict.fromkeys(recipe.dataset_dir / recipe.train_file for recipe in recipes):
        if not rows.is_file():
            raise RecipeError(
                either(
                    f"{rows}：没有这个文件；dataset_dir 要写 data build 或 data compose 的目录",
                    f"{rows}: no such file; dataset_dir is the folder of data build or compose",
                )
            )
    sweep.output_dir.mkdir(parents=True, exist_ok=True)
    todo = variants(sweep)
    ended: dict[int, Row] = {}

    def one(changes: Values) -> Row:
        row = _run(sweep, changes)
        told = row.failed or f"{row.verdict.tuned:.3f}" if row.verdict or row.failed else "?"
        say(f"{row.name}: {told}")
        return row

    with ThreadPoolExecutor(sweep.at_once) as pool:
        places = {pool.submit(one, changes): place for place, changes in enumerate(todo)}
        for future in as_completed(places):
            ended[places[future]] = future.result()
            _write(sweep.output_dir / RESULTS, (ended[place] for place in sorted(ended)))
    return [ended[place] for place in sorted(ended)]


def _write(path: Path, rows: Iterable[Row]) -> None:
    text = json.dumps([row.model_dump(mode="json") for row in rows], ensure_ascii=False, indent=1)
    part = path.with_suffix(".part")
    part.write_text(text + "\n", encoding="utf-8")
    part.replace(path)


def sweep_table(rows: Sequence[Row]) -> Table:
    """A row a run, the best first; scores are on dev questions, the base's among them."""
    table = Table(
        either("改动", "changes"),
        *(either("分钟", "minutes"), either("显存 GB", "GB"), either("基座", "base")),
        *(either("微调后", "tuned"), either("差（95 %）", "difference (95 %)"), ""),
    )
    done = [row for row in rows if row.verdict]
    for row in sorted(done, key=lambda row: -_found(row).tuned):
        found = _found(row)
        table.add_row(
            row.name,
            "" if row.minutes is None else f"{row.minutes:.1f}",
            "" if row.device_gb is None else f"{row.device_gb:.1f}",
            f"{found.base:.3f}",
            f"{found.tuned:.3f}",
            f"{found.difference:+.3f} ({found.low:+.3f} … {found.high:+.3f})",
            found.word,
        )
    for row in rows:
        if not row.verdict:
            table.add_row(row.name, "", "", "", "", row.failed, either("失败", "failed"))
    return table


def _found(row: Row) -> Verdict:
    assert row.verdict
    return row.verdict


def _run(sweep: Sweep, changes: Values) -> Row:
    name = _name(changes)
    out = sweep.output_dir / name
    row = Row(name=name, changes=changes)
    if (result := _result(out, row)).verdict:
        return result
    _take_base_answers(sweep, changes, out)
    command = [sys.executable, "-m", "train", "lora", str(sweep.recipe)]
    command += [*_overrides(sweep, changes), "--resume"]
    began = time.monotonic()
    log = sweep.output_dir / f"{name}.log"
    with log.open("w", encoding="utf-8") as stream:
        code = subprocess.run(command, stdout=stream, stderr=subprocess.STDOUT).returncode
    if code:
        last = [line for line in log.read_text("utf-8", "replace").split("\n") if line.strip()]
        return row.model_copy(update={"failed": (last or ["no message"])[-1][-160:]})
    minutes = (time.monotonic() - began) / 60
    return _result(out, row).model_copy(update={"minutes": round(minutes, 2)})


def _take_base_answers(sweep: Sweep, changes: Values, out: Path) -> None:
    """Copy the base's answers from a run that has them, where they would be the same again."""
    own = sample_path(out, 0)
    if own.is_file():
        return
    asked = load_recipe(sweep.recipe, _overrides(sweep, changes)).model_dump(mode="json")
    for noted in sorted(sweep.output_dir.glob(f"*/{RECIPE}")):
        found = sample_path(noted.parent, 0)
        before = yaml.safe_load(noted.read_text(encoding="utf-8"))
        differ = {name for name in asked if before.get(name, asked) != asked[name]}
        if found.is_file() and differ <= BASE_STAYS:
            own.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(found, own)
            return


def _result(out: Path, row: Row) -> Row:
    """The row of a finished run; unchanged where there is none."""
    manifest = next((m for each in ("adapter", "merged") if (m := read_manifest(out / each))), None)
    if manifest is None:
        return row
    verdict = read_verdict(out)
    if verdict is None:
        return row.model_copy(update={"failed": "not judged (eval_samples=0?)"})
    peak = manifest.counts.get("peak_device_bytes")
    scores = read_scores(out, (point.step for point in verdict.curve))
    return row.model_copy(
        update={
            "minutes": round(manifest.seconds / 60, 2),
            "device_gb": None if peak is None else peak / 1e9,
            "verdict": verdict,
            "base": [round(score, 4) for score in scores[0]],
            "tuned": [round(score, 4) for score in cross_fitted(scores)],
        }
    )


def _overrides(sweep: Sweep, changes: Values) -> list[str]:
    values = {**sweep.shared, **changes, "output_dir": str(sweep.output_dir / _name(changes))}
    return [f"{key}={json.dumps(value, ensure_ascii=False)}" for key, value in values.items()]


def _name(changes: Values) -> str:
    """A folder's name: `learning_rate=0.0002,lora_rank=8`."""
    told = ",".join(f"{key}={value}" for key, value in changes.items()) or "recipe"
    return "".join("-" if char in "/\\ :*?\"<>|'[]{}" else char for char in told)[:150]
