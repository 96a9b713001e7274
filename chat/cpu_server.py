"""vLLM's OpenAI server on a processor, with what its LoRA gets wrong there put right.

vLLM marks the tokens of the base with the adapter index -1. Its kernels for GPUs leave those out;
its PyTorch code for processors indexes with it, which takes the last slot: a question to the base
that shared a batch with one to an adapter was then answered by whatever adapter lay there (mended
by https://github.com/vllm-project/vllm/pull/48421, in no release yet). Runs in the engine's
environment, as `python -m chat.cpu_server`, and in every process that is started from there.
"""

import functools
import runpy
from collections.abc import Callable
from typing import Any

SERVER = "vllm.entrypoints.openai.api_server"  # what `vllm serve` runs, in every version we know
EXPANDS = ("bgmv_expand", "bgmv_expand_slice")  # the last step of each adapter's product


def leaving_out_the_base(expand: Callable[..., None]) -> Callable[..., None]:
    """The same with nothing added to rows whose adapter index is -1."""

    @functools.wraps(expand)
    def expanded(inputs: Any, weights: Any, output: Any, indices: Any, *more: Any, **named: Any):
        expand(inputs * (indices >= 0).unsqueeze(1), weights, output, indices, *more, **named)

    return expanded


def mend() -> None:
    """Put it into vLLM's modules. Raises ImportError or AttributeError where they are no more as
    they were: better no server than wrong answers."""
    from vllm.lora.ops.torch_ops import lora_ops
    from vllm.lora.punica_wrapper import punica_cpu

    for name in EXPANDS:
        mended = leaving_out_the_base(getattr(lora_ops, name))
        for module in (lora_ops, punica_cpu):
            setattr(module, name, mended)


if __name__ in ("__main__", "__mp_main__"):  # the second: a process started from here
    mend()
if __name__ == "__main__":
    runpy.run_module(SERVER, run_name="__main__")
