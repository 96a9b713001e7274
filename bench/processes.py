"""Other processes of a measurement, from their start to their end: servers and scripts."""

import contextlib
import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx

START_LIMIT_S = 300.0
CALL_LIMIT_S = 900.0
STOP_LIMIT_S = 20.0
LAST_WORDS = 500
# A line that names an error, but not vLLM's pointer to the one above it.
CAUSE = re.compile(r"\b\w*Error: (?!.*root cause above)")
# What a script's lines for us begin with.
READY, RESULT = "READY ", "RESULT "
# Groups of the processes that run now.
_running: set[int] = set()


class BenchError(RuntimeError):
    """A candidate that does not run; the message holds its last words."""


@contextlib.contextmanager
def server(
    command: list[str], environment: dict[str, str], port: int, path: str
) -> Iterator[tuple[httpx.Client, float, Path]]:
    """A server process; yields a client, the seconds until `path` answered, and its log file.

    Raises BenchError when it does not start, or a call inside fails.
    """
    log = Path("report") / f"bench_{port}.log"
    began = time.monotonic()
    with (
        process(command, environment, log) as running,
        httpx.Client(
            base_url=f"http://127.0.0.1:{port}", timeout=CALL_LIMIT_S, trust_env=False
        ) as client,
    ):
        while True:
            if running.poll() is not None or time.monotonic() - began > START_LIMIT_S:
                raise BenchError(f"did not start: {_end(log)}")
            with contextlib.suppress(httpx.TransportError):
                if client.get(path).status_code == 200:
                    break
            time.sleep(0.1)
        try:
            yield client, time.monotonic() - began, log
        except httpx.HTTPError as error:
            raise BenchError(f"{error}: {_end(log)}") from error


@contextlib.contextmanager
def script(
    module: str, options: list[str], environment: dict[str, str]
) -> Iterator[tuple[dict[str, Any], Callable[[], dict[str, Any]]]]:
    """A module of bench/ that loads, and measures once for every go (`measure_at_every_go`).

    Yields what it tells of itself, and the function that gives a go and returns what that one
    measured. Raises BenchError.
    """
    log = Path("report") / f"{module}_{free_port()}.log"
    command = [sys.executable, "-u", "-m", module, *options]
    with process(command, environment, log, talk=True) as running:

        def read(word: str, limit: float) -> dict[str, Any]:
            # What hangs is killed, which ends its lines: it costs its own row, not the whole table.
            timer = threading.Timer(limit, running.kill)
            timer.start()
            try:
                for line in running.stdout:
                    if line.startswith(word):
                        return json.loads(line[len(word) :])
                why = "ended" if timer.is_alive() else f"took over {limit:.0f} s"
            finally:
                timer.cancel()
            raise BenchError(f"{module} {why}: {_end(log)}")

        def once() -> dict[str, Any]:
            running.stdin.write("go\n")
            running.stdin.flush()
            return read(RESULT, CALL_LIMIT_S)

        yield read(READY, START_LIMIT_S), once


def measure_at_every_go(facts: dict[str, Any], once: Callable[[], dict[str, Any]]) -> None:
    """In a script's own process, when everything is loaded: until nobody gives a go any more."""
    print(READY + json.dumps(facts), flush=True)
    for _ in sys.stdin:
        print(RESULT + json.dumps(once()), flush=True)


def end_all_when_told() -> None:
    """Let TERM and Ctrl-C end a measurement with all that it started, at any moment: an engine left
    behind, while it loads or later, holds its part of a GPU's memory for good."""

    def end(number: int, frame: Any) -> None:
        for group in list(_running):
            with contextlib.suppress(ProcessLookupError):
                os.killpg(group, signal.SIGKILL)
        raise KeyboardInterrupt

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, end)


@contextlib.contextmanager
def process(
    command: list[str], environment: dict[str, str], log: Path, talk: bool = False
) -> Iterator[Any]:
    """A process that writes to `log` and ends with the block, and so do those that it started;
    talk: with pipes for its input and its output, as text."""
    log.parent.mkdir(exist_ok=True)
    with log.open("w", encoding="utf-8") as file:
        running = subprocess.Popen(
            command,
            stdin=subprocess.PIPE if talk else None,
            stdout=subprocess.PIPE if talk else file,
            stderr=file,
            text=True,
            env={**os.environ, **environment},
            start_new_session=True,
        )
        _running.add(running.pid)
        try:
            yield running
        finally:
            running.terminate()
            try:
                running.wait(STOP_LIMIT_S)
            except subprocess.TimeoutExpired:
                running.kill()
                running.wait()
            # vLLM's engine process outlives a script that is told to end, with all its memory.
            with contextlib.suppress(ProcessLookupError):
                os.killpg(running.pid, signal.SIGKILL)
            _running.discard(running.pid)


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def _end(log: Path) -> str:
    """A log's last words, after the last error that it names: what follows one in a log of several
    processes only says that there was one."""
    text = log.read_text(encoding="utf-8", errors="replace")
    causes = [line for line in text.splitlines() if CAUSE.search(line)]
    return "\n".join([line[-LAST_WORDS:] for line in causes[-1:]] + [text[-LAST_WORDS:]])
