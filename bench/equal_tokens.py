"""This service with several engines, raw vLLM in turn with each, the same tokens for all.

Used by bench/engines.py. Beside one engine `LLM.generate` runs in the service's own process, on the
same engine. Beside several a raw vLLM of its own stays loaded on the same GPU and is asked in turn,
as long as weights and KV caches of all have room; idle it takes no time of the GPU.
"""

import contextlib
import itertools
import math
import os
from collections.abc import Iterator, Sequence
from typing import Any

from bench.busy import busy_share
from bench.candidates import ALONE, Candidates, Ready, on_cpu, rendered
from bench.device_rates import measured_device
from bench.processes import BenchError
from bench.serve import measure_together
from bench.workload import shared
from common.device_table import Device, device_named
from common.model_files import file_sizes, weight_bytes
from common.model_shape import ShapeError, read_shape
from common.roofline import floor_seconds
from serving.engine.shares import RESERVE_BYTES, USUAL_SHARE

RAW = "LLM.generate"
BOOK = """\
with a book, raw vLLM is asked in the service's own process alone, beside one engine: a raw vLLM of
its own and `vllm serve` would be asked the questions without their passages
"""


def named(settings: dict[str, str]) -> str:
    """The name of this service with such settings: "this service, 2 engines, DRAFT_TOKENS=4"."""
    count = int(settings["ENGINES_PER_GPU"])
    others = [f"{key}={value}" for key, value in settings.items() if key != "ENGINES_PER_GPU"]
    return ", ".join([f"this service, {count} engine{'s' if count > 1 else ''}", *others])


def every(counts: Sequence[int], varied: Sequence[str]) -> list[dict[str, str]]:
    """The settings of each candidate: every number of engines with every value of `KEY=V1,V2`."""
    keys = [text.split("=", 1)[0] for text in varied]
    values = [text.split("=", 1)[1].split(",") for text in varied]
    combinations = [dict(zip(keys, each, strict=True)) for each in itertools.product(*values)]
    return [{"ENGINES_PER_GPU": str(n), **more} for n in counts for more in combinations]


def measure(
    these: Candidates, candidates: Sequence[dict[str, str]], peers: bool, device: str
) -> Iterator[tuple[str, dict[str, Any]]]:
    """Name and figures of each candidate, few engines first; `vllm serve` last."""
    known = rates_of(device)
    if peers and any(has_book(these, settings) for settings in candidates):
        print(BOOK)
        peers = False
    with contextlib.ExitStack() as stack:
        raw: Ready | None = None
        for settings in candidates:
            count = int(settings["ENGINES_PER_GPU"])
            memory = raw_memory(these, count) if peers and count > 1 else None
            if raw is not None and memory is None:
                stack.close()  # no more room for it
                raw = None
            elif raw is None and memory is not None:
                largest = max(int(other["ENGINES_PER_GPU"]) for other in candidates)
                memory = raw_memory(these, largest) or memory
                raw = _entered(stack, these, memory)
            row = _together(these, settings, raw, memory)
            asked = (row["prompt_tokens"], row["shared_tokens"]) if "seconds" in row else None
            yield named(settings), row | floor_of(these, known, asked)
    if peers:
        for name, job in ((RAW, these.raw_defaults()), ("vllm serve", these.openai())):
            ((_, row),) = measure_together({name: _with_busy_share(job)}, these.runs)
            yield name, row | _load() | (floor_of(these, known) if "seconds" in row else {})


def _together(
    these: Candidates, settings: dict[str, str], raw: Ready | None, memory: dict[str, Any] | None
) -> dict[str, Any]:
    name = named(settings)
    asked = dict(settings)
    if raw is not None and memory and "GPU_MEMORY_UTILIZATION" not in these.settings:
        left = USUAL_SHARE - memory["gpu_memory_utilization"]
        asked["GPU_MEMORY_UTILIZATION"] = str(round(left, 3))
    one = int(settings["ENGINES_PER_GPU"]) == 1
    jobs = {name: _with_busy_share(these.service(asked, beside=one))}
    if raw is not None:
        jobs[RAW] = contextlib.nullcontext(raw)
    load = _load()
    rows = dict(measure_together(jobs, these.runs))
    row = rows[name]
    if raw is not None and "seconds" in row and "seconds" in rows[RAW]:
        row["raw_seconds"] = rows[RAW]["seconds"]
        pairs = zip(row["seconds"], row["raw_seconds"], strict=True)
        ratios = sorted(ours / theirs for ours, theirs in pairs)
        row["ratio_to_raw"] = round(ratios[len(ratios) // 2], 4)
    return row | load


def _entered(
    stack: contextlib.ExitStack, these: Candidates, memory: dict[str, Any]
) -> Ready | None:
    try:
        return stack.enter_context(these.raw_defaults(memory))
    except BenchError as error:
        print(f"raw vLLM beside the others does not start: {error}")
        return None


def _load() -> dict[str, float]:
    return {"load": round(os.getloadavg()[0], 1)}


@contextlib.contextmanager
def _with_busy_share(job: contextlib.AbstractContextManager[Ready]) -> Iterator[Ready]:
    """The candidate, with the device's busy share among its facts."""
    with job as ready:

        def facts() -> dict[str, Any]:
            return busy_share(ready.alone or ready.once) | ready.facts()

        yield Ready(ready.once, facts, ready.runs, ready.first, ready.alone)


def has_book(these: Candidates, settings: dict[str, str]) -> bool:
    """Whether passages stand before the questions, which raw vLLM beside and its server lack."""
    return {**ALONE, **these.settings, **settings}["RETRIEVAL_PASSAGES"] != "0"


def rates_of(device: str) -> Device | None:
    """The card's rates, measured where no table knows them: before engines take its memory."""
    known = device_named(device)
    return measured_device(device) if known is None and not on_cpu() else known


def floor_of(
    these: Candidates, known: Device | None, asked: tuple[list[int], list[int]] | None = None
) -> dict[str, float]:
    """`floor_seconds` of the workload with one engine, and the memory speed it is reckoned with; {}
    where shape or device is not known.

    asked: tokens of each prompt as the service asked them, passages included, and how many of them
    a prefix cache may know; None: the questions alone. Several engines each read the weights in
    each step: theirs is higher, ours is what the card could do.
    """
    weights = weight_bytes(file_sizes(these.model))
    if known is None or not weights:
        return {}
    try:
        shape = read_shape(str(these.model))
    except ShapeError as error:
        print(f"no floors: {error}")
        return {}
    if asked is None:
        prompts = rendered(these.model, these.work)
        asked = [len(ids) for ids in prompts], shared(prompts)
    lengths, cached = asked
    seconds = floor_seconds(shape, weights, lengths, these.work.tokens, known, shared=cached)
    return {"floor_seconds": round(seconds, 4), "floor_bytes_per_s": known.bytes_per_s}


def raw_memory(these: Candidates, count: int) -> dict[str, Any] | None:
    """What a raw vLLM beside `count` engines may take: vLLM's arguments; None: there is no room."""
    if on_cpu():
        return {"gpu_memory_utilization": 0.5}  # of no account there
    import torch

    total = torch.cuda.get_device_properties(0).total_memory
    weights = weight_bytes(file_sizes(these.model))
    try:
        cache = read_shape(str(these.model)).kv_bytes * (
            sum(map(len, rendered(these.model, these.work))) + these.work.answer_tokens
        )
    except ShapeError:
        return None
    # Blocks are not filled to the end, and questions are not shared out evenly to the last token.
    cache = int(1.15 * cache) + (1 << 30)
    raw = weights + cache + RESERVE_BYTES
    engines = count * (weights + RESERVE_BYTES) + max(cache, count << 30)
    if not weights or raw + engines > USUAL_SHARE * total:
        return None
    share = math.ceil(1000 * raw / total) / 1000
    return {"gpu_memory_utilization": share, "kv_cache_memory_bytes": cache}
