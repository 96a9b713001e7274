"""The model as far as time and memory go: its shape, its bytes, where both were read."""

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

WEIGHTS = ("*.safetensors", "*.bin", "*.pt", "*.gguf")
Precision = Literal["bf16", "awq"]


class ModelError(ValueError):
    """The model cannot be read; the message says which file or field, and what to do."""


@dataclass(frozen=True)
class Model:
    """weight_bytes are what the device holds; total_bytes what the build fetches; form: the
    weights' format ("plain", "awq", "fp8", "compressed-tensors int-quantized", …), where known."""

    name: str
    source: str
    weight_bytes: int
    total_bytes: int
    parameters: int | None = None
    kv_bytes_per_token: int | None = None
    hidden_size: int | None = None
    intermediate_size: int | None = None
    vocab_size: int | None = None
    form: str | None = None


def from_directory(directory: Path) -> Model:
    """A model directory. Raises ModelError without config.json or weights."""
    files = {
        p.relative_to(directory).as_posix(): p.stat().st_size
        for p in directory.rglob("*")
        if p.is_file()
    }
    if "config.json" not in files:
        raise ModelError(f"{directory}/config.json: missing, so this is no model directory")
    weights = _weight_bytes(files)
    if not weights:
        raise ModelError(f"{directory}: no weights in it ({', '.join(WEIGHTS)})")
    shape = _shape(_read(directory / "config.json"))
    return Model(str(directory), "files on disk", weights, sum(files.values()), **shape)


def from_config(config: Path, precision: Precision) -> Model:
    """A config.json alone: bytes are computed from its dimensions, not read off files."""
    read = _read(config)
    shape = _shape(read)
    if shape["parameters"] is None:
        raise ModelError(f"{config}: lacks the dimensions of a Qwen/Llama-like decoder")
    size = shape["parameters"] * 2
    if precision == "awq":
        # 4 bit a weight, a 16-bit scale and a 4-bit zero for every 128; embeddings stay 16 bit.
        embedding = _embedding(read)
        size = int((shape["parameters"] - embedding) * (4 + (16 + 4) / 128) / 8 + embedding * 2)
    name = f"{config.parent.name} in {precision}"
    return Model(name, f"computed from {config.name}'s dimensions", size, size, **shape)


def from_hub(model_id: str, hub: str, revision: str, checkout: Path) -> Model:
    """The hub's file list, asked by download_model.py as the build would. Raises ModelError."""
    command = [sys.executable, "download_model.py", model_id, "--hub", hub]
    command += ["--revision", revision, "--budget-s", "60", "--plan"]
    # As the judge builds: without this user's tokens, which would open a private repository.
    nobody = {k: v for k, v in os.environ.items() if k not in ("MODELSCOPE_API_TOKEN", "HF_TOKEN")}
    done = subprocess.run(command, cwd=checkout, capture_output=True, text=True, env=nobody)
    if done.returncode:
        last = (done.stderr.strip().splitlines() or ["no message"])[-1]
        raise ModelError(last.removeprefix("[download_model] FAILED: "))
    plan = json.loads(done.stdout)
    files = {file["path"]: file["size"] for file in plan["files"]}
    return Model(model_id, f"file list of {plan['source']}", _weight_bytes(files), plan["bytes"])


def _weight_bytes(files: Mapping[str, int]) -> int:
    for pattern in WEIGHTS:
        sizes = [size for path, size in files.items() if path.endswith(pattern[1:])]
        if sizes:
            return sum(sizes)
    return 0


def _read(path: Path) -> dict[str, Any]:
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ModelError(f"{path}: {error}") from error
    if not isinstance(config, dict):
        raise ModelError(f"{path}: expected an object")
    return config


def _embedding(config: Mapping[str, Any]) -> int:
    size = config["vocab_size"] * config["hidden_size"]
    return size if config.get("tie_word_embeddings") else 2 * size


def _shape(config: Mapping[str, Any]) -> dict[str, Any]:
    """Parameters and KV bytes of a decoder with grouped-query attention and a gated MLP."""
    try:
        layers, hidden = config["num_hidden_layers"], config["hidden_size"]
        heads = config["num_attention_heads"]
        kv_heads = config.get("num_key_value_heads") or heads
        head = config.get("head_dim") or hidden // heads
        attention = 2 * hidden * heads * head + 2 * hidden * kv_heads * head
        mlp = 3 * hidden * config["intermediate_size"]
        norms = 2 * hidden + (2 * head if str(config.get("model_type")).startswith("qwen3") else 0)
        embedding = _embedding(config)
    except (KeyError, TypeError, ZeroDivisionError):
        return {"parameters": None, "kv_bytes_per_token": None, "form": _form(config)}
    return {
        "parameters": layers * (attention + mlp + norms) + embedding + hidden,
        "kv_bytes_per_token": 2 * layers * kv_heads * head * 2,  # K and V, 16 bit
        "hidden_size": hidden,
        "intermediate_size": config["intermediate_size"],
        "vocab_size": config["vocab_size"],
        "form": _form(config),
    }


def _form(config: Mapping[str, Any]) -> str:
    quantization = config.get("quantization_config") or {}
    method, layout = quantization.get("quant_method"), str(quantization.get("format") or "")
    if "float" in layout or method == "fp8":
        return "fp8"
    return f"{method} {layout}".strip() if method else "plain"
