"""The same model takes the same download seconds wherever they are told."""

import io
import json

import pytest
from rich.console import Console

from common.facts import download_seconds
from preflight.budgets import build_lines
from preflight.model import from_config, from_directory
from tests.shapes import LLAMA, QWEN2_0_5B, QWEN3_4B
from train.estimate import print_plan


def planned(model) -> dict[str, str]:
    """The download column of `train plan`, by the weights' form."""
    text = io.StringIO()
    print_plan(str(model), 64, 4096, 32, Console(file=text, width=120))
    rows = [line.strip("│").split("│") for line in text.getvalue().splitlines() if "│" in line]
    return {row[0].strip(): row[2].strip() for row in rows if len(row) == 4 and " s" in row[2]}


def preflighted(model) -> str:
    lines = {line.what: line for line in build_lines(model, (0, 0.0), 0)}
    return lines["weights"].figure


@pytest.mark.parametrize("tied", [True, False])
@pytest.mark.parametrize("config", [QWEN2_0_5B, QWEN3_4B, LLAMA], ids=lambda c: c["model_type"])
def test_plan_and_preflight_agree(tmp_path, config, tied):
    path = tmp_path / "config.json"
    path.write_text(json.dumps(config | {"tie_word_embeddings": tied, "attention_bias": True}))
    told = planned(path)
    assert set(told) == {"bf16", "int8", "awq"}
    for precision in ("bf16", "awq"):
        assert told[precision] == preflighted(from_config(path, precision))


def test_known_models_take_known_seconds(tmp_path):
    path = tmp_path / "config.json"
    path.write_text(json.dumps(QWEN2_0_5B))
    # 2 bytes x 494,032,768 weights x 8 bits / 100 Mbit/s x 1.25
    assert planned(path)["bf16"] == "98.8 s"
    path.write_text(json.dumps(QWEN3_4B))
    assert planned(path)["bf16"] == "804 s"


def test_a_directorys_files_count_alike(tmp_path):
    (tmp_path / "config.json").write_text(json.dumps(QWEN3_4B))
    (tmp_path / "model.safetensors").write_bytes(b"x" * 50_000_000)
    (tmp_path / "tokenizer.json").write_bytes(b"x" * 10_000_000)
    model = from_directory(tmp_path)
    told = planned(tmp_path)
    assert told["these files"] == preflighted(model) == "6.0 s"
    assert download_seconds(model.total_bytes) == pytest.approx(6.0, abs=0.01)
    assert told["bf16"] == "804 s"  # the shape's, not the files'
