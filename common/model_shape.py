"""A dense decoder's shape: weights, bytes, KV cache and FLOP, counted from its config.json.

Qwen2 and 2.5, Qwen3 and Llama are known (grouped-query attention, gated MLP). Any other
architecture, mixtures of experts included, is refused: its count would be wrong without a sign.
"""

import json
import re
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, PositiveInt, ValidationError

KNOWN = ("qwen2", "qwen3", "llama")
HUB_ID = r"[\w.-]+/[\w.-]+"  # owner/name
GROUP = 128  # weights that share a scale in 4 bit

Hub = Literal["modelscope", "hf"]
Form = Literal["bf16", "fp32", "int8", "fp8", "awq", "nf4"]
# awq (GPTQ too): 4 bits, and a 16-bit scale and a 4-bit zero point for each group (Lin et al. 2023,
# arXiv:2306.00978, and AutoAWQ's layout). nf4: 4 bits and 0.127 bits of doubly quantized scales
# (Dettmers et al. 2023, arXiv:2305.14314, section 3).
BITS: dict[Form, float] = {
    "fp32": 32,
    "bf16": 16,
    "int8": 8,
    "fp8": 8,
    "awq": 4 + (16 + 4) / GROUP,
    "nf4": 4.127,
}


class ShapeError(ValueError):
    """No shape can be read; the message says of which file, and which field is wrong."""


class _Config(BaseModel):
    """The fields of config.json that are used."""

    model_type: str
    hidden_size: PositiveInt
    num_hidden_layers: PositiveInt
    num_attention_heads: PositiveInt
    num_key_value_heads: PositiveInt | None = None
    head_dim: PositiveInt | None = None
    intermediate_size: PositiveInt
    vocab_size: PositiveInt
    tie_word_embeddings: bool = False
    attention_bias: bool = False
    mlp_bias: bool = False


@dataclass(frozen=True)
class Shape:
    """Widths and counts of a decoder's modules. kind: `model_type` of config.json."""

    name: str
    kind: str
    hidden: int
    layers: int
    heads: int
    kv_heads: int
    head_dim: int
    intermediate: int
    vocab: int
    tied: bool
    attention_bias: bool = False
    mlp_bias: bool = False

    @property
    def q_width(self) -> int:
        """Width of all query heads together."""
        return self.heads * self.head_dim

    @property
    def kv_width(self) -> int:
        """Width of all key heads (or value heads) together."""
        return self.kv_heads * self.head_dim

    @property
    def qk_norm(self) -> bool:
        """Whether queries and keys are normalized per head."""
        return self.kind == "qwen3"

    @property
    def linears(self) -> list[tuple[int, int]]:
        """(in, out) of each linear module of one layer, in order q k v o gate up down."""
        h, f, q, k = self.hidden, self.intermediate, self.q_width, self.kv_width
        return [(h, q), (h, k), (h, k), (q, h), (h, f), (h, f), (f, h)]

    @property
    def linear_parameters(self) -> int:
        """Weights of all linear modules in all layers: what gets LoRA and what is quantized."""
        return self.layers * sum(i * o for i, o in self.linears)

    @property
    def embedding_parameters(self) -> int:
        """Weights of the input embedding, and as many again of lm_head when it is untied."""
        return self.vocab * self.hidden

    @property
    def parameters(self) -> int:
        """All weights, as Transformers' Qwen2, Qwen3 and Llama modules have them."""
        q, k, v, o, gate, up, down = (out for _, out in self.linears)
        norms = 2 * self.hidden + (2 * self.head_dim if self.qk_norm else 0)
        biases = 0
        if self.attention_bias:
            biases += q + k + v + o
        elif self.kind == "qwen2":
            biases += q + k + v
        if self.mlp_bias:
            biases += gate + up + down
        layers = self.linear_parameters + self.layers * (norms + biases)
        return self.embedding_parameters * (1 if self.tied else 2) + layers + self.hidden

    @property
    def matmul_parameters(self) -> int:
        """Weights that a generated token is multiplied with: linear modules and lm_head.

        A token costs 2 FLOP for each (Kaplan et al. 2020, arXiv:2001.08361, section 2.1); looking
        an embedding up costs none.
        """
        return self.linear_parameters + self.embedding_parameters

    @property
    def kv_bytes(self) -> int:
        """Bytes of KV cache a token in 16 bit: key and value in each layer (Pope et al. 2022,
        arXiv:2211.05102)."""
        return 2 * 2 * self.layers * self.kv_width

    def weight_bytes(self, form: Form) -> int:
        """Bytes of all weights in a form. Only linear modules are quantized; embeddings, norms,
        biases and lm_head stay in 16 bits, or 32 in fp32."""
        others = self.parameters - self.linear_parameters
        other_bytes = 4 if form == "fp32" else 2
        return round(self.linear_parameters * BITS[form] / 8 + others * other_bytes)

    def step_bytes(self, weight_bytes: float) -> float:
        """Bytes of weights read in each decoding step, of `weight_bytes` in all: everything but an
        untied input embedding, of which only the tokens' own rows are looked up."""
        return weight_bytes - (0 if self.tied else 2 * self.embedding_parameters)


def read_shape(model: str, hub: Hub = "modelscope") -> Shape:
    """The shape of a model directory, a config.json, or a hub id (its config.json is fetched).

    Raises ShapeError when there is none, or when its architecture is not known.
    """
    return shape_of(config_of(model, hub), model)


def config_of(model: str, hub: Hub = "modelscope", revision: str | None = None) -> dict[str, Any]:
    """The config.json of a model directory, of a path, or of a hub id. Raises ShapeError."""
    path = Path(model)
    path = path / "config.json" if path.is_dir() else path
    if path.exists() or not re.fullmatch(HUB_ID, model):
        return read_config(path)
    return _fetched_config(model, hub, revision)


def read_config(path: Path) -> dict[str, Any]:
    """A config.json. Raises ShapeError."""
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ShapeError(
            f"{path}: {error.strerror}; give a model directory, a config.json or a hub id"
        ) from error
    except ValueError as error:
        raise ShapeError(f"{path}: no JSON: {error}") from error
    if not isinstance(config, dict):
        raise ShapeError(f"{path}: expected a JSON object")
    return config


def shape_of(config: dict[str, Any], name: str) -> Shape:
    """The shape that a config.json's content describes. Raises ShapeError naming the fields."""
    kind = config.get("model_type")
    if kind not in KNOWN:
        raise ShapeError(
            f"{name}: model_type {kind!r} is not known ({', '.join(KNOWN)} are), so its weights "
            "cannot be counted"
        )
    try:
        c = _Config.model_validate(config)
    except ValidationError as error:
        wrong = "; ".join(f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors())
        raise ShapeError(f"{name}: config.json: {wrong}") from error
    heads = c.num_attention_heads
    kv_heads = c.num_key_value_heads or heads
    if heads % kv_heads:
        raise ShapeError(
            f"{name}: config.json: num_attention_heads {heads} is no multiple of "
            f"num_key_value_heads {kv_heads}"
        )
    # Qwen3Config's own default is 128, whatever the hidden size.
    default = 128 if kind == "qwen3" and "head_dim" not in config else c.hidden_size // heads
    return Shape(
        name=name,
        kind=c.model_type,
        hidden=c.hidden_size,
        layers=c.num_hidden_layers,
        heads=heads,
        kv_heads=kv_heads,
        head_dim=c.head_dim or default,
        intermediate=c.intermediate_size,
        vocab=c.vocab_size,
        tied=c.tie_word_embeddings,
        attention_bias=c.attention_bias and kind != "qwen2",
        mlp_bias=c.mlp_bias and kind == "llama",
    )


def _fetched_config(model: str, hub: Hub, revision: str | None) -> dict[str, Any]:
    """config.json of a hub id. Raises ShapeError when it cannot be had."""
    errors: tuple[type[Exception], ...]
    if hub == "hf":
        from huggingface_hub import hf_hub_download as fetch
        from huggingface_hub.errors import HFValidationError

        errors = (OSError, HFValidationError)
    else:
        from modelscope import model_file_download as fetch
        from modelscope_hub.errors import HubError

        errors = (OSError, HubError)
    with tempfile.TemporaryDirectory() as folder:
        try:
            fetched = fetch(model, "config.json", revision=revision, local_dir=folder)
        except errors as error:
            raise ShapeError(f"{model}: its config.json cannot be fetched ({error})") from error
        return read_config(Path(fetched))


def weights_format(config: dict[str, Any]) -> str:
    """ "plain", or the weights' format by `quantization_config`: "awq", "fp8",
    "compressed-tensors pack-quantized", …"""
    quantization = config.get("quantization_config")
    if not quantization:
        return "plain"
    method, layout = quantization.get("quant_method"), str(quantization.get("format") or "")
    if "float" in layout or method == "fp8":
        return "fp8"
    return f"{method or 'unknown'} {layout}".strip()
