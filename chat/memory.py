"""Memory of this machine and of processes: what an unload frees is measured, not guessed."""

import csv
import io
import shutil
import subprocess
from dataclasses import asdict, dataclass
from typing import Any

import psutil

NVIDIA_SMI_LIMIT_S = 10


@dataclass(frozen=True)
class Gpu:
    """One GPU: bytes used by everybody and in all, and its use in percent."""

    name: str
    used: int
    total: int
    percent: float


@dataclass(frozen=True)
class Memory:
    """Bytes. processes: of an engine and its children (each shared page counted once among those
    that share it); available: of this machine for new programs; gpu_used: on all GPUs, None where
    there is none."""

    processes: int
    available: int
    gpu_used: int | None


@dataclass(frozen=True)
class Freed:
    """What an unload freed, measured: memory before and after it."""

    before: Memory
    after: Memory
    seconds: float

    def as_json(self) -> dict[str, Any]:
        """For the API; `host_bytes` is what the processes had, `gpu_bytes` None without a GPU."""
        gpu = None
        if self.before.gpu_used is not None and self.after.gpu_used is not None:
            gpu = self.before.gpu_used - self.after.gpu_used
        return {
            "before": asdict(self.before),
            "after": asdict(self.after),
            "host_bytes": self.before.processes - self.after.processes,
            "available_bytes": self.after.available - self.before.available,
            "gpu_bytes": gpu,
            "seconds": round(self.seconds, 1),
        }


def gpus() -> list[Gpu]:
    """The NVIDIA GPUs of this machine; none where `nvidia-smi` is missing or fails."""
    if not shutil.which("nvidia-smi"):
        return []
    asked = "--query-gpu=name,memory.used,memory.total,utilization.gpu"
    command = ["nvidia-smi", asked, "--format=csv,noheader,nounits"]
    try:
        told = subprocess.run(command, capture_output=True, text=True, timeout=NVIDIA_SMI_LIMIT_S)
    except (OSError, subprocess.TimeoutExpired):
        return []
    found = []
    for row in csv.reader(io.StringIO(told.stdout), skipinitialspace=True):
        if len(row) == 4 and row[1].isdigit() and row[2].isdigit():
            percent = float(row[3]) if row[3].isdigit() else 0.0
            found.append(Gpu(row[0], int(row[1]) << 20, int(row[2]) << 20, percent))
    return found


def measure(pid: int | None = None) -> Memory:
    """Memory now; `pid`: the process whose family is counted."""
    cards = gpus()
    return Memory(
        processes=_family_bytes(pid) if pid else 0,
        available=psutil.virtual_memory().available,
        gpu_used=sum(card.used for card in cards) if cards else None,
    )


def _family_bytes(pid: int) -> int:
    try:
        root = psutil.Process(pid)
        family = [root, *root.children(recursive=True)]
    except psutil.NoSuchProcess:
        return 0
    total = 0
    for process in family:
        try:
            told = process.memory_full_info()
            total += getattr(told, "pss", told.uss)
        except psutil.Error:  # ended meanwhile, or another user's
            continue
    return total
