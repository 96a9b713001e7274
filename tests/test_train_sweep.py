"""A sweep: what varies, runs side by side, failures as rows, and the GPU session's script."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from rich.console import Console

from tests.conftest import ROOT
from train.recipe_file import RecipeError
from train.sweep import load_sweep, run_sweep, sweep_table, variants


def written(folder: Path, **fields) -> Path:
    recipe = folder / "recipe.yaml"
    needed = {"model_name_or_path": "a/b", "dataset_dir": "d", "output_dir": "o"}
    recipe.write_text(yaml.safe_dump(needed), encoding="utf-8")
    given = {"recipe": str(recipe), "output_dir": str(folder / "out"), **fields}
    path = folder / "sweep.yaml"
    path.write_text(yaml.safe_dump(given), encoding="utf-8")
    return path


def test_one_thing_at_a_time_combinations_and_single_runs(tmp_path):
    sweep = load_sweep(
        written(
            tmp_path,
            around={"lora_rank": [8, 64]},
            grid={"num_train_epochs": [1, 2], "learning_rate": [1e-4, 2e-4]},
            runs=[{"finetuning_type": "full"}, {"lora_rank": 8}],
        )
    )
    found = variants(sweep)
    assert found[:3] == [{}, {"lora_rank": 8}, {"lora_rank": 64}]
    assert {"num_train_epochs": 2, "learning_rate": 1e-4} in found
    assert found[-1] == {"finetuning_type": "full"} and len(found) == 8


def test_a_wrong_value_shows_before_the_first_run(tmp_path):
    with pytest.raises(RecipeError, match="lora_rank"):
        load_sweep(written(tmp_path, around={"lora_rank": [8, 0]}))
    with pytest.raises(RecipeError, match="gird"):
        load_sweep(written(tmp_path, gird={}))
    with pytest.raises(RecipeError, match="none.yaml: no such file"):
        load_sweep(tmp_path / "none.yaml")


@pytest.mark.parametrize(
    "path", sorted((ROOT / "train/sweeps").glob("*.yaml")), ids=lambda p: p.stem
)
def test_the_shipped_sweeps_load(path, monkeypatch):
    monkeypatch.chdir(ROOT)
    assert len(variants(load_sweep(path, ["learning_rate=3e-5"]))) >= 3


@pytest.mark.slow  # three processes of their own, each with its imports
def test_runs_become_rows_and_a_failed_one_costs_only_its_own(tmp_path):
    pytest.importorskip("trl")
    from tests.finetuning import make_base, make_data, recipe

    base, data = make_base(tmp_path / "base"), make_data(tmp_path)
    given = recipe(base, data, tmp_path / "unused", num_train_epochs=1)
    path = written(tmp_path, at_once=2, runs=[{"lora_rank": 4}, {"cutoff_len": 16}])
    (tmp_path / "recipe.yaml").write_text(yaml.safe_dump(given.model_dump(mode="json")), "utf-8")
    sweep = load_sweep(path)
    said: list[str] = []
    rows = run_sweep(sweep, said.append)
    assert [row.name for row in rows] == ["recipe", "lora_rank=4", "cutoff_len=16"]
    assert all(row.verdict and row.verdict.questions == 2 for row in rows[:2])
    assert rows[2].failed and not rows[2].verdict and len(said) == 3
    told = json.loads((tmp_path / "out" / "sweep.json").read_text("utf-8"))
    assert told[1]["changes"] == {"lora_rank": 4} and told[1]["verdict"]["curve"]
    console = Console(width=150)
    with console.capture() as capture:
        console.print(sweep_table(rows))
    assert "lora_rank=4" in capture.get() and "failed" in capture.get()
    before = (tmp_path / "out" / "lora_rank=4" / "verdict.json").stat().st_mtime_ns
    run_sweep(sweep, said.append)
    assert (tmp_path / "out" / "lora_rank=4" / "verdict.json").stat().st_mtime_ns == before


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_the_gpu_sessions_script_goes_through_on_a_tiny_model(tmp_path):
    pytest.importorskip("trl")
    if not (ROOT / ".venv/bin/python").exists():
        pytest.skip("run.sh has made no .venv here")
    from tests.finetuning import make_base

    base = make_base(tmp_path / "base")
    few = "max_samples=8 eval_samples=4 eval_max_new_tokens=4 num_train_epochs=1 packing=false"
    done = subprocess.run(
        ["bash", "bench/tune_recipes_gpu.sh", str(tmp_path / "out")],
        cwd=ROOT,
        env={
            **os.environ,
            "BASE": str(base),
            "BOOK": "data/sample/book.md",
            "TESTSET": "data/sample/testset_bonus.docx",
            "PY": sys.executable,
            "SWEEP": "train/sweeps/passages.yaml",
            "EXTRA": few,
        },
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, (done.stdout + done.stderr)[-3000:]
    for name in ("plain", "passages"):
        rows = json.loads((tmp_path / "out" / name / "sweep.json").read_text("utf-8"))
        assert len(rows) == 3 and not any(row["failed"] for row in rows), rows
        assert all(row["verdict"]["book"] for row in rows)
