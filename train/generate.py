"""Greedy answers with Transformers, for looking at a model in training; serving is `serving/`."""

from collections.abc import Sequence
from typing import Any

from common.pairs import Pair
from train.dataset import prompt_ids

# Of one batch's prompts and answers: so many tokens of a 4B, each with 147 kB of keys and values
# and 58 kB in the widest layer, are 13.5 GB; a smaller model's batch has more, and fewer where less
# memory is free.
BATCH_TOKENS, BATCH_BYTES = 65_536, 65_536 * 205_824
FREE_SHARE = 0.7


def greedy_answers(
    model: Any,
    tokenizer: Any,
    questions: Sequence[str | Pair],
    system_prompt: str,
    max_new_tokens: int,
) -> list[str]:
    """One answer per question, in order; prompts are batched by length and padded left.

    A question is a text, or a pair, whose earlier turns and system message are then asked, too.
    64 are asked at once, fewer where they are long (batch_tokens).
    """
    import torch

    if not questions:
        return []
    rows = [Pair(each, "") if isinstance(each, str) else each for each in questions]
    prompts = prompt_ids(tokenizer, rows, system_prompt)
    order = sorted(range(len(prompts)), key=lambda i: len(prompts[i]))
    answers = [""] * len(prompts)
    pad = tokenizer.pad_token_id if tokenizer.pad_token_id is not None else 0
    was_training = model.training
    model.eval()
    # The service sets no penalty, whatever the model's generation_config.json says.
    drawing: dict[str, Any] = {"repetition_penalty": 1.0, "do_sample": False}
    drawing |= dict.fromkeys(("temperature", "top_p", "top_k"))
    start, most = 0, batch_tokens(model.config, _free_bytes(model), model.dtype.itemsize)
    while start < len(order):
        chosen = order[start : start + 64]
        # Prompts grow along `order`: the last is the widest.
        while len(chosen) > 1 and len(chosen) * (len(prompts[chosen[-1]]) + max_new_tokens) > most:
            chosen.pop()
        start += len(chosen)
        width = max(len(prompts[i]) for i in chosen)
        ids = torch.full((len(chosen), width), pad)
        mask = torch.zeros((len(chosen), width), dtype=torch.long)
        for row, i in enumerate(chosen):
            ids[row, width - len(prompts[i]) :] = torch.tensor(prompts[i])
            mask[row, width - len(prompts[i]) :] = 1
        with torch.inference_mode():
            out = model.generate(
                input_ids=ids.to(model.device),
                attention_mask=mask.to(model.device),
                max_new_tokens=max_new_tokens,
                pad_token_id=pad,
                **drawing,
            )
        texts = tokenizer.batch_decode(out[:, width:], skip_special_tokens=True)
        for i, text in zip(chosen, texts, strict=True):
            answers[i] = text.strip()
    model.train(was_training)
    return answers


def batch_tokens(config: Any, free: int | None = None, width: int = 2) -> int:
    """Tokens of prompts and answers that one batch may have.

    free: bytes of memory that are; width: bytes of an element of the model.
    """
    names = ("num_hidden_layers", "hidden_size", "num_attention_heads", "intermediate_size")
    layers, hidden, heads, inner = (getattr(config, name, None) or 0 for name in names)
    if not (layers and hidden and heads and inner):
        return BATCH_TOKENS
    head = getattr(config, "head_dim", None) or hidden // heads
    shared = getattr(config, "num_key_value_heads", None) or heads
    most = BATCH_BYTES if free is None else min(BATCH_BYTES, int(FREE_SHARE * free))
    return most // (width * (2 * layers * shared * head + 3 * inner))


def _free_bytes(model: Any) -> int:
    """Of the model's device; what torch keeps for itself there is free, too."""
    import torch

    if model.device.type == "cuda":
        kept = torch.cuda.memory_reserved(model.device) - torch.cuda.memory_allocated(model.device)
        return int(torch.cuda.mem_get_info(model.device)[0] + kept)
    import psutil

    return int(psutil.virtual_memory().available)
