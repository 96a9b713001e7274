"""Faults to order in vLLM's own engine class, which is wrapped here; nothing of this ships.

The file named by FAULT_FILE holds the fault's name; without the file everything works.

    step-once     the fifth step from now raises, then all is well
    step-always   every step raises from the fifteenth on
    memory-step   "CUDA out of memory" in a step while more than 16 requests run
    memory-add    "CUDA out of memory" in add_request while more than 16 requests are in
    prompt        every step raises while a prompt of more than 300 tokens is in the engine
    hang          one step takes 20 s
    clock         the wall clock jumps a day ahead, then two days back, with every step
"""

import os
import time
from pathlib import Path
from typing import Any

from common.before_imports import before_imports

before_imports()
os.environ.setdefault("VLLM_USE_V1", "1")

from torch import OutOfMemoryError  # noqa: E402 - after the environment it reads
from vllm.v1.engine.llm_engine import LLMEngine  # noqa: E402

FILE = Path(os.environ["FAULT_FILE"])

plain_add, plain_step, plain_abort = (
    LLMEngine.add_request,
    LLMEngine.step,
    LLMEngine.abort_request,
)
plain_time = time.time
inside: dict[str, int] = {}
steps = 0
armed = ""


def fault() -> str:
    global armed, steps
    name = FILE.read_text().strip() if FILE.exists() else ""
    if name != armed:
        armed, steps = name, 0
    return name


def the_only_one() -> bool:
    """Whether this is the first of several engines that a single fault reaches."""
    try:
        FILE.unlink()
    except FileNotFoundError:
        return False
    return True


def add(self: Any, request_id: str, prompt: Any, *rest: Any, **named: Any) -> Any:
    if fault() == "memory-add" and len(inside) >= 16:
        raise OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB (simulated)")
    inside[request_id] = len(prompt["prompt_token_ids"])
    return plain_add(self, request_id, prompt, *rest, **named)


def abort(self: Any, request_ids: list[str], *rest: Any, **named: Any) -> None:
    for request_id in request_ids:
        inside.pop(request_id, None)
    plain_abort(self, request_ids, *rest, **named)


def step(self: Any) -> Any:
    global steps
    name = fault()
    steps += 1
    if name == "step-once" and steps == 5 and the_only_one():
        raise RuntimeError("a kernel failed (simulated)")
    if name == "step-always" and steps >= 15:
        raise RuntimeError("the device is gone (simulated)")
    if name == "memory-step" and len(inside) > 16 and steps > 3:
        raise OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB (simulated)")
    if name == "prompt" and any(length > 300 for length in inside.values()):
        raise RuntimeError("an illegal memory access (simulated)")
    if name == "hang" and steps == 5 and the_only_one():
        time.sleep(20)
    if name == "clock":
        jump = 86_400 if steps % 2 else -86_400
        time.time = lambda: plain_time() + jump
    outputs = plain_step(self)
    for output in outputs:
        if output.finished:
            inside.pop(output.request_id, None)
    return outputs


LLMEngine.add_request, LLMEngine.step, LLMEngine.abort_request = add, step, abort
