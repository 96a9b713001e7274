"""Attention inside each row of a packed sequence, by torch's variable-length kernel.

A packed sequence of 4,096 tokens holds about thirty rows. With `sdpa` the kernel computes all
4,096 x 4,096 scores and a mask throws most of them away; the variable-length kernel computes the
rows' own squares only. TRL's collator gives the rows' borders (`cu_seq_lens_q`); batches without
them (evaluation, generation) go to `sdpa` as before. Registered under the name `varlen` through
Transformers' attention interface, so that a model takes it as its `attn_implementation`.
"""

import functools
import inspect
from typing import Any

NAME = "varlen"


def available() -> bool:
    """Whether this torch has the kernel, and a GPU to run it on."""
    import torch

    try:
        from torch.nn.attention.varlen import varlen_attn  # noqa: F401 - from torch 2.10
    except ImportError:
        return False
    return torch.cuda.is_available() and torch.cuda.get_device_capability() >= (8, 0)


def register() -> str:
    """Make `varlen` known to Transformers; returns that name."""
    from transformers import AttentionInterface, AttentionMaskInterface
    from transformers.masking_utils import sdpa_mask

    AttentionInterface.register(NAME, packed_attention)
    # Built once a step; only batches without borders look at it.
    AttentionMaskInterface.register(NAME, sdpa_mask)
    return NAME


@functools.cache
def _has_gqa_switch() -> bool:
    """Newer versions of torch want to be told that key and value have fewer heads."""
    from torch.nn.attention.varlen import varlen_attn

    return "enable_gqa" in inspect.signature(varlen_attn).parameters


def packed_attention(
    module: Any,
    query: Any,
    key: Any,
    value: Any,
    attention_mask: Any,
    scaling: float | None = None,
    dropout: float = 0.0,
    cu_seq_lens_q: Any = None,
    max_length_q: int | None = None,
    **others: Any,
) -> tuple[Any, None]:
    """Causal attention in Transformers' terms: query (1, heads, tokens, size) → (1, tokens, heads,
    size). cu_seq_lens_q: int32 borders of the rows, first 0, last the number of tokens.
    """
    from transformers.integrations.sdpa_attention import sdpa_attention_forward

    if cu_seq_lens_q is None or query.shape[0] != 1 or dropout:
        return sdpa_attention_forward(
            module, query, key, value, attention_mask, scaling=scaling, dropout=dropout, **others
        )
    import torch
    from torch.nn.attention import varlen

    device = query.device.type
    tokens = [states[0].transpose(0, 1) for states in (query, key, value)]
    if query.dtype == torch.float32 and torch.is_autocast_enabled(device):
        # Rotary embeddings made them float32; the kernel takes half precision only.
        tokens = [states.to(torch.get_autocast_dtype(device)) for states in tokens]
    borders = cu_seq_lens_q.to(query.device, torch.int32)
    longest = int(max_length_q or borders.diff().max())
    options: dict[str, Any] = {"scale": scaling, "window_size": (-1, 0)}
    if _has_gqa_switch():
        options["enable_gqa"] = True
    answer = varlen.varlen_attn(*tokens, borders, borders, longest, longest, **options)
    return answer.unsqueeze(0), None
