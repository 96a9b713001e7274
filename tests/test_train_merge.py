"""Merging: every tensor of an adapter in its place."""

import json
from pathlib import Path

import pytest

pytest.importorskip("trl")
pytest.importorskip("peft")

import torch  # noqa: E402
from peft import LoraConfig, get_peft_model  # noqa: E402
from safetensors.torch import load_file, save_file  # noqa: E402
from transformers import AutoModelForCausalLM  # noqa: E402

from common.model_files import model_files_problems  # noqa: E402
from tests.adapters import (  # noqa: E402
    LINEAR,
    assert_merged_is_base_and_adapter,  # noqa: E402
    make_adapter,
    rewritten,
)
from train.merge import merge  # noqa: E402


@pytest.fixture(scope="module")
def untied(base, tmp_path_factory) -> Path:
    """The same base with a head of its own."""
    out = tmp_path_factory.mktemp("untied") / "model"
    out.mkdir()
    for path in base.iterdir():
        (out / path.name).write_bytes(path.read_bytes())
    config = json.loads((base / "config.json").read_text(encoding="utf-8"))
    (out / "config.json").write_text(json.dumps({**config, "tie_word_embeddings": False}))
    weights = load_file(base / "model.safetensors")
    weights["lm_head.weight"] = torch.randn_like(weights["model.embed_tokens.weight"]) * 0.05
    save_file(weights, out / "model.safetensors", metadata={"format": "pt"})
    assert model_files_problems(out) == []
    return out


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"use_rslora": True},
        {"use_dora": True},
        {"target_modules": "all-linear"},
        {"target_modules": r".*layers\.1\..*_proj"},
        {"layers_to_transform": [0]},
        {"rank_pattern": {"down_proj": 4}, "alpha_pattern": {"q_proj": 64}},
        {"bias": "lora_only"},
        {"modules_to_save": ["norm"]},
        {"init_lora_weights": "pissa"},
        {"init_lora_weights": "olora"},
    ],
    ids=lambda fields: " ".join(map(str, fields.values())) or "plain",
)
def test_kinds_of_lora_merge_to_what_they_are(base, tmp_path, fields):
    adapter = make_adapter(base, tmp_path / "adapter", **fields)
    merged = assert_merged_is_base_and_adapter(base, adapter, tmp_path / "merged")
    assert (merged / "config.json").read_bytes() == (base / "config.json").read_bytes()


@pytest.mark.parametrize("tied", [True, False])
@pytest.mark.parametrize(
    "fields",
    [
        {"target_modules": [*LINEAR, "lm_head"]},
        {"target_modules": [*LINEAR, "embed_tokens"]},
        {"target_modules": [*LINEAR, "embed_tokens", "lm_head"]},
        {"modules_to_save": ["lm_head"]},
        {"modules_to_save": ["embed_tokens"]},
        {"modules_to_save": ["embed_tokens", "lm_head"]},
        {"modules_to_save": ["embed_tokens"], "ensure_weight_tying": True},
        {"target_modules": [*LINEAR, "embed_tokens"], "ensure_weight_tying": True},
        {"trainable_token_indices": {"embed_tokens": [5, 6, 7]}},
    ],
    ids=lambda f: " ".join(map(str, f.items())) if isinstance(f, dict) else str(f),
)
def test_adapters_on_embedding_and_head_merge_to_what_they_are(
    base, untied, tmp_path, fields, tied
):
    """A tied base gets a head of its own where the adapter has parted the two."""
    if not tied and fields.get("ensure_weight_tying"):
        pytest.skip("nothing to tie")
    chosen = base if tied else untied
    adapter = make_adapter(chosen, tmp_path / "adapter", **fields)
    merged = assert_merged_is_base_and_adapter(chosen, adapter, tmp_path / "merged")
    config = json.loads((merged / "config.json").read_text())
    head = "lm_head.weight" in load_file(merged / "model.safetensors")
    assert head == (not config["tie_word_embeddings"])


def test_untrained_adapters_merge_with_a_note(base, tmp_path, capsys):
    model = AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32)
    get_peft_model(model, LoraConfig(target_modules=LINEAR)).save_pretrained(tmp_path / "adapter")
    merge(base, [tmp_path / "adapter"], tmp_path / "merged")
    assert "changes nothing" in capsys.readouterr().out


def test_an_adapter_of_another_base_by_name_is_merged_with_a_note(base, plain, tmp_path, capsys):
    adapter = rewritten(plain, tmp_path / "adapter", base_model_name_or_path="Qwen/Qwen3-4B-Base")
    merge(base, [adapter], tmp_path / "merged")
    assert "was trained on Qwen3-4B-Base; merging into" in capsys.readouterr().out
    merge(base, [plain], tmp_path / "merged")
    assert "note" not in capsys.readouterr().out


def test_an_adapter_with_a_template_of_its_own_is_merged_with_a_note(base, plain, tmp_path, capsys):
    own = rewritten(plain, tmp_path / "a")
    for name in ("tokenizer.json", "tokenizer_config.json", "chat_template.jinja"):
        (own / name).write_bytes((base / name).read_bytes())
    merge(base, [own], tmp_path / "same")
    assert "another chat template" not in capsys.readouterr().out
    (own / "chat_template.jinja").write_text("{% for m in messages %}{{ m.content }}{% endfor %}")
    merge(base, [own], tmp_path / "m")
    assert "brings another chat template" in capsys.readouterr().out


def test_merging_twice_leaves_no_stale_shards(base, plain, tmp_path):
    out = merge(base, [plain], tmp_path / "out", shard_gb=0.0005)
    assert (out / "model.safetensors.index.json").is_file()
    merge(base, [plain], out)
    assert [path.name for path in out.glob("*.safetensors*")] == ["model.safetensors"]
