"""One trial: the real service with some settings, judged over HTTP on the dev split.

The service is started afresh for each call that is judged, as the judge's is: a second call would
find its prompts in the cache.
"""

import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from common.pairs import PairFile
from judging.client import HEALTH_LIMIT_S, ServiceNotReadyError
from judging.judge import Conditions, judge
from judging.scoring import speed

ROOT = Path(__file__).parents[1]
STOP_S = 20.0


class TrialFailedError(RuntimeError):
    """A trial without a result; the message is the reason."""


@dataclass(frozen=True)
class Outcome:
    """The judge's score and speed (characters a second), the seconds of its call and of the
    start, and the `engine` part of GET /info."""

    score: float
    speed: float
    seconds: float
    start_seconds: float
    engine: dict[str, Any] = field(default_factory=dict)


# Settings and the log's name in, an outcome out; raises TrialFailedError.
Measure = Callable[[dict[str, str], str], Outcome]


def measure_with(model: Path, dev: PairFile, limit: int | None, out: Path) -> Measure:
    """How trials of this model on this dev split are measured; logs go to `out`."""

    def measure(settings: dict[str, str], name: str) -> Outcome:
        variables = {"MODEL_DIR": str(model), "SETTINGS_FILE": "", **settings}
        with _service(variables, out / f"{name}.log") as (url, start_seconds):
            try:
                judgement = judge(url, [dev], Conditions(mode="auto", limit=limit))
            except ServiceNotReadyError as error:
                raise TrialFailedError(str(error)) from error
        if judgement.failures:
            raise TrialFailedError("; ".join(judgement.failures))
        info = judgement.info or {}
        engine, startup = info.get("engine") or {}, info.get("startup") or {}
        # What was measured then are not the settings of this trial.
        if startup.get("why"):
            raise TrialFailedError(f"it started on its second rung only: {startup['why']}")
        if engine.get("faults"):
            raise TrialFailedError(f"{engine['faults']} faults of the engine while answering")
        (result,) = judgement.results
        if result.replies.unanswered:
            raise TrialFailedError(f"{result.replies.unanswered} questions were not answered")
        seconds = result.replies.total_seconds
        return Outcome(
            result.scores.accuracy,
            speed(result.characters, seconds),
            seconds,
            start_seconds,
            engine,
        )

    return measure


@contextmanager
def _service(variables: dict[str, str], log: Path) -> Iterator[tuple[str, float]]:
    """The service in a session of its own, from its open port to its end.

    Raises TrialFailedError with its last words when it does not start.
    """
    log.parent.mkdir(parents=True, exist_ok=True)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = int(probe.getsockname()[1])
    command = [sys.executable, "-m", "uvicorn", "serve:app", "--port", str(port)]
    environment = {"CRASH_DIR": str(log.parent / "crashes"), **os.environ, **variables}
    began = time.monotonic()
    with log.open("wb") as stream:
        process = subprocess.Popen(
            command, cwd=ROOT, env=environment, stdout=stream, stderr=stream, start_new_session=True
        )
    try:
        _wait_until_open(process, port, log, began)
        yield f"http://127.0.0.1:{port}", time.monotonic() - began
    finally:
        _stop(process)


def _wait_until_open(
    process: "subprocess.Popen[bytes]", port: int, log: Path, began: float
) -> None:
    while (waited := time.monotonic() - began) < HEALTH_LIMIT_S:
        if (code := process.poll()) is not None:
            raise TrialFailedError(f"it ended with code {code} while starting: {_last_words(log)}")
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.2)
    raise TrialFailedError(f"its port was not open after {waited:.0f} s: {_last_words(log)}")


def _last_words(log: Path) -> str:
    """The last line of a log that names an error, else its last line."""
    lines = log.read_text(encoding="utf-8", errors="replace").strip().splitlines() or ["no word"]
    errors = [line for line in lines if re.search(r"\w(Error|Exception)\b", line)]
    return (errors or lines)[-1].strip()[:300]


def _stop(process: "subprocess.Popen[bytes]") -> None:
    """End the service and what it started: memory that they hold would fail the next trial."""
    for sign in (signal.SIGTERM, signal.SIGKILL):
        try:
            os.killpg(process.pid, sign)
        except ProcessLookupError:
            break
        try:
            process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            continue
    process.wait()


def is_quantized(model: Path) -> bool:
    """Whether config.json says that the weights are quantized. Raises OSError or ValueError."""
    config = json.loads((model / "config.json").read_text(encoding="utf-8"))
    return bool(config.get("quantization_config"))
