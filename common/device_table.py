"""Memory and speed of the devices in facts.json. What vLLM needs on each of them is
serving/engine/devices.py's, which ships in the image; a test holds both to one `max_num_seqs`.
"""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from common.facts import FACTS

KEYS: tuple[str, ...] = tuple(FACTS["devices"])


@dataclass(frozen=True)
class Device:
    """A device's memory in bytes, bytes a second of that memory, and dense 16-bit FLOP a second.

    None where no figure was found. kind: its name in serving/engine/devices.py. torch_name: what
    `torch.cuda.get_device_name()` says. formats: weights' format → "ok", or why it is refused.
    """

    key: str
    name: str
    kind: str
    memory_bytes: float | None
    bytes_per_s: float
    flops_per_s: float | None
    max_num_seqs: int
    source: str
    torch_name: str | None = None
    formats: Mapping[str, str] | None = None


def device(key: str) -> Device:
    """A device of the table; "cpu" is this machine's, measured on the spot (about a second)."""
    record = dict(FACTS["devices"][key])
    if key == "cpu":
        record |= {"bytes_per_s": _copy_speed(), "flops_per_s": _matmul_speed()}
        record["memory_bytes"] = _available_memory()
    return Device(key=key, **record)


def device_named(torch_name: str) -> Device | None:
    """The device that torch calls so, or None when its speed was never recorded."""
    for key, record in FACTS["devices"].items():
        if record.get("torch_name") == torch_name:
            return device(key)
    return None


def _copy_speed() -> float:
    import numpy as np

    source = np.ones(32_000_000)
    target = np.empty_like(source)
    return 2 * source.nbytes / _best_seconds(lambda: np.copyto(target, source))


def _matmul_speed() -> float:
    import numpy as np

    matrix = np.ones((1024, 1024), dtype=np.float32)
    return 2 * 1024**3 / _best_seconds(lambda: matrix @ matrix)


def _best_seconds(action: Callable[[], Any]) -> float:
    times = []
    for _ in range(5):
        start = time.perf_counter()
        action()
        times.append(time.perf_counter() - start)
    return min(times)


def _available_memory() -> float | None:
    """Bytes by Linux's /proc/meminfo; None where the kernel does not say."""
    for line in Path("/proc/meminfo").read_text(encoding="utf-8").splitlines():
        if line.startswith("MemAvailable:"):
            return float(line.split()[1]) * 1024
    return None
