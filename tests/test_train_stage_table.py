"""`train run` from the outside: its stages, its table, what it says when stopped and at its end."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from rich.console import Console
from typer.testing import CliRunner

import train.__main__ as command
from common.manifest import Manifest, write_manifest
from train.check import Checked
from train.recipe import Recipe
from train.stage_table import stage_table


def checked(name: str, score: float, drop: float) -> Checked:
    return Checked(name, score, 0.9, 0.5, 0, 8_000_000, 11.0, 2.5, drop, drop < 0.1)


def shown(recipe: Recipe, *results: Checked, questions: int = 40) -> str:
    console = Console(width=80)  # a common terminal
    with console.capture() as capture:
        console.print(stage_table(recipe, results, questions))
    return capture.get()


def test_every_stage_has_its_score_and_seconds(tmp_path):
    base = tmp_path / "base"
    recipe = Recipe(
        model_name_or_path=str(base),
        dataset_dir=tmp_path,
        output_dir=tmp_path / "out",
        demo_base_steps=9,
        eval_samples=24,
    )
    for folder, seconds in [(base, 120), ("adapter", 240), ("merged", 3), ("awq", 21)]:
        path = tmp_path / "out" / folder
        path.mkdir(parents=True, exist_ok=True)
        scores = {"dev_judge_best": 0.777} if folder == "adapter" else {}
        write_manifest(path, Manifest(stage="x", name="x", seconds=seconds, scores=scores))
    (tmp_path / "out" / "adapter" / "adapter_model.safetensors").write_bytes(b"x" * 1_500_000)
    results = [checked("base", 0.1, 0.65), checked("merged", 0.75, 0.0), checked("awq", 0.7, 0.05)]
    text = shown(recipe, *results)
    lines = [line for line in text.splitlines() if "│" in line]
    cells = [[cell.strip() for cell in line.strip("│").split("│")] for line in lines]
    assert [row[0] for row in cells] == ["base", "LoRA", "merged", "awq"]
    assert [row[1] for row in cells] == ["0.100", "0.777", "0.750", "0.700"]
    assert [row[2] for row in cells] == ["-0.650", "", "", "-0.050"]
    assert [row[5] for row in cells] == ["120", "240", "3", "21"]
    assert cells[1][4] == "1.5" and "seen in training, 24 questions" in text
    assert "…" not in text and "seen in training, 3 questions" in shown(
        recipe, *results, questions=3
    )


def test_a_base_that_came_ready_and_full_training_leave_blanks(tmp_path):
    recipe = Recipe(
        model_name_or_path=str(Path("a/b")), dataset_dir=tmp_path, output_dir=tmp_path / "out"
    )
    text = shown(recipe, checked("base", 0.1, 0.3), checked("merged", 0.4, 0.0))
    assert "LoRA" not in text and "0.400" in text and "…" not in text


@pytest.fixture
def recipe_file(tmp_path: Path) -> Path:
    path = tmp_path / "recipe.yaml"
    fields = {"model_name_or_path": "a/b", "dataset_dir": "data", "output_dir": "out/x"}
    path.write_text(yaml.safe_dump(fields), encoding="utf-8")
    return path


def test_a_run_goes_through_its_stages_and_names_the_next_command(recipe_file, monkeypatch):
    seen = []
    for stage in ("train", "merge", "quantize", "check"):
        monkeypatch.setattr(command.steps, stage, lambda *_, stage=stage, **__: seen.append(stage))
    told = CliRunner().invoke(command.app, ["run", str(recipe_file)])
    assert told.exit_code == 0 and seen == ["train", "merge", "quantize", "check"]
    assert "MODEL_DIR=out/x/awq-gemm bash run.sh TESTSET.docx" in told.output
    told = CliRunner().invoke(command.app, ["run", str(recipe_file), "export_formats=[]"])
    assert "MODEL_DIR=out/x/merged bash run.sh" in told.output


def test_ctrl_c_names_resume(recipe_file, monkeypatch):
    def stop(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(command.steps, "train", stop)
    told = CliRunner().invoke(command.app, ["run", str(recipe_file)])
    assert told.exit_code == 130 and "--resume" in told.output


def test_threads_of_training_sleep_while_they_wait():
    code = "import os, train.__main__; print(os.environ['OMP_WAIT_POLICY'])"
    environment = {k: v for k, v in os.environ.items() if k != "OMP_WAIT_POLICY"}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True)
    assert done.stdout.split() == [b"passive"]
