"""Many runs of one recipe, side by side on one card, in one table: what helps, in memory, minutes
and score.

A sweep is a YAML file (train/sweeps/): a recipe, what all runs share, and what varies. `around`
changes one thing at a time, `grid` takes every combination, `runs` are single ones. Each run is
`python -m train lora` in a process of its own, so that one that fails costs only its row; finished
runs are skipped when the same command is given again.
"""

import itertools
import json
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel, ConfigDict, Field
from rich.table import Table

from common.language import either
from common.manifest import read_manifest
from train.recipe_file import RecipeError, load_recipe
from train.verdict import Verdict, read_verdict

RESULTS = "sweep.json"
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
    """One run's outcome. None: the run failed (`failed` says how) or did not say."""

    name: str
    changes: Values
    minutes: float | None = None
    device_gb: float | None = None
    verdict: Verdict | None = None
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
    """Train every variant that is not there yet, `at_once` side by side; writes sweep.json."""
    sweep.output_dir.mkdir(parents=True, exist_ok=True)
    todo = variants(sweep)

    def one(changes: Values) -> Row:
        row = _run(sweep, changes)
        told = row.failed or f"{row.verdict.tuned:.3f}" if row.verdict or row.failed else "?"
        say(f"{row.name}: {told}")
        return row

    with ThreadPoolExecutor(sweep.at_once) as pool:
        rows = list(pool.map(one, todo))
    text = json.dumps([row.model_dump(mode="json") for row in rows], ensure_ascii=False, indent=1)
    (sweep.output_dir / RESULTS).write_text(text + "\n", encoding="utf-8")
    return rows


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


def _result(out: Path, row: Row) -> Row:
    """The row of a finished run; unchanged where there is none."""
    manifest = next((m for each in ("adapter", "merged") if (m := read_manifest(out / each))), None)
    if manifest is None:
        return row
    verdict = read_verdict(out)
    if verdict is None:
        return row.model_copy(update={"failed": "not judged (eval_samples=0?)"})
    peak = manifest.counts.get("peak_device_bytes")
    return row.model_copy(
        update={
            "minutes": round(manifest.seconds / 60, 2),
            "device_gb": None if peak is None else peak / 1e9,
            "verdict": verdict,
        }
    )


def _overrides(sweep: Sweep, changes: Values) -> list[str]:
    values = {**sweep.shared, **changes, "output_dir": str(sweep.output_dir / _name(changes))}
    return [f"{key}={json.dumps(value, ensure_ascii=False)}" for key, value in values.items()]


def _name(changes: Values) -> str:
    """A folder's name: `learning_rate=0.0002,lora_rank=8`."""
    told = ",".join(f"{key}={value}" for key, value in changes.items()) or "recipe"
    return "".join("-" if char in "/\\ :*?\"<>|'[]{}" else char for char in told)[:150]
