"""The one starter of services, with real processes: what they say, and that nothing is left."""

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import psutil
import pytest

from common.ports import PortTakenError, check_port, free_port
from common.service_process import ServiceError, running

ROOT = Path(__file__).parents[1]
# Serves the folder it runs in; `{port}` is filled in by the starter.
SERVER = [sys.executable, "-m", "http.server", "{port}", "--bind", "127.0.0.1"]
SLEEP = "import time; time.sleep(600)"
IGNORES_TERM = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); "
# Writes the number of a child that it starts, in a session of its own or not.
PARENT = """
import subprocess, sys, time
where, child = sys.argv[1:]
# Some libraries overwrite their environment, as setproctitle does.
environment = {} if "bare" in where else None
started = subprocess.Popen(
    [sys.executable, "-c", child], start_new_session="own session" in where, env=environment
)
print(started.pid, flush=True)
"""


def python(code: str, *arguments: str) -> list[str]:
    return [sys.executable, "-c", code, *arguments]


def read_number(log: Path) -> psutil.Process:
    """The process whose number a log begins with."""
    end = time.monotonic() + 20
    while not (log.exists() and log.read_text().endswith("\n")):
        assert time.monotonic() < end, "no child was started"
        time.sleep(0.02)
    time.sleep(0.2)  # until it has set what it does with signals
    return psutil.Process(int(log.read_text().split()[0]))


def is_gone(process: psutil.Process) -> bool:
    return not process.is_running() or process.status() == psutil.STATUS_ZOMBIE


@pytest.fixture
def bystander() -> Iterator[psutil.Process]:
    """A process that the test does not start with a service, and that must outlive all of them."""
    process = subprocess.Popen(python(SLEEP))
    yield psutil.Process(process.pid)
    process.kill()
    process.wait()


def test_ready_by_path_or_by_port_measured_from_the_start(tmp_path: Path) -> None:
    late = (
        "import time, runpy, sys; time.sleep(1); runpy.run_module('http.server', None, '__main__')"
    )
    command = [sys.executable, "-c", late, "{port}", "--bind", "127.0.0.1"]
    for path in ("/", None):
        with running(command, cwd=tmp_path) as service:
            time.sleep(0.5)  # what the caller does meanwhile is part of the start
            seconds = service.wait_until_ready(30, path)
            assert seconds == service.ready_seconds and 1 < seconds < 20
            assert httpx.get(service.url, trust_env=False).status_code == 200
        with pytest.raises(httpx.ConnectError):
            httpx.get(service.url, trust_env=False)


def test_several_at_once_have_ports_of_their_own(tmp_path: Path) -> None:
    def start(number: int) -> int:
        folder = tmp_path / str(number)
        folder.mkdir()
        (folder / "name").write_text(str(number))
        with running(SERVER, cwd=folder) as service:
            service.wait_until_ready(30)
            assert httpx.get(f"{service.url}/name", trust_env=False).text == str(number)
            return service.port

    with ThreadPoolExecutor(4) as pool:
        assert len(set(pool.map(start, range(4)))) == 4


def test_a_path_that_is_not_there_is_not_ready(tmp_path: Path) -> None:
    seen: list[float] = []
    with running(SERVER, cwd=tmp_path) as service:
        with pytest.raises(ServiceError, match=r"not ready after 1 s \(GET /health: HTTP 404\)"):
            service.wait_until_ready(1, "/health", seen.append)
        assert service.ready_seconds is None
        assert seen and seen == sorted(seen)


def test_one_that_dies_while_starting_is_told_at_once_with_its_last_words(tmp_path: Path) -> None:
    lines = [
        "(core) ValueError: free memory is less than desired",
        *[f"(core) frame {n} of a long trace back" for n in range(40)],
        "(server) RuntimeError: initialization failed. See root cause above.",
    ]
    code = f"import sys; sys.stderr.write({chr(10).join(lines)!r}); sys.exit(7)"
    log = tmp_path / "kept" / "service.log"
    began = time.monotonic()
    with pytest.raises(ServiceError) as caught, running(python(code), log=log) as service:
        service.wait_until_ready(600)
    assert time.monotonic() - began < 20
    assert caught.value.reason == "stopped while starting (exit code 7)"
    assert str(caught.value).startswith("The service stopped while starting (exit code 7); ")
    assert caught.value.error == lines[0]
    words = str(caught.value).splitlines()
    assert lines[0] in words and words[-1] == lines[-1] and len(words) < 20
    assert str(log) in words[0] and log.read_text() == "\n".join(lines)


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("", "(nothing in its log)"),
        ("loading\nno model there\n", "no model there"),
        ("torch.OutOfMemoryError: CUDA out of memory\ndone\n", "torch.OutOfMemoryError: CUDA out"),
        ("    raise ValueError(\n    except KeyError:\nlast", "last"),
        ("MemoryError\nbye", "MemoryError"),
        ("A: 坏了 ValueError: 第 1 行\nbye", "A: 坏了 ValueError: 第 1 行"),
    ],
)
def test_the_line_that_says_why(tmp_path: Path, text: str, error: str) -> None:
    code = f"import sys; sys.stdout.buffer.write({text.encode()!r})"
    with running(python(code)) as service:
        service.process.wait()
        assert service.last_error().startswith(error)


def test_one_killed_while_starting_says_by_which_signal() -> None:
    code = "import os, signal; os.kill(os.getpid(), signal.SIGKILL)"
    with running(python(code)) as service, pytest.raises(ServiceError, match="killed by SIGKILL"):
        service.wait_until_ready(20)


def test_a_command_that_is_not_there_starts_nothing() -> None:
    with pytest.raises(FileNotFoundError, match="no-such-command"), running(["no-such-command"]):
        pass


@pytest.mark.parametrize(
    ("where", "parent_lives", "child"),
    [
        ("", True, IGNORES_TERM + SLEEP),
        ("bare", False, SLEEP),
        ("own session", False, SLEEP),
        ("own session", True, IGNORES_TERM + SLEEP),
        ("bare, own session", True, SLEEP),
    ],
)
def test_stopping_ends_all_that_it_started_and_nothing_else(
    tmp_path: Path, bystander: psutil.Process, where: str, parent_lives: bool, child: str
) -> None:
    log = tmp_path / "log"
    code = PARENT + ("time.sleep(600)" if parent_lives else "")
    with running(python(code, where, child), log=log) as service:
        started = read_number(log)
        if not parent_lives:
            service.process.wait()
        assert not is_gone(started)
    assert is_gone(started)
    assert service.process.returncode is not None
    assert not is_gone(bystander)


def test_the_service_is_asked_first_and_given_time(tmp_path: Path) -> None:
    """TERM goes to the service alone: it needs its children to answer what it has."""
    code = """
import signal, subprocess, sys, time
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
def leave(*_):
    time.sleep(0.5)
    print("child ended before" if child.poll() is not None else "child there", flush=True)
    sys.exit(0)
signal.signal(signal.SIGTERM, leave)
print("0", flush=True)
time.sleep(600)
"""
    log = tmp_path / "log"
    with running(python(code), log=log):
        while not (log.exists() and log.read_text().startswith("0")):
            time.sleep(0.02)
    assert log.read_text().split("\n")[1] == "child there"


def test_one_that_ignores_term_is_killed_after_its_grace(tmp_path: Path) -> None:
    log = tmp_path / "log"
    code = IGNORES_TERM + "print(0, flush=True); " + SLEEP
    with running(python(code), log=log, grace=0.5) as service:
        while not (log.exists() and log.read_text()):
            time.sleep(0.02)
        began = time.monotonic()
    assert 0.5 <= time.monotonic() - began < 5
    assert service.process.returncode == -signal.SIGKILL


def test_a_taken_port_is_told_with_who_holds_it_and_nothing_starts(tmp_path: Path) -> None:
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        holder.listen()
        port = holder.getsockname()[1]
        told = rf"Port {port} cannot be used: .*in use; held by .*\(pid {os.getpid()}\)"
        with pytest.raises(PortTakenError, match=told), running(SERVER, port=port):
            pass
    check_port(port)


def test_the_log_is_temporary_unless_it_is_named(tmp_path: Path) -> None:
    with running(python("print(1)")) as service:
        service.process.wait()
        assert service.log.read_text() == "1\n"
    assert not service.log.exists()


def test_pipes_are_the_callers(tmp_path: Path) -> None:
    with running(python("print(input()[::-1])"), pipes=True) as service:
        service.process.stdin.write("问ab\n")
        service.process.stdin.flush()
        assert service.process.stdout.readline() == "ba问\n"


# A program that starts a service, in its main thread or in another, and waits for it for good.
PROGRAM = """
import sys, threading
from pathlib import Path
from common.service_process import running, stop_on_signals

def start():
    with running([sys.executable, "-c", *sys.argv[3:]], log=Path(sys.argv[2])) as service:
        service.wait_until_ready(600)

if sys.argv[1] == "main":
    start()
else:
    stop_on_signals()
    thread = threading.Thread(target=start)
    thread.start()
    thread.join()
"""


@pytest.mark.parametrize("thread", ["main", "another"])
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGINT])
def test_a_signal_to_the_parent_ends_what_it_started(
    tmp_path: Path, thread: str, number: signal.Signals
) -> None:
    log = tmp_path / "log"
    command = python(PROGRAM, thread, str(log), PARENT + "time.sleep(600)", "own session", SLEEP)
    parent = subprocess.Popen(
        command,
        cwd=ROOT,
        stderr=subprocess.DEVNULL,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # tests in the background
    )
    started = [read_number(log)]
    started += psutil.Process(parent.pid).children(recursive=True)
    assert len(started) == 3  # the service, its child twice
    parent.send_signal(number)
    assert parent.wait(20) != 0
    assert all(map(is_gone, started))


def test_signals_are_left_as_they_were() -> None:
    before = [signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)]
    with running(python(SLEEP)):
        assert callable(signal.getsignal(signal.SIGTERM))
    assert [signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)] == before
    assert threading.current_thread() is threading.main_thread()


def test_a_free_port_can_be_used() -> None:
    check_port(free_port())


def test_a_free_port_is_none_that_the_system_gives_away() -> None:
    first, last = map(int, Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split())
    ports = [free_port() for _ in range(50)]
    assert not [port for port in ports if first <= port <= last]
    assert len(set(ports)) > 45, "those who look at once get different ones"
