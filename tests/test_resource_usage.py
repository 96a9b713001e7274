"""What the service says of its memory."""

import subprocess
import sys
import time

import psutil

from serving.resource_usage import memory


def test_the_peak_stays_when_the_memory_is_gone():
    held = bytearray(200_000_000)
    held[::4096] = b"x" * len(held[::4096])  # a page counts once it is touched
    peak = memory()["host_peak_bytes"]
    del held
    now = psutil.Process().memory_info().rss
    assert memory()["host_peak_bytes"] > 0.99 * peak > now  # the kernel rounds


def test_processes_below_count_too():
    alone = memory()["host_peak_bytes"]
    child = subprocess.Popen(
        [sys.executable, "-c", "held = b'x' * 150_000_000; print(flush=True); input()"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    try:
        child.stdout.readline()
        assert memory()["host_peak_bytes"] > alone + 150_000_000
    finally:
        child.communicate(b"\n")
    time.sleep(0.1)
    assert memory()["host_peak_bytes"] < alone + 150_000_000


def test_a_gpu_that_is_not_in_use_is_not_touched():
    assert memory()["device_used_bytes"] is None
