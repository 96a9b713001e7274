"""The table at a recipe's end: what every stage scored and took."""

from pathlib import Path

from rich.console import Console

from common.manifest import Manifest, write_manifest
from train.check import Checked
from train.recipe import Recipe
from train.stages import stage_table


def checked(name: str, score: float, drop: float) -> Checked:
    return Checked(name, score, 0.9, 0.5, 0, 8_000_000, 11.0, 2.5, drop, drop < 0.1)


def shown(recipe: Recipe, *results: Checked) -> str:
    console = Console(width=80)  # a common terminal
    with console.capture() as capture:
        console.print(stage_table(recipe, results, 40))
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


def test_a_base_that_came_ready_and_full_training_leave_blanks(tmp_path):
    recipe = Recipe(
        model_name_or_path=str(Path("a/b")), dataset_dir=tmp_path, output_dir=tmp_path / "out"
    )
    text = shown(recipe, checked("base", 0.1, 0.3), checked("merged", 0.4, 0.0))
    assert "LoRA" not in text and "0.400" in text and "…" not in text
