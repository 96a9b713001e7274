"""Processes of a measurement: they end with all that they started, and tell why they ended."""

import sys
import time
from pathlib import Path

import psutil
import pytest

from bench.processes import BenchError, free_port, process, server

# A script whose own child sleeps on when the script is told to end, as vLLM's engine process does.
PARENT = """
import subprocess, sys, time
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
print(child.pid, flush=True)
time.sleep(600)
"""


def test_what_a_process_started_ends_with_it(tmp_path: Path) -> None:
    with process([sys.executable, "-c", PARENT], {}, tmp_path / "log", talk=True) as running:
        child = psutil.Process(int(running.stdout.readline()))
        assert child.is_running()
    for _ in range(100):
        if not child.is_running() or child.status() == psutil.STATUS_ZOMBIE:
            return
        time.sleep(0.05)
    pytest.fail("the child is still there")


def test_a_server_that_does_not_start_says_why(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    lines = [
        "(core) ValueError: free memory is less than desired",
        *[f"(core) frame {n} of a long trace back" for n in range(40)],
        "(server) RuntimeError: initialization failed. See root cause above.",
    ]
    script = f"import sys; sys.stderr.write({chr(10).join(lines)!r}); sys.exit(1)"
    with (
        pytest.raises(BenchError, match="free memory is less than desired"),
        server([sys.executable, "-c", script], {}, free_port(), "/"),
    ):
        pass
