"""The share of time in which a GPU runs something, while a candidate answers again and again.

NVIDIA's utilisation is an average over up to a second, more than some batches take: so the batch is
repeated for some seconds, and samples of the first second, which reach back before it, are left
out. Between two batches lie only milliseconds.
"""

import os
import statistics
import subprocess
import time
from collections.abc import Callable
from datetime import datetime, timedelta

REPEAT_S = 6.0
REACHES_BACK_S = 1.0


def busy_share(once: Callable[[], object], seconds: float = REPEAT_S) -> dict[str, float]:
    """`busy_percent` while `once` is repeated, the mean of its samples, and their number; empty
    without `nvidia-smi`."""
    query = ["nvidia-smi", "--query-gpu=timestamp,utilization.gpu", "--format=csv,noheader,nounits"]
    # Of several GPUs, those that the candidate sees.
    query += [f"--id={ids}" for ids in (os.environ.get("CUDA_VISIBLE_DEVICES"),) if ids]
    try:
        sampler = subprocess.Popen([*query, "-lms", "100"], stdout=subprocess.PIPE, text=True)
    except OSError:
        return {}
    try:
        began, end = datetime.now(), time.monotonic() + seconds
        while time.monotonic() < end:
            once()
        ended = datetime.now()
    finally:
        sampler.terminate()
        lines = sampler.communicate()[0].splitlines()
    used = samples(lines, began + timedelta(seconds=REACHES_BACK_S), ended)
    if not used:
        return {}
    return {"busy_percent": round(statistics.fmean(used), 1), "busy_samples": len(used)}


def samples(lines: list[str], begin: datetime, end: datetime) -> list[int]:
    """The percentages of `nvidia-smi`'s lines ("2026/11/26 15:20:23.123, 47") in that time."""
    found = []
    for line in lines:
        when, _, percent = line.partition(", ")
        try:
            at = datetime.strptime(when, "%Y/%m/%d %H:%M:%S.%f")
        except ValueError:
            continue  # a line that was cut when the sampler ended
        if begin <= at <= end and percent.strip().isdigit():
            found.append(int(percent))
    return found
