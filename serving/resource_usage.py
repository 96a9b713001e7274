"""Memory and device use, for `GET /info`, `GET /metrics`, crash reports and benchmarks."""

import contextlib
import re
import sys
from pathlib import Path
from typing import Any

import psutil

_PEAK = re.compile(r"^VmHWM:\s+(\d+) kB", re.M)


def resident_bytes() -> int:
    """Memory of this process now."""
    return psutil.Process().memory_info().rss


def memory() -> dict[str, int | None]:
    """`host_peak_bytes`: the sum of the peaks of this process and its children.
    `device_used_bytes`: what is taken on the GPU, by everyone; None where this process uses none.
    """
    process = psutil.Process()
    family = [process, *process.children(recursive=True)]
    return {
        "host_peak_bytes": sum(map(_host_peak, family)),
        "device_used_bytes": _device_used(),
    }


def device_use() -> dict[str, float]:
    """Memory (bytes) and utilisation (percent) of the accelerator, as far as they can be read;
    nothing on a processor. Never the first to import torch."""
    torch: Any = sys.modules.get("torch")
    if torch is None or not torch.cuda.is_available():
        return {}
    free, total = torch.cuda.mem_get_info()
    figures = {"device_memory_used_bytes": total - free, "device_memory_bytes": total}
    # It needs NVIDIA's management library, which other makers' builds lack.
    with contextlib.suppress(ImportError, RuntimeError, AttributeError):
        figures["device_utilization_percent"] = torch.cuda.utilization()
    return figures


def _host_peak(process: psutil.Process) -> int:
    """Bytes; the current figure where the kernel keeps no peak, 0 when the process has ended."""
    try:
        status = Path(f"/proc/{process.pid}/status").read_text(encoding="utf-8")
        if found := _PEAK.search(status):
            return int(found[1]) * 1024
    except OSError:  # no /proc, or ended between two lines
        pass
    try:
        return process.memory_info().rss
    except psutil.NoSuchProcess:
        return 0


def _device_used() -> int | None:
    # Asking a device that this process does not use would open a context there: half a gigabyte.
    torch: Any = sys.modules.get("torch")
    if torch is None or not torch.cuda.is_available() or not torch.cuda.is_initialized():
        return None
    devices = [torch.cuda.mem_get_info(i) for i in range(torch.cuda.device_count())]
    return sum(total - free for free, total in devices)
