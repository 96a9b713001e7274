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
from train.generate import BATCH_TOKENS, batch_tokens
from train.recipe_file import RecipeError, load_recipe
from train.sweep import Row, load_sweep, run_sweep, sweep_table, variants
from train.sweep_pools import pools
from train.verdict import decide


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


def test_rows_that_are_not_there_stop_it_before_the_first_run(tmp_path):
    with pytest.raises(RecipeError, match="none/train.jsonl: no such file; dataset_dir"):
        run_sweep(load_sweep(written(tmp_path), [f"dataset_dir={tmp_path}/none"]))
    assert not (tmp_path / "out").exists()


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
    once = {"learning_rate": 2e-2, "eval_strategy": "end", "num_train_epochs": 2}
    path = written(tmp_path, at_once=2, runs=[{"lora_rank": 4}, {"cutoff_len": 16}, once])
    (tmp_path / "recipe.yaml").write_text(yaml.safe_dump(given.model_dump(mode="json")), "utf-8")
    sweep = load_sweep(path)
    said: list[str] = []
    rows = run_sweep(sweep, said.append)
    assert [row.name for row in rows[:3]] == ["recipe", "lora_rank=4", "cutoff_len=16"]
    assert all(row.verdict and row.verdict.questions == 2 for row in rows[:2])
    assert rows[2].failed and not rows[2].verdict and len(said) == 4
    assert rows[3].verdict and len(rows[3].verdict.curve) == 2, "two epochs, judged at the end"
    assert not list((tmp_path / "out" / rows[3].name).glob("checkpoints/checkpoint-*"))
    for row in (rows[0], rows[1], rows[3]):
        assert len(row.base) == len(row.tuned) == 2
        assert sum(row.tuned) / 2 == pytest.approx(row.verdict.tuned, abs=1e-3)
    told = json.loads((tmp_path / "out" / "sweep.json").read_text("utf-8"))
    assert told[1]["changes"] == {"lora_rank": 4} and told[1]["verdict"]["curve"]
    console = Console(width=150)
    with console.capture() as capture:
        console.print(sweep_table(rows))
    assert "lora_rank=4" in capture.get() and "failed" in capture.get()
    before = (tmp_path / "out" / "lora_rank=4" / "verdict.json").stat().st_mtime_ns
    run_sweep(sweep, said.append)
    assert (tmp_path / "out" / "lora_rank=4" / "verdict.json").stat().st_mtime_ns == before


def scored(changes, base, tuned) -> Row:
    verdict = decide({0: base, 1: tuned}, {0: 0.0, 1: 1.0}, True, 320)
    return Row(name="", changes=changes, verdict=verdict, base=base, tuned=tuned)


def test_seeds_are_pooled_and_set_beside_the_recipe_and_the_base():
    base, low, high = [0.1] * 12, [0.3] * 12, [0.5] * 12
    rows = [
        scored({}, base, low),
        scored({"lora_rank": 8}, base, high),
        scored({"seed": 1}, base, high),
        scored({"seed": 1, "lora_rank": 8}, base, [0.7] * 12),
        Row(name="", changes={"lora_rank": 64}, failed="out of memory"),
    ]
    recipe, rank = pools(rows)
    assert recipe.changes == {} and recipe.by_seed == pytest.approx([0.3, 0.5])
    assert recipe.to_base.difference == pytest.approx(0.3) and recipe.to_recipe is None
    assert rank.changes == {"lora_rank": 8} and rank.tuned == pytest.approx(0.6)
    assert rank.to_recipe and rank.to_recipe.low == pytest.approx(0.2)
    (alone,) = pools(rows[1:2])
    assert alone.to_recipe is None, "the recipe itself has no finished run"


def test_the_bases_answers_are_taken_from_a_run_that_asked_the_same(tmp_path, monkeypatch):
    (tmp_path / "train.jsonl").touch()
    sweep = load_sweep(
        written(
            tmp_path, runs=[{"seed": 1}, {"default_system": "别的"}, {"finetuning_type": "full"}]
        ),
        [f"dataset_dir={tmp_path}"],
    )
    seen = {}

    def stopped(command, **_):
        """A run that has judged its base and ends there."""
        recipe = load_recipe(Path(command[4]), [c for c in command[5:] if "=" in c])
        sample = recipe.output_dir / "samples" / "step-0.jsonl"
        seen[recipe.output_dir.name] = sample.read_text() if sample.is_file() else None
        sample.parent.mkdir(parents=True, exist_ok=True)
        sample.write_text(recipe.output_dir.name)
        text = yaml.safe_dump(recipe.model_dump(mode="json"))
        (recipe.output_dir / "recipe.yaml").write_text(text)
        return subprocess.CompletedProcess(command, 1)

    monkeypatch.setattr("train.sweep.subprocess.run", stopped)
    run_sweep(sweep, print)
    assert seen["recipe"] is None and seen["seed=1"] == "recipe"
    assert seen["default_system=别的"] is None and seen["finetuning_type=full"] is None


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_the_gpu_sessions_script_goes_through_on_a_tiny_model(tmp_path):
    """From rows that are there: a tiny model of random weights composes nothing."""
    pytest.importorskip("trl")
    if not (ROOT / ".venv/bin/python").exists():
        pytest.skip("run.sh has made no .venv here")
    from tests.finetuning import make_base

    base, out, book = make_base(tmp_path / "base"), tmp_path / "out", "data/sample/book.md"
    kit = [str(ROOT / ".venv/bin/python"), "-m"]
    build = ["--rules", "all", "--dev", "0.25", "--with-passages", str(out / "index")]
    for command in (
        ["retrieval", "build", book, "--out", str(out / "index")],
        ["data", "build", book, "--out", str(out / "composed"), *build],
    ):
        subprocess.run([*kit, *command], cwd=ROOT, check=True, capture_output=True)
    general = tmp_path / "general.jsonl"
    general.write_text('{"instruction": "写一首诗", "output": "春眠不觉晓"}\n' * 40, "utf-8")
    sweep = tmp_path / "sweep.yaml"
    lines = (ROOT / "train/sweeps/composed.yaml").read_text("utf-8").split("\n")
    few = [line for line in lines if "lora_rank: 64" not in line and "rate: 1.0e-4" not in line]
    sweep.write_text("\n".join(line for line in few if "seed: 1}" not in line), "utf-8")
    short = "max_samples=8 eval_samples=4 eval_max_new_tokens=4 num_train_epochs=1 packing=false"
    done = subprocess.run(
        ["bash", "bench/tune_recipes_gpu.sh", str(out)],
        cwd=ROOT,
        env={
            **os.environ,
            "BASE": str(base),
            "BOOK": book,
            "TESTSET": "data/sample/testset_bonus.docx",
            "PY": sys.executable,
            "SWEEP": str(sweep),
            "MIX": str(general),
            "EXTRA": short,
        },
        capture_output=True,
        text=True,
    )
    told = (done.stdout + done.stderr)[-3000:]
    rows = json.loads((out / "sweep" / "sweep.json").read_text("utf-8"))
    assert len(rows) == 9 and not any(row["failed"] for row in rows), rows
    assert all(row["verdict"]["book"] and len(row["tuned"]) == 4 for row in rows)
    assert "by seed" in done.stdout, told
    assert done.returncode == 0, told


def test_a_smaller_model_answers_more_questions_at_once():
    from transformers import Qwen2Config, Qwen3Config

    large = Qwen3Config(
        num_hidden_layers=36, hidden_size=2560, num_attention_heads=32, num_key_value_heads=8,
        head_dim=128, intermediate_size=9728,
    )  # fmt: skip
    small = Qwen2Config(
        num_hidden_layers=24, hidden_size=896, num_attention_heads=14, num_key_value_heads=2,
        intermediate_size=4864,
    )  # fmt: skip
    assert batch_tokens(large) == BATCH_TOKENS
    assert 4 * BATCH_TOKENS < batch_tokens(small) < 6 * BATCH_TOKENS
    assert batch_tokens(object()) == BATCH_TOKENS, "a shape that is not known"
    assert batch_tokens(small, free=4 << 30, width=4) < BATCH_TOKENS, "a small card, float32"
