"""The formulas, against models that were really built and numbers worked out by hand."""

import json
from pathlib import Path

import pytest

from train.base import ModelError
from train.estimate import (
    activation_bytes,
    kv_bytes,
    largest_batch,
    lora_parameters,
    shape_of,
    training_bytes,
    training_flop,
    weight_bytes,
)

QWEN3_4B = {
    "model_type": "qwen3",
    "hidden_size": 2560,
    "num_hidden_layers": 36,
    "num_attention_heads": 32,
    "num_key_value_heads": 8,
    "head_dim": 128,
    "intermediate_size": 9728,
    "vocab_size": 151936,
    "tie_word_embeddings": True,
}
SMALL = QWEN3_4B | {
    "hidden_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 16,
    "intermediate_size": 96,
    "vocab_size": 128,
}


def shape(tmp_path: Path, **fields):
    path = tmp_path / "config.json"
    path.write_text(json.dumps(QWEN3_4B | fields), encoding="utf-8")
    return shape_of(str(path))


def test_qwen3_4b_by_hand(tmp_path):
    q = shape(tmp_path)
    assert q.parameters == 4_022_468_096  # the published 4.0 billion
    assert kv_bytes(q) == 147_456  # 2 x 36 layers x 8 heads x 128 x 2 bytes
    assert weight_bytes(q, "bf16") == 2 * q.parameters
    assert 2.6e9 < weight_bytes(q, "w4") < 2.8e9
    # (64 GB x 0.9 - 8.04 GB) / (1024 x 147,456 B)
    assert largest_batch(q, "bf16", 1024, 64e9) == 328
    assert training_bytes(q, "full", 0)["total"] == 16 * q.parameters
    assert training_flop(q, "lora") == pytest.approx(4 * q.parameters, rel=1e-3)


@pytest.mark.parametrize("kind", ["qwen3", "qwen2"])
@pytest.mark.parametrize("tied", [True, False])
def test_counts_are_those_of_the_built_model(tmp_path, kind, tied):
    pytest.importorskip("torch")
    import transformers

    classes = {
        "qwen3": (transformers.Qwen3Config, transformers.Qwen3ForCausalLM),
        "qwen2": (transformers.Qwen2Config, transformers.Qwen2ForCausalLM),
    }
    config, model = classes[kind]
    fields = SMALL | {"tie_word_embeddings": tied, "model_type": kind}
    built = model(config(**{k: v for k, v in fields.items() if k != "model_type"}))
    s = shape(tmp_path, **fields)
    assert s.parameters == sum(p.numel() for p in built.parameters())


def test_lora_counts_are_pefts(tmp_path):
    peft = pytest.importorskip("peft")
    import transformers

    fields = {k: v for k, v in SMALL.items() if k != "model_type"}
    built = transformers.Qwen3ForCausalLM(transformers.Qwen3Config(**fields))
    adapted = peft.get_peft_model(built, peft.LoraConfig(r=4, target_modules="all-linear"))
    trained = sum(p.numel() for p in adapted.parameters() if p.requires_grad)
    assert lora_parameters(shape(tmp_path, **SMALL), 4) == trained


def test_checkpointing_saves_and_lora_is_smaller(tmp_path):
    q = shape(tmp_path)
    assert activation_bytes(q, 4096, True) < activation_bytes(q, 4096, False) / 10
    sizes = [training_bytes(q, m, 4096)["total"] for m in ("qlora", "lora-8bit", "lora", "full")]
    assert sizes == sorted(sizes)


def test_unknown_models_are_named(tmp_path):
    with pytest.raises(ModelError, match="nowhere"):
        shape_of("nowhere")
    (tmp_path / "config.json").write_text('{"hidden_size": 8}', encoding="utf-8")
    with pytest.raises(ModelError, match="num_attention_heads"):
        shape_of(str(tmp_path))


MEASURED = Path(__file__).parents[1] / "bench" / "results" / "train_h100.json"


def test_estimates_are_within_a_tenth_of_the_measured_peaks(tmp_path):
    q, checked = shape(tmp_path), 0
    for row in json.loads(MEASURED.read_text(encoding="utf-8"))["sections"]:
        if row["recipe_path"]:
            parts = training_bytes(
                q, row["method"], row["widest"], row["lora_rank"], row["checkpointing"]
            )
            assert parts["total"] == pytest.approx(row["peak_bytes"], rel=0.1), row["name"]
            checked += 1
    assert checked >= 8
