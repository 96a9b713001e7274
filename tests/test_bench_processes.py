"""Servers and scripts of a measurement; starting and stopping: tests/test_service_process.py."""

import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from bench import processes
from bench.processes import BenchError, server

ROOT = Path(__file__).parents[1]

# Tells its facts and the number of a child, and measures on request, as bench/raw_vllm.py does.
SCRIPT = """
import subprocess, sys
from bench.processes import measure_on_request
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
runs = []
def once():
    runs.append(len(runs) + 1)
    print("chatter of a library")
    return {"run": runs[-1]}
measure_on_request({"child": child.pid}, once)
"""


@pytest.fixture(autouse=True)
def reports_go_to_a_scratch_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def test_a_script_measures_once_a_request_and_ends_with_its_children(tmp_path: Path) -> None:
    (tmp_path / "measures.py").write_text(SCRIPT, encoding="utf-8")
    environment = {"PYTHONPATH": f"{tmp_path}:{ROOT}"}
    with processes.script("measures", [], environment) as (told, once):
        assert [once(), once()] == [{"run": 1}, {"run": 2}]
        child = psutil.Process(told["child"])
        assert child.is_running()
    assert not child.is_running() or child.status() == psutil.STATUS_ZOMBIE


def test_a_script_that_hangs_costs_its_row_only(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(processes, "START_LIMIT_S", 0.5)
    # Its child holds the script's output open, as an engine process does.
    hangs = "import subprocess, sys, time\n"
    hangs += "subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)'])\n"
    (tmp_path / "hangs.py").write_text(hangs + "time.sleep(600)", encoding="utf-8")
    began = time.monotonic()
    with (
        pytest.raises(BenchError, match="hangs took over"),
        processes.script("hangs", [], {"PYTHONPATH": str(tmp_path)}),
    ):
        pass
    assert time.monotonic() - began < 30


def test_a_server_that_does_not_start_says_why() -> None:
    lines = [
        "(core) ValueError: free memory is less than desired",
        *[f"(core) frame {n} of a long trace back" for n in range(40)],
        "(server) RuntimeError: initialization failed. See root cause above.",
    ]
    script = f"import sys; sys.stderr.write({chr(10).join(lines)!r}); sys.exit(1)"
    with (
        pytest.raises(BenchError, match="free memory is less than desired"),
        server([sys.executable, "-c", script], {}, "/"),
    ):
        pass


def test_a_server_that_leaves_during_a_call_says_why() -> None:
    script = """
import http.server, os, sys
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        if self.path == "/leave":
            print("RuntimeError: no memory is left", flush=True)
            os._exit(1)
        self.send_response(200)
        self.end_headers()
http.server.HTTPServer(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()
"""
    with (
        pytest.raises(BenchError, match="no memory is left"),
        server([sys.executable, "-c", script, "{port}"], {}, "/") as (client, _),
    ):
        client.get("/leave")


def test_a_measurement_that_is_told_to_end_takes_along_what_still_loads() -> None:
    """As bench.serve loads its candidates: in the threads of a pool."""
    code = """
import sys
from concurrent.futures import ThreadPoolExecutor
from bench.processes import server
from common.service_process import stop_on_signals
stop_on_signals()
with ThreadPoolExecutor() as pool:
    job = server([sys.executable, "-c", "import time; time.sleep(600)"], {}, "/")
    pool.submit(job.__enter__).result()
"""
    command = [sys.executable, "-c", code]
    with subprocess.Popen(
        command, env={"PYTHONPATH": str(ROOT)}, stderr=subprocess.DEVNULL
    ) as running:
        started: list[psutil.Process] = []
        end = time.monotonic() + 20
        while not started and time.monotonic() < end:
            started = psutil.Process(running.pid).children(recursive=True)
            time.sleep(0.05)
        assert started
        running.terminate()
        assert running.wait(20) != 0
        _, left = psutil.wait_procs(started, 5)
    assert not left
