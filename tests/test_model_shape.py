"""Shapes, against models that were really built and published counts."""

import json
import os
import subprocess
import sys

import pytest

from common.model_shape import ShapeError, config_of, read_shape, shape_of, weights_format
from tests.hub_standin import HubStandin
from tests.shapes import LLAMA, QWEN2_0_5B, QWEN3_4B, SMALL


@pytest.mark.parametrize(
    ("config", "parameters", "kv_bytes"),
    [
        (QWEN3_4B, 4_022_468_096, 147_456),  # 2 x 36 layers x 8 heads x 128 x 2 bytes
        (QWEN2_0_5B, 494_032_768, 12_288),  # 2 x 24 layers x 2 heads x 64 x 2 bytes
        (LLAMA, 8_030_261_248, 131_072),
    ],
)
def test_published_counts(config, parameters, kv_bytes):
    shape = shape_of(config, "it")
    assert (shape.parameters, shape.kv_bytes) == (parameters, kv_bytes)
    assert shape.weight_bytes("bf16") == 2 * parameters
    assert shape.weight_bytes("fp32") == 4 * parameters


@pytest.mark.parametrize("kind", ["qwen2", "qwen3", "llama"])
@pytest.mark.parametrize("tied", [True, False])
@pytest.mark.parametrize("bias", [True, False])
def test_counts_are_those_of_the_built_model(tmp_path, kind, tied, bias):
    torch = pytest.importorskip("torch")
    from transformers import AutoConfig, AutoModelForCausalLM

    fields = SMALL | {"model_type": kind, "tie_word_embeddings": tied}
    fields |= {"attention_bias": bias, "mlp_bias": bias}
    config = AutoConfig.for_model(**fields)
    config.save_pretrained(tmp_path)  # config.json as users have it
    with torch.device("meta"):
        built = AutoModelForCausalLM.from_config(config)
    built.tie_weights()
    shape = read_shape(str(tmp_path))
    assert shape.parameters == sum(p.numel() for p in built.parameters())
    inner = [m for n, m in built.named_modules() if isinstance(m, torch.nn.Linear) and "." in n]
    assert shape.linear_parameters == sum(m.weight.numel() for m in inner)
    head = built.get_output_embeddings().weight.numel()
    assert shape.matmul_parameters == shape.linear_parameters + head
    # A step reads all weights but the input embedding, unless that is lm_head as well.
    table = built.get_input_embeddings().weight.numel()
    whole = shape.weight_bytes("bf16")
    assert shape.step_bytes(whole) == whole - (0 if tied else 2 * table)


def test_only_linear_modules_are_quantized():
    shape = shape_of(QWEN3_4B, "it")
    others = 2 * (shape.parameters - shape.linear_parameters)
    assert shape.weight_bytes("int8") == shape.weight_bytes("fp8")
    assert shape.weight_bytes("int8") == shape.linear_parameters + others
    # 4 bits a weight, and 20 more for each 128 of them.
    assert shape.weight_bytes("awq") == shape.linear_parameters * (4 + 20 / 128) / 8 + others
    assert 2.6e9 < shape.weight_bytes("awq") < 2.8e9


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"model_type": "qwen3_moe", "num_experts": 128}, "'qwen3_moe' is not known"),
        ({"model_type": None}, "model_type None is not known"),
        ({"hidden_size": None}, "hidden_size"),
        ({"num_hidden_layers": "many"}, "num_hidden_layers"),
        ({"vocab_size": 0}, "vocab_size"),
        ({"num_key_value_heads": 5}, "no multiple of num_key_value_heads 5"),
    ],
)
def test_what_cannot_be_counted_is_refused_in_one_sentence(changes, message):
    with pytest.raises(ShapeError, match=message) as error:
        shape_of(QWEN3_4B | changes, "me/book")
    assert str(error.value).startswith("me/book: ") and "\n" not in str(error.value)


def test_places_without_a_config_are_named(tmp_path):
    for place in ("nowhere", "/nowhere", "nowhere/", "a/b/c"):
        with pytest.raises(ShapeError, match=f"{place.rstrip('/')}: No such file"):
            read_shape(place)
    with pytest.raises(ShapeError, match="config.json: No such file"):
        read_shape(str(tmp_path))
    path = tmp_path / "config.json"
    for text, message in (("{", "no JSON"), ("[]", "a JSON object")):
        path.write_text(text)
        with pytest.raises(ShapeError, match=message):
            read_shape(str(path))


@pytest.mark.parametrize("hub", ["modelscope", "hf"])
def test_a_hub_id_is_looked_up(tmp_path, hub):
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "config.json").write_text(json.dumps(QWEN3_4B))
    # In a process of its own, because the SDKs read these variables when they are imported.
    code = (
        "import sys; from common.model_shape import read_shape\n"
        "print(read_shape('me/book', *sys.argv[1:]).parameters)"
    )
    command = [sys.executable, "-c", code, hub]
    with HubStandin(tmp_path / "hub") as standin:
        standin.publish("me/book", tmp_path / "model")
        env = {**os.environ, "MODELSCOPE_ENDPOINT": standin.endpoint}
        env |= {"HF_ENDPOINT": standin.endpoint, "HF_HUB_OFFLINE": "0"}
        done = subprocess.run(command, env=env, capture_output=True, text=True)
        assert done.stdout.split()[-1:] == ["4022468096"], done.stderr
        (tmp_path / "hub" / "me" / "book" / "master" / "config.json").unlink()
        missing = subprocess.run(command, env=env, capture_output=True, text=True)
    assert "ShapeError: me/book: its config.json cannot be fetched" in missing.stderr


@pytest.mark.parametrize(
    ("quantization", "form"),
    [
        (None, "plain"),
        ({"quant_method": "awq"}, "awq"),
        ({"bits": 4}, "unknown"),
        ({"quant_method": "fp8"}, "fp8"),
        ({"quant_method": "compressed-tensors", "format": "float-quantized"}, "fp8"),
        (
            {"quant_method": "compressed-tensors", "format": "pack-quantized"},
            "compressed-tensors pack-quantized",
        ),
    ],
)
def test_the_weights_format_of_a_config(tmp_path, quantization, form):
    path = tmp_path / "config.json"
    path.write_text(json.dumps(QWEN3_4B | {"quantization_config": quantization}))
    assert weights_format(config_of(str(tmp_path))) == form
