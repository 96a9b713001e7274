"""The least time a batch can take on a device: each step reads the weights and the KV cache of
what is still running once, and computes 2 FLOP a weight and token; the slower of the two counts
(the roofline of Williams et al. 2009, done for decoding as in Pope et al. 2022, arXiv:2211.05102).
No launch, no sampling, no host: what a measurement is far from shows what they cost.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Chip:
    """bytes_s: memory bytes a second; flop_s: dense 16-bit FLOP a second."""

    name: str
    bytes_s: float
    flop_s: float


# Both measured by this project on that card: a device-to-device copy, an 8192³ bf16 product.
CHIPS = {"NVIDIA H100 80GB HBM3": Chip("H100", 3.0e12, 790e12)}


def floor_seconds(
    config: Path,
    prompt_tokens: Sequence[int],
    answer_tokens: Sequence[int],
    chip: Chip,
    weight_bits: float = 16,
    shared: int = 0,
) -> float:
    """Seconds of one batch at the roofline; config: a dense decoder's config.json.

    weight_bits: of the linear modules; embeddings and lm_head stay at 16, and products at the
    16-bit rate. shared: tokens that all prompts begin with and whose KV is there before the batch;
    each answer still reads it in each step.
    """
    c = json.loads(config.read_text(encoding="utf-8"))
    hidden, layers = c["hidden_size"], c["num_hidden_layers"]
    head = c.get("head_dim") or hidden // c["num_attention_heads"]
    q, kv = head * c["num_attention_heads"], head * c["num_key_value_heads"]
    linear = layers * (2 * hidden * q + 2 * hidden * kv + 3 * hidden * c["intermediate_size"])
    output = hidden * c["vocab_size"]
    weights = linear * weight_bits / 8 + 2 * output
    kv_token = 2 * 2 * layers * kv
    flop_token = 2 * (linear + output)
    computed = sum(prompt_tokens) - shared * len(prompt_tokens)
    prefill = max(weights / chip.bytes_s, 2 * linear * computed / chip.flop_s)
    # The prefill gives each answer its first token.
    work = sorted(zip(answer_tokens, prompt_tokens, strict=True), reverse=True)
    seconds, running, context = prefill, len(work), 0
    for step in range(1, max(answer_tokens)):
        while running and work[running - 1][0] <= step:
            running -= 1
        context = sum(prompt for _, prompt in work[:running]) + running * step
        memory = (weights + kv_token * context) / chip.bytes_s
        seconds += max(memory, flop_token * running / chip.flop_s)
    return seconds
