"""The command that run.sh is built on: a service up while another command runs."""

import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from common.ports import free_port

ROOT = Path(__file__).parents[1]
SERVER = f"{sys.executable} -m http.server {{port}} --bind 127.0.0.1"
ASK = "import sys, urllib.request as r; print(r.urlopen(sys.argv[1]).status); sys.exit({code})"


def command(tmp_path: Path, *options: str, service: str = SERVER) -> list[str]:
    head = [sys.executable, "-m", "common.service_command", "run", "--service", service]
    return [*head, "--log", str(tmp_path / "log" / "server.log"), *options]


def run(tmp_path: Path, *options: str, service: str = SERVER) -> subprocess.CompletedProcess[str]:
    line = command(tmp_path, *options, service=service)
    return subprocess.run(line, cwd=ROOT, capture_output=True, text=True, timeout=60)


@pytest.mark.parametrize("code", [0, 3])
def test_the_command_runs_while_the_service_is_up_and_its_exit_code_is_passed_on(
    tmp_path: Path, code: int
) -> None:
    port = str(free_port())
    asked = [sys.executable, "-c", ASK.format(code=code), f"http://127.0.0.1:{port}"]
    after = f"{sys.executable} -c 'print(1 + 1)'"
    options = ["--port", port, "--title", "judge: a set", "--after", after, "--", *asked]
    done = run(tmp_path, *options)
    assert done.returncode == code, done.stderr
    lines = done.stdout.splitlines()
    assert f"service: starting on port {port}" in lines[0]
    assert "service: ready after" in lines[1] and "after 0.0 s" not in lines[1]
    assert "judge: a set" in lines[2]
    assert lines[3:] == (["200", "2"] if code == 0 else ["200"])
    assert "GET / HTTP" in (tmp_path / "log" / "server.log").read_text()


def test_a_service_that_does_not_start_is_told_with_its_last_words(tmp_path: Path) -> None:
    service = f"{sys.executable} -c 'raise RuntimeError(\"no model there\")'"
    done = run(tmp_path, "--port", str(free_port()), "--", "echo", "never", service=service)
    assert done.returncode == 1
    assert "The service stopped while starting (exit code 1)" in done.stderr
    assert "RuntimeError: no model there" in done.stderr and "server.log" in done.stderr
    assert "never" not in done.stdout and "common/service_command" not in done.stderr


def test_a_service_that_ends_under_the_command_is_told(tmp_path: Path) -> None:
    code = (
        "import threading, os, http.server as h; "
        "threading.Timer(2, lambda: (print('MemoryError: all gone', flush=True), os._exit(9)))"
        ".start(); h.test(h.SimpleHTTPRequestHandler, port={port}, bind='127.0.0.1')"
    )
    service = f'{sys.executable} -c "{code}"'
    done = run(tmp_path, "--port", str(free_port()), "--", "sleep", "4", service=service)
    assert "ended meanwhile (exit code 9): MemoryError: all gone" in done.stderr


@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGTERM, 143), (signal.SIGHUP, 129), (signal.SIGINT, 130)]
)
def test_a_signal_ends_command_and_service(
    tmp_path: Path, number: signal.Signals, code: int
) -> None:
    # As from a terminal, Ctrl-C goes to the command as well: to the group of both.
    line = command(tmp_path, "--port", str(free_port()), "--", "bash", "-c", "sleep 600; true")
    process = subprocess.Popen(line, cwd=ROOT, start_new_session=True)
    family: list[psutil.Process] = []
    end = time.monotonic() + 30
    while "sleep" not in [member.name() for member in family]:
        assert time.monotonic() < end
        time.sleep(0.1)
        family = psutil.Process(process.pid).children(recursive=True)
    assert len(family) == 3
    if number == signal.SIGINT:
        os.killpg(process.pid, number)
    else:
        process.send_signal(number)
    assert process.wait(20) == code
    _, left = psutil.wait_procs(family, 2)
    assert not left


def test_a_taken_port_is_told_before_anything_starts(tmp_path: Path) -> None:
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        holder.listen()
        port = str(holder.getsockname()[1])
        check = [sys.executable, "-m", "common.service_command", "check-port"]
        alone = subprocess.run([*check, port], cwd=ROOT, capture_output=True, text=True)
        done = run(tmp_path, "--port", port, "--", "echo", "never")
    for told in (alone, done):
        assert told.returncode == 1 and told.stdout == ""
        assert f"Port {port} cannot be used" in told.stderr
        assert f"pid {os.getpid()}" in told.stderr and "PORT=8001" in told.stderr
    assert subprocess.run([*check, port], cwd=ROOT).returncode == 0
