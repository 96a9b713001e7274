"""The least time a batch of answers can take on a device, used by preflight's estimate and bench.

In each decoding step the device reads the weights and the KV cache of what is running once, and
multiplies each running answer's token with all weights; the slower of the two counts (the roofline
of Williams et al. 2009, done for decoding as in Pope et al. 2022, arXiv:2211.05102). Launches,
sampling, the host and attention's own products are not counted: it is a lower bound, and what a
measurement takes beyond it shows what they cost.
"""

from collections.abc import Sequence

from common.device_table import Device
from common.model_shape import Shape


def floor_seconds(
    shape: Shape,
    weight_bytes: float,
    prompt_tokens: Sequence[int],
    answer_tokens: Sequence[int],
    device: Device,
    max_num_seqs: int | None = None,
    shared: int | Sequence[int] = 0,
) -> float:
    """Seconds of one batch at the roofline; products are taken at the device's 16-bit rate.

    weight_bytes: of all weights (`Shape.weight_bytes`, or those of the files).
    prompt_tokens, answer_tokens: of each question, at least one each, in the order they are begun.
    max_num_seqs: answers that run at once; the next one begins when one ends. None: all at once.
    shared: tokens at the beginning of each prompt, or of all, whose KV is cached when it is begun;
    each step still reads them for each answer.

    An untied input embedding is not read (its rows are looked up), and prompts are not multiplied
    with lm_head (only their last position is): counting either makes a floor that can be beaten.
    Where nobody knows the device's FLOP rate, memory alone counts.
    """
    step_bytes = shape.step_bytes(weight_bytes)
    cached = [shared] * len(prompt_tokens) if isinstance(shared, int) else shared
    new = [prompt - known for prompt, known in zip(prompt_tokens, cached, strict=True)]
    waiting = list(zip(prompt_tokens, answer_tokens, new, strict=True))[::-1]
    slots = max_num_seqs or len(waiting)
    running: list[tuple[int, int]] = []  # tokens in the KV cache, tokens still to come
    seconds = 0.0
    while waiting or running:
        begun = [waiting.pop() for _ in range(min(slots - len(running), len(waiting)))]
        context = sum(tokens for tokens, _ in running)
        prompts = sum(computed for _, _, computed in begun)
        flop = 2 * (shape.matmul_parameters * len(running) + shape.linear_parameters * prompts)
        memory_s = (step_bytes + shape.kv_bytes * context) / device.bytes_per_s
        seconds += max(memory_s, flop / device.flops_per_s if device.flops_per_s else 0.0)
        # A step gives every answer in it one token, those just begun included.
        running += [(prompt, answer) for prompt, answer, _ in begun]
        running = [(tokens + 1, left - 1) for tokens, left in running if left > 1]
    return seconds
