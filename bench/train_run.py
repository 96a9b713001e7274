"""`train run` in one piece with a shipped recipe: train, evaluate, merge, quantize, check.

    python -m bench.train_run train/recipes/qwen3-4b-lora.yaml --base MODEL_DIR --data out/data
    python -m bench.train_run train/recipes/qwen3-4b-lora.yaml --dry     a tiny model, on a CPU

The first is for a GPU with real weights: does the recipe come to its end, how long does each stage
take, and what did evaluation see? The second tries the same line with made-up weights and twelve
facts in two minutes, and says nothing of the recipe's quality.
"""

import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from common.manifest import read_manifest

ROOT = Path(__file__).parents[1]
FACTS = [(f"第{i}号桥有多长？", f"第{i}号桥长{i * 7}米，编号为BR{i}。") for i in range(1, 13)]
# What a CPU and twelve facts need otherwise than a GPU and a book.
DRY = {
    "quantization_bit": "null",
    "per_device_train_batch_size": 4,
    "gradient_accumulation_steps": 1,
    "num_train_epochs": 30,  # so many that it answers at all: empty answers end a run
    "learning_rate": 5e-3,
    "early_stopping_patience": "null",
    "lora_rank": 8,
    "packing": "false",
    "torch_compile": "false",
    "eval_samples": 4,
    "eval_max_new_tokens": 8,
    "calibration_samples": 4,
    "check_samples": 4,
    "max_score_drop": 1,
    "export_formats": "[awq-gemm]",
}
console = Console()


def main(
    recipe: Annotated[Path, typer.Argument(help="of train/recipes")],
    overrides: Annotated[list[str] | None, typer.Argument(help="key=value")] = None,
    base: Annotated[Path | None, typer.Option(help="the base's directory, with weights")] = None,
    data: Annotated[Path | None, typer.Option(help="what `data build` wrote")] = None,
    work: Annotated[Path, typer.Option(help="the run goes here")] = Path("out/train_run"),
    out: Annotated[Path, typer.Option(help="results")] = Path("report/train_run.json"),
    dry: Annotated[bool, typer.Option("--dry", help="a tiny model and made-up facts")] = False,
) -> None:
    """Run a recipe whole and write down what each stage took and saw."""
    given: dict[str, Any] = {"output_dir": work / "run"}
    if dry:
        given |= {"model_name_or_path": tiny_base(work / "base"), "dataset_dir": facts(work)} | DRY
    if base:
        given["model_name_or_path"] = base
    if data:
        given["dataset_dir"] = data
    words = [f"{key}={value}" for key, value in given.items()] + (overrides or [])
    # Asked is whether the recipe comes to its end, whatever its score: made-up weights have none.
    command = [sys.executable, "-m", "train", "run", str(recipe), *words, "--even-if-worse"]
    console.print("$ " + " ".join(command), markup=False, highlight=False, soft_wrap=True)
    began = time.monotonic()
    code = subprocess.run(command, cwd=ROOT).returncode
    told = {
        "recipe": str(recipe),
        "dry": dry,
        "overrides": overrides or [],
        "exit_code": code,
        "seconds": round(time.monotonic() - began, 1),
        **outcome(work / "run"),
    }
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(json.dumps(told, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")
    console.print(f"exit code {code}, {told['seconds']} s: {out}")
    raise typer.Exit(code)


def outcome(run: Path) -> dict[str, Any]:
    """Evaluation by step, and seconds and scores of each stage that wrote its manifest."""
    log = run / "trainer_log.json"
    rows = json.loads(log.read_text(encoding="utf-8")) if log.is_file() else []
    curve = [
        {key: row[key] for key in ("step", "epoch", "eval_loss", "eval_judge") if key in row}
        for row in rows
        if "eval_loss" in row
    ]
    stages = {}
    for directory in (
        sorted(path for path in run.iterdir() if path.is_dir()) if run.is_dir() else ()
    ):
        if manifest := read_manifest(directory):
            stages[directory.name] = {"seconds": manifest.seconds, "scores": manifest.scores}
    return {"evaluation": curve, "stages": stages}


def tiny_base(folder: Path) -> Path:
    """An untrained Qwen3 of two layers, wide enough for 4-bit groups."""
    from train.demo.model import model_config, save_model, train_tokenizer
    from train.demo.training import build_model

    folder.mkdir(parents=True, exist_ok=True)
    tokenizer = train_tokenizer([question + answer for question, answer in FACTS], 512)
    config = model_config(tokenizer, hidden=128, layers=2, intermediate=256)
    config["initializer_range"] = 0.02  # Qwen3's own: the exports' rounding is told apart from it
    save_model(folder, build_model(config, 0), tokenizer, config)
    return folder


def facts(folder: Path) -> Path:
    """Train, dev and calibration rows of the twelve facts; dev asks four in other words."""
    data = folder / "data"
    data.mkdir(parents=True, exist_ok=True)
    for name, lead, rows in (("train", "", FACTS), ("dev", "请问", FACTS[:4]),
                             ("calibration", "请问", FACTS[:4])):  # fmt: skip
        lines = [
            json.dumps({"question": lead + question, "answer": answer}, ensure_ascii=False) + "\n"
            for question, answer in rows
        ]
        (data / f"{name}.jsonl").write_text("".join(lines), encoding="utf-8")
    return data


if __name__ == "__main__":
    typer.run(main)
