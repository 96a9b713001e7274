"""Other processes of a measurement, from their start to their end: servers and scripts."""

import contextlib
import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx

START_LIMIT_S = 300.0
CALL_LIMIT_S = 900.0
STOP_LIMIT_S = 20.0
LAST_WORDS = 500


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
) -> Iterator[Callable[[], dict[str, Any]]]:
    """A module of bench/ that loads, waits for its go, and tells its figures.

    It prints READY, reads a line, and prints RESULT with JSON (`bench.processes.wait_for_go`).
    Yields the function that gives the go and returns the figures. Raises BenchError.
    """
    log = Path("report") / f"{module}_{free_port()}.log"
    command = [sys.executable, "-u", "-m", module, *options]
    with process(command, environment, log, talk=True) as running:

        def read(word: str) -> str:
            for line in running.stdout:
                if line.startswith(word):
                    return line[len(word) :]
            raise BenchError(f"{module}: {_end(log)}")

        def measure() -> dict[str, Any]:
            running.stdin.write("go\n")
            running.stdin.flush()
            return json.loads(read("RESULT "))

        read("READY")
        yield measure


def wait_for_go() -> None:
    """In a script's own process: everything is loaded, the other side may start the clock."""
    print("READY", flush=True)
    sys.stdin.readline()


@contextlib.contextmanager
def process(
    command: list[str], environment: dict[str, str], log: Path, talk: bool = False
) -> Iterator[Any]:
    """A process that writes to `log` and ends with the block; talk: with pipes for its input and
    its output, as text."""
    log.parent.mkdir(exist_ok=True)
    with log.open("w", encoding="utf-8") as file:
        running = subprocess.Popen(
            command,
            stdin=subprocess.PIPE if talk else None,
            stdout=subprocess.PIPE if talk else file,
            stderr=file,
            text=True,
            env={**os.environ, **environment},
        )
        try:
            yield running
        finally:
            running.terminate()
            try:
                running.wait(STOP_LIMIT_S)
            except subprocess.TimeoutExpired:
                running.kill()
                running.wait()


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def _end(log: Path) -> str:
    return log.read_text(encoding="utf-8", errors="replace")[-LAST_WORDS:]
