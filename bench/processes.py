"""The processes of a measurement: servers that are asked over HTTP, and scripts that measure
themselves and talk in lines (READY and RESULT). Starting and stopping: common/service_process.py.
"""

import contextlib
import json
import os
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx

from common.ports import free_port
from common.service_process import ServiceError, ServiceProcess, running

START_LIMIT_S = 300.0
CALL_LIMIT_S = 900.0
# What a script's lines for us begin with.
READY, RESULT = "READY ", "RESULT "


class BenchError(RuntimeError):
    """A candidate that does not run; the message has the end of its log."""


@contextlib.contextmanager
def server(
    command: list[str], environment: dict[str, str], path: str
) -> Iterator[tuple[httpx.Client, ServiceProcess]]:
    """A server that answered GET `path`, and a client for it; `{port}` in the command is filled in.

    Raises BenchError when it does not start, or a call inside fails.
    """
    port = free_port()
    log = Path("report") / f"bench_{port}.log"
    with (
        running(command, port=port, log=log, environment=os.environ | environment) as service,
        httpx.Client(base_url=service.url, timeout=CALL_LIMIT_S, trust_env=False) as client,
    ):
        try:
            service.wait_until_ready(START_LIMIT_S, path)
            yield client, service
        except ServiceError as error:
            raise BenchError(str(error)) from error
        except httpx.HTTPError as error:
            raise BenchError(f"{error}; {service.last_words()}") from error


@contextlib.contextmanager
def script(
    module: str, options: list[str], environment: dict[str, str]
) -> Iterator[tuple[dict[str, Any], Callable[[], dict[str, Any]]]]:
    """A module of bench/ that loads, then measures once each time it is told to
    (`measure_on_request`).

    Yields the facts that it gives, and the function that requests a measurement and returns its
    figures. Raises BenchError.
    """
    log = Path("report") / f"{module}_{free_port()}.log"
    command = [sys.executable, "-u", "-m", module, *options]
    with running(command, log=log, environment=os.environ | environment, pipes=True) as service:

        def read(word: str, limit: float) -> dict[str, Any]:
            late = threading.Event()

            def give_up() -> None:
                late.set()
                service.kill()  # which ends its output: one row is lost, not the whole table

            timer = threading.Timer(limit, give_up)
            timer.start()
            try:
                for line in service.process.stdout:
                    if line.startswith(word):
                        return json.loads(line[len(word) :])
            finally:
                timer.cancel()
            why = f"took over {limit:.0f} s" if late.is_set() else "ended"
            raise BenchError(f"{module} {why}; {service.last_words()}")

        def once() -> dict[str, Any]:
            service.process.stdin.write("go\n")
            service.process.stdin.flush()
            return read(RESULT, CALL_LIMIT_S)

        yield read(READY, START_LIMIT_S), once


def measure_on_request(facts: dict[str, Any], once: Callable[[], dict[str, Any]]) -> None:
    """In a script's own process, when everything is loaded: measure once for each line of standard
    input, until it is closed."""
    print(READY + json.dumps(facts), flush=True)
    for _ in sys.stdin:
        print(RESULT + json.dumps(once()), flush=True)
