"""The formulas of training, against PEFT, measured peaks and numbers worked out by hand."""

import json
from pathlib import Path

import pytest
from rich.console import Console

from common.model_shape import ShapeError, shape_of
from tests.shapes import QWEN3_4B, SMALL
from train.estimate import (
    activation_bytes,
    largest_batch,
    lora_parameters,
    print_plan,
    training_bytes,
    training_flop,
)


def test_qwen3_4b_by_hand():
    q = shape_of(QWEN3_4B, "it")
    # (64 GB x 0.9 - 8.04 GB) / (1024 x 147,456 B)
    assert largest_batch(q, q.weight_bytes("bf16"), 1024, 64e9) == 328
    assert training_bytes(q, "full", 0, 32, False)["total"] == 16 * q.parameters
    assert training_flop(q, "lora") == pytest.approx(4 * q.parameters, rel=1e-3)


def test_lora_counts_are_pefts():
    peft = pytest.importorskip("peft")
    import transformers

    fields = {k: v for k, v in SMALL.items() if k != "model_type"}
    built = transformers.Qwen3ForCausalLM(transformers.Qwen3Config(**fields))
    adapted = peft.get_peft_model(built, peft.LoraConfig(r=4, target_modules="all-linear"))
    trained = sum(p.numel() for p in adapted.parameters() if p.requires_grad)
    assert lora_parameters(shape_of(SMALL, "it"), 4) == trained


def test_checkpointing_saves_and_lora_is_smaller():
    q = shape_of(QWEN3_4B, "it")
    assert activation_bytes(q, 4096, True) < activation_bytes(q, 4096, False) / 10
    sizes = [
        training_bytes(q, m, 4096, 32, False)["total"]
        for m in ("qlora", "lora-8bit", "lora", "full")
    ]
    assert sizes == sorted(sizes)


MEASURED = Path(__file__).parents[1] / "bench" / "results" / "train_h100.json"


def test_estimates_are_within_a_tenth_of_the_measured_peaks():
    q, checked = shape_of(QWEN3_4B, "it"), 0
    for row in json.loads(MEASURED.read_text(encoding="utf-8"))["sections"]:
        if row["recipe_path"]:
            parts = training_bytes(
                q, row["method"], row["widest"], row["lora_rank"], row["checkpointing"]
            )
            assert parts["total"] == pytest.approx(row["peak_bytes"], rel=0.1), row["name"]
            checked += 1
    assert checked >= 8


@pytest.mark.parametrize(
    ("model", "said"),
    [
        ("train/recipes/demo.yaml", "a recipe, no model.*--dry-run"),
        ("nowhere", "no such directory"),
        ("out/a/config.json", "no such directory"),
    ],
)
def test_what_is_no_model_is_told_before_anything_is_fetched(model, said):
    with pytest.raises(ShapeError, match=said):
        print_plan(model, 64, 4096, 32, Console())
