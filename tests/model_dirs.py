"""Model directories in small, as tests of files need them: real names, headers and shapes."""

import json
import os
from collections.abc import Mapping, Sequence
from math import prod
from pathlib import Path
from typing import Any

Shapes = Mapping[str, Sequence[int]]
CONFIG: dict[str, Any] = {
    "architectures": ["Qwen3ForCausalLM"],
    "model_type": "qwen3",
    "hidden_size": 64,
    "intermediate_size": 96,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 16,
    "vocab_size": 300,
    "tie_word_embeddings": True,
    "torch_dtype": "bfloat16",
}
FAMILIES = {
    "llama": "LlamaForCausalLM",
    "mistral": "MistralForCausalLM",
    "qwen2": "Qwen2ForCausalLM",
}


def shapes_of(config: Mapping[str, Any]) -> dict[str, list[int]]:
    """The tensors of a Qwen2, Qwen3 or Llama of these dimensions."""
    hidden, inner, head = config["hidden_size"], config["intermediate_size"], config["head_dim"]
    queries, keys = config["num_attention_heads"] * head, config["num_key_value_heads"] * head
    shapes = {"model.embed_tokens.weight": [config["vocab_size"], hidden]}
    for layer in range(config["num_hidden_layers"]):
        block = {
            "input_layernorm.weight": [hidden],
            "post_attention_layernorm.weight": [hidden],
            "mlp.gate_proj.weight": [inner, hidden],
            "mlp.up_proj.weight": [inner, hidden],
            "mlp.down_proj.weight": [hidden, inner],
            "self_attn.o_proj.weight": [hidden, queries],
        }
        for name, rows in (("q", queries), ("k", keys), ("v", keys)):
            block[f"self_attn.{name}_proj.weight"] = [rows, hidden]
            if config["model_type"] == "qwen2":
                block[f"self_attn.{name}_proj.bias"] = [rows]
        if config["model_type"] == "qwen3":
            block |= {"self_attn.q_norm.weight": [head], "self_attn.k_norm.weight": [head]}
        shapes |= {f"model.layers.{layer}.{name}": shape for name, shape in block.items()}
    shapes["model.norm.weight"] = [hidden]
    if not config.get("tie_word_embeddings"):
        shapes["lm_head.weight"] = [config["vocab_size"], hidden]
    return shapes


def write_safetensors(path: Path, shapes: Shapes, dtype: str = "BF16", size: int = 2) -> Path:
    """A safetensors file of random numbers."""
    header, at = {}, 0
    for name, shape in shapes.items():
        end = at + prod(shape) * size
        header[name] = {"dtype": dtype, "shape": list(shape), "data_offsets": [at, end]}
        at = end
    text = json.dumps(header).encode()
    # A bit of each exponent is left 0: random bytes are now and then NaN, which is told of.
    weights = bytes(byte & 0xBF for byte in os.urandom(at))
    path.write_bytes(len(text).to_bytes(8, "little") + text + weights)
    return path


def write_model(directory: Path, shards: int = 1, **changes: Any) -> Path:
    """A directory that could be served, but for the sense of its weights and tokenizer."""
    directory.mkdir(parents=True, exist_ok=True)
    config = {**CONFIG, **changes}
    if changes.get("model_type") in FAMILIES and "architectures" not in changes:
        config["architectures"] = [FAMILIES[config["model_type"]]]
    (directory / "config.json").write_text(json.dumps(config))
    words = {f"t{number}": number for number in range(config["vocab_size"])}
    (directory / "tokenizer.json").write_text(json.dumps({"model": {"vocab": words}}))
    (directory / "tokenizer_config.json").write_text('{"chat_template": "{{ messages }}"}')
    shapes = shapes_of(config)
    if config.get("quantization_config", {}).get("quant_method") == "awq":
        shapes = {k.replace("_proj.weight", "_proj.qweight"): v for k, v in shapes.items()}
    if config.get("quantization_config", {}).get("quant_method") == "compressed-tensors":
        shapes |= {f"{k}_scale": (1,) for k in shapes if k.endswith("_proj.weight")}
    if shards == 1:
        write_safetensors(directory / "model.safetensors", shapes)
        return directory
    placed = {}
    for number in range(shards):
        name = f"model-{number + 1:05}-of-{shards:05}.safetensors"
        part = {key: shapes[key] for key in list(shapes)[number::shards]}
        write_safetensors(directory / name, part)
        placed |= dict.fromkeys(part, name)
    index = {"metadata": {}, "weight_map": placed}
    (directory / "model.safetensors.index.json").write_text(json.dumps(index))
    return directory


def lfs_pointer(path: Path) -> None:
    """What a clone without `git lfs` has instead of the file."""
    path.write_bytes(
        b"version https://git-lfs.github.com/spec/v1\n"
        b"oid sha256:%s\nsize 8044982000\n" % (b"5" * 64)
    )
