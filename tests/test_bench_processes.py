"""Processes of a measurement: they end with all that they started, and tell why they ended."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from bench import processes
from bench.processes import BenchError, free_port, process, server

ROOT = Path(__file__).parents[1]

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


# Loads for good in another thread, as the benches load their candidates.
MEASUREMENT = """
import sys
from concurrent.futures import ThreadPoolExecutor
from bench.processes import end_all_when_told, free_port, server
end_all_when_told()
with ThreadPoolExecutor() as pool:
    job = server([sys.executable, "-c", sys.argv[1]], {}, free_port(), "/")
    pool.submit(job.__enter__).result()
"""


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_measurement_told_to_end_takes_along_what_still_loads(
    tmp_path: Path, number: signal.Signals
) -> None:
    command = [sys.executable, "-c", MEASUREMENT, PARENT]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    with subprocess.Popen(
        command, env=environment, cwd=tmp_path, stderr=subprocess.DEVNULL
    ) as running:
        for _ in range(200):
            started = psutil.Process(running.pid).children(recursive=True)
            if len(started) == 2:
                break
            time.sleep(0.05)
        assert len(started) == 2
        running.send_signal(number)
        assert running.wait(20) != 0
        _, left = psutil.wait_procs(started, 5)
    assert not left


def test_a_script_that_hangs_costs_its_row_only(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(processes, "START_LIMIT_S", 0.5)
    (tmp_path / "hangs.py").write_text("import time; time.sleep(600)", encoding="utf-8")
    with (
        pytest.raises(BenchError, match="hangs took over"),
        processes.script("hangs", [], {"PYTHONPATH": str(tmp_path)}),
    ):
        pass


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
