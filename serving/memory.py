"""How much memory the service has taken, for `GET /info` and for comparisons of models."""

import re
import sys
from pathlib import Path
from typing import Any

import psutil

_PEAK = re.compile(r"^VmHWM:\s+(\d+) kB", re.M)


def memory() -> dict[str, int | None]:
    """`host_peak_bytes`: the most that this process and those below it held, each at its peak.
    `device_used_bytes`: what is taken on the GPU, by everyone; None where this process uses none.
    """
    process = psutil.Process()
    family = [process, *process.children(recursive=True)]
    return {
        "host_peak_bytes": sum(map(_host_peak, family)),
        "device_used_bytes": _device_used(),
    }


def _host_peak(process: psutil.Process) -> int:
    """Bytes; what a process holds now where the kernel keeps no peak, 0 when it has ended."""
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
    # Asking a device that this process does not use would cost it half a gigabyte for the answer.
    torch: Any = sys.modules.get("torch")
    if torch is None or not torch.cuda.is_available() or not torch.cuda.is_initialized():
        return None
    devices = [torch.cuda.mem_get_info(i) for i in range(torch.cuda.device_count())]
    return sum(total - free for free, total in devices)
