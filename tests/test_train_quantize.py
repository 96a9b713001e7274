"""Every export that can be read without vLLM, made for real and read back: near the full model."""

import json
import os
from pathlib import Path

import pytest

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # a busy machine's threads must not spin
pytest.importorskip("llmcompressor")
pytest.importorskip("bitsandbytes")

import torch  # noqa: E402
from safetensors.torch import load_file  # noqa: E402
from transformers import AutoModelForCausalLM  # noqa: E402

from common.manifest import read_manifest  # noqa: E402
from tests.finetuning import PAIRS  # noqa: E402
from tests.test_train_autoawq import unpack_gemm  # noqa: E402
from train.base import ModelError, load_tokenizer  # noqa: E402
from train.dataset import encode_rows  # noqa: E402
from train.demo.model import SYSTEM_PROMPT  # noqa: E402
from train.quantize import quantize  # noqa: E402


def logits(folder: Path, ids: list[int]) -> torch.Tensor:
    model = AutoModelForCausalLM.from_pretrained(folder).eval()
    with torch.inference_mode():
        return model(torch.tensor([ids])).logits[0].float()


@pytest.mark.parametrize(
    ("form", "method", "off"),
    [
        ("awq", "compressed-tensors", 0.3),
        ("fp8", "compressed-tensors", 0.08),
        ("bnb-8bit", "bitsandbytes", 0.05),
        ("bnb-4bit", "bitsandbytes", 0.2),
    ],
)
def test_an_export_reads_back_near_the_full_model(base, tmp_path, form, method, off, capfd):
    out = quantize(base, tmp_path / form, form, PAIRS, samples=8)
    shown = capfd.readouterr().err
    assert "Grid search" not in shown and "Calibrating" not in shown
    assert ("awq: parts of the model: 100%" in shown) == (form == "awq")
    ids = encode_rows(load_tokenizer(base), PAIRS[:1], SYSTEM_PROMPT)[0]["input_ids"]
    wanted, got = logits(base, ids), logits(out, ids)
    assert 0 < (got - wanted).abs().mean() < off * wanted.abs().mean()
    config, before = (json.loads((d / "config.json").read_text()) for d in (out, base))
    assert config.pop("quantization_config")["quant_method"] == method and config == before
    for name in ("tokenizer.json", "tokenizer_config.json", "chat_template.jinja"):
        assert (out / name).read_bytes() == (base / name).read_bytes()
    manifest = read_manifest(out)
    assert manifest.settings["format"] == form
    assert manifest.counts["bytes"] < manifest.counts["bytes_before"]


def test_the_gemm_layout_holds_weights_near_the_full_ones(base, tmp_path):
    out = quantize(base, tmp_path / "gemm", "awq-gemm", PAIRS, samples=8)
    assert json.loads((out / "config.json").read_text())["quantization_config"]["version"] == "gemm"
    stored, full = load_file(out / "model.safetensors"), load_file(base / "model.safetensors")
    # o_proj: AWQ scales no channel of it here (its input comes out of fewer value heads).
    name = "model.layers.0.self_attn.o_proj"
    zeros = unpack_gemm(stored[f"{name}.qzeros"]).repeat_interleave(128, 0)
    scales = stored[f"{name}.scales"].float().repeat_interleave(128, 0)
    weight = ((unpack_gemm(stored[f"{name}.qweight"]) - zeros) * scales).t()
    wanted = full[f"{name}.weight"].float()
    # 16 steps over a group's range: half a step at most, and float16 scales.
    assert (weight - wanted).abs().max() < (wanted.max() - wanted.min()) / 30 * 1.1


def test_widths_that_do_not_divide_and_unknown_formats_are_told(base, tmp_path):
    with pytest.raises(ModelError, match="no such format"):
        quantize(base, tmp_path / "x", "awq2", PAIRS)
    other = tmp_path / "other"
    other.mkdir()
    for path in base.iterdir():
        (other / path.name).write_bytes(path.read_bytes())
    config = json.loads((other / "config.json").read_text())
    (other / "config.json").write_text(json.dumps(config | {"hidden_size": 96}))
    with pytest.raises(ModelError, match="hidden_size=96 is no multiple of 128"):
        quantize(other, tmp_path / "x", "awq", PAIRS)
