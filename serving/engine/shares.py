"""Several engines on one device: how many pay, and what each may take of it.

An engine that measures what is free while others load takes their memory for its own, so each is
told its KV cache in bytes where vLLM knows that argument; older versions load one after the other.
"""

import importlib.metadata
import logging
import math
import os
import subprocess
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from common.model_files import file_sizes, weight_bytes
from serving.engine.base import EngineError, ModelError
from serving.engine.devices import Device
from serving.settings import Settings

log = logging.getLogger(__name__)

GIB = 1 << 30
# vLLM's own share of the device, where neither device nor user names one.
USUAL_SHARE = 0.9
# Of an engine's share, beside weights and KV cache: context, CUDA graphs, activations, logits.
RESERVE_BYTES = 4 * GIB
LEAST_CACHE_BYTES = GIB
# Where two engines were measured to beat one (bench/README.md): an H100 with weights of 1 GB, whose
# steps the host limits, asked without a book; with passages two were slower. Not measured: larger
# models, few cores, and MetaX, where without asynchronous scheduling the host limits steps more.
PAYS_WEIGHT_BYTES = 2 * GIB
PAYS_DEVICE_BYTES = 40 * GIB
PAYS_CORES = 8
# MetaX's C500, the judge's (the contest's rules).
METAX_BYTES = 64 * 10**9
METAX_FILE = "/dev/mxcd"
# As many answers at once as any device has graphs for: two engines write 358 in one go.
WITH_GRAPHS = 256
# The first version that takes a KV cache in bytes.
TAKES_CACHE_BYTES = (0, 11)
DEVICE_FILES = ("/dev/nvidia0", "/dev/dxg", "/dev/kfd", METAX_FILE)


@dataclass(frozen=True)
class Share:
    """One engine's part of a device: which of how many, and the cores it is kept on, if any."""

    index: int
    count: int
    cores: tuple[int, ...] = ()


def engine_count(settings: Settings, with_book: bool = False) -> int:
    """How many engines ENGINES_PER_GPU asks for; the eager start is always one. with_book:
    questions get passages.

    Raises ModelError for a combination that cannot be.
    """
    wanted = settings.engines_per_gpu
    if wanted == "auto":
        pay = settings.startup == "tuned" and not with_book and _two_pay(settings)
        return 2 if pay else 1
    if wanted > 1 and settings.tensor_parallel_size > 1:
        raise ModelError(
            f"ENGINES_PER_GPU={wanted} with TENSOR_PARALLEL_SIZE={settings.tensor_parallel_size}: "
            "several engines share one GPU; set one of the two to 1"
        )
    if wanted > 1 and settings.startup == "eager":
        log.warning("eager start: one engine instead of ENGINES_PER_GPU=%d", wanted)
        return 1
    return wanted


def _two_pay(settings: Settings) -> bool:
    cheap = (
        settings.tensor_parallel_size == 1
        and (os.cpu_count() or 1) >= PAYS_CORES
        and 0 < weight_bytes(file_sizes(settings.model_dir)) <= PAYS_WEIGHT_BYTES
    )
    return cheap and device_memory() >= PAYS_DEVICE_BYTES


def device_memory() -> int:
    """Bytes of the one accelerator; 0 where there is none, or nobody knows."""
    return METAX_BYTES if Path(METAX_FILE).exists() else nvidia_memory()


def nvidia_memory() -> int:
    """Bytes of the one NVIDIA GPU; 0 without one, under WSL, or with several. Opens no context."""
    if not Path("/dev/nvidia0").exists():
        return 0
    query = ["nvidia-smi", "--query-gpu=memory.total", "--format=csv,noheader,nounits"]
    try:
        told = subprocess.run(query, capture_output=True, text=True, timeout=10, check=True).stdout
        (megabytes,) = told.split()
        return int(megabytes) << 20
    except (OSError, subprocess.SubprocessError, ValueError) as error:
        log.info("ENGINES_PER_GPU=auto: the GPU's memory cannot be read, one engine (%s)", error)
        return 0


def takes_cache_bytes() -> bool:
    """Whether this vLLM takes a KV cache in bytes, so that engines may load at the same time."""
    try:
        version = importlib.metadata.version("vllm")
    except importlib.metadata.PackageNotFoundError:
        # The CPU build's name; there no engine measures what is free.
        return True
    major, minor = (int("".join(filter(str.isdigit, n)) or 0) for n in version.split(".")[:2])
    return (major, minor) >= TAKES_CACHE_BYTES


def on_processor() -> bool:
    """Whether this machine has no accelerator that vLLM could use."""
    return not any(Path(file).exists() for file in DEVICE_FILES)


def shares(count: int) -> list[Share]:
    """`count` shares; on a processor each has cores of its own, as far as there are enough."""
    cores = sorted(os.sched_getaffinity(0)) if on_processor() else []
    if len(cores) < count:
        cores = []
    return [Share(index, count, tuple(cores[index::count])) for index in range(count)]


def divided(settings: Settings, device: Device, count: int) -> Settings:
    """Settings of one of `count` engines: a part of the answers at once and of the device's memory.
    ENGINE_ARGS are each engine's own and stay as they are.

    Of a GPU's own number of answers at once an engine keeps up to 256: questions are dealt out
    evenly, so that more of them run at once, and one engine that is left alone is none the slower.
    """
    given = device.engine_args
    asked, usual = settings.max_num_seqs, given.get("max_num_seqs")
    at_once = asked or usual
    part = math.ceil(at_once / count) if at_once else None
    if not asked and usual and device.graph_sizes:
        part = max(part, min(usual, WITH_GRAPHS))
    memory = settings.gpu_memory_utilization or given.get("gpu_memory_utilization", USUAL_SHARE)
    return settings.model_copy(
        update={
            "max_num_seqs": part,
            "gpu_memory_utilization": round(memory / count, 4),
        }
    )


def cache_bytes(
    arguments: dict[str, Any], known: Collection[str], model_dir: Path, device_bytes: int
) -> dict[str, int]:
    """The `kv_cache_memory_bytes` of an engine with these arguments; {} where vLLM does not know
    that, the user has set it, or there are no weights to count.

    Raises EngineError when the share leaves no room for it.
    """
    name = "kv_cache_memory_bytes"
    weights = weight_bytes(file_sizes(model_dir))
    if name not in known or name in arguments or not weights:
        return {}
    share = int(device_bytes * arguments["gpu_memory_utilization"])
    left = share - weights - RESERVE_BYTES
    if left < LEAST_CACHE_BYTES:
        raise EngineError(
            f"ENGINES_PER_GPU: a share of {share / GIB:.1f} GiB holds no KV cache beside "
            f"{weights / GIB:.1f} GiB of weights and {RESERVE_BYTES / GIB:.0f} GiB for the rest; "
            "set fewer engines"
        )
    return {name: left}
