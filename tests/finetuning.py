"""What the tests of fine-tuning share: a tiny base, its facts, a recipe that takes seconds."""

import json
from pathlib import Path

from common.pairs import Pair
from train.demo.model import model_config, save_model, train_tokenizer
from train.recipe import Recipe

FACTS = [(f"第{i}号桥有多长？", f"第{i}号桥长{i * 7}米，编号为BR{i}。") for i in range(1, 13)]
PAIRS = [Pair(question, answer) for question, answer in FACTS]


def make_base(folder: Path) -> Path:
    """An untrained Qwen3 of two layers, saved as train.demo saves."""
    from train.demo.training import build_model

    tokenizer = train_tokenizer([q + a for q, a in FACTS], 512)
    # Qwen3's own start: rounding errors of exports are told apart from it by fixed shares.
    config = model_config(tokenizer, hidden=128, layers=2, intermediate=256)
    config["initializer_range"] = 0.02
    save_model(folder, build_model(config, 0), tokenizer, config)
    return folder


def make_data(folder: Path) -> Path:
    """Train, dev and calibration rows as `python -m data` writes them."""
    for name, rows in [("train", FACTS), ("dev", FACTS[:2]), ("calibration", FACTS[:4])]:
        lead = "" if name == "train" else "请问"
        text = "".join(
            json.dumps({"question": lead + q, "answer": a}, ensure_ascii=False) + "\n"
            for q, a in rows
        )
        (folder / f"{name}.jsonl").write_text(text, encoding="utf-8")
    return folder


def recipe(base: Path, data: Path, out: Path, **fields) -> Recipe:
    given = {
        "model_name_or_path": str(base),
        "dataset_dir": data,
        "output_dir": out,
        "cutoff_len": 128,
        "pack_len": 256,
        "packing": False,
        "per_device_train_batch_size": 4,
        "num_train_epochs": 2,
        "learning_rate": 1e-2,
        "logging_steps": 1,
        "eval_samples": 2,
        "eval_max_new_tokens": 8,
        "early_stopping_patience": None,
        "report_to": "none",
        "lora_rank": 8,
    }
    return Recipe(**{**given, **fields})


def losses(out: Path) -> list[float]:
    """The training losses of a run, one a step."""
    log = json.loads((out / "trainer_log.json").read_text(encoding="utf-8"))
    return [row["loss"] for row in log if "loss" in row]
