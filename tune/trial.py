"""One trial: the real service with some settings, judged over HTTP on the dev split.

Each trial starts a service of its own, as the judge does: a second call to the same one would find
its prompts in the prefix cache.
"""

import os
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any

from common.facts import HEALTH_LIMIT_S
from common.language import BilingualError
from common.model_shape import read_config, weights_format
from common.pairs import PairFile
from common.service_process import ServiceError, ServiceProcess, running
from judging.judge import Conditions, judge
from judging.protocol import ServiceNotReadyError
from judging.scoring import speed
from tune.length import Cap, best_length

ROOT = Path(__file__).parents[1]


class TrialFailedError(BilingualError, RuntimeError):
    """A trial without a result; the message is the reason."""


@dataclass(frozen=True)
class Outcome:
    """Accuracy and speed (characters a second) as the judge counts them, the seconds of its call
    and of the start until ready, of GET /info its `engine` part and the passages a question (0
    without an index), and the best cap on the answers' length (of the defaults only)."""

    score: float
    speed: float
    seconds: float
    start_seconds: float
    engine: dict[str, Any] = field(default_factory=dict)
    passages: int = 0
    examples: bool = False
    cap: Cap | None = None


# Measures settings; the second argument names the log. Raises TrialFailedError.
Measure = Callable[[dict[str, str], str], Outcome]


def measure_with(
    model: Path,
    dev: PairFile,
    limit: int | None,
    out: Path,
    asked_with: Mapping[str, str] = MappingProxyType({}),
) -> Measure:
    """The function that measures settings of this model on this dev split; logs go to `out`.

    asked_with: settings of every trial, where the trial's own do not say otherwise.
    """

    def measure(settings: dict[str, str], name: str) -> Outcome:
        variables = {"MODEL_DIR": str(model), "SETTINGS_FILE": "", **asked_with, **settings}
        with _service(variables, out / f"{name}.log") as service:
            try:
                judgement = judge(service.url, [dev], Conditions(mode="auto", limit=limit))
            except ServiceNotReadyError as error:
                raise TrialFailedError(str(error)) from error
        if wrong := [*judgement.failures, *judgement.leaks]:
            raise TrialFailedError("; ".join(wrong))
        info = judgement.info or {}
        engine, startup = info.get("engine") or {}, info.get("startup") or {}
        book = info.get("retrieval") or {}
        # The fallback overrides settings of this trial, so its figures would not be the trial's.
        if startup.get("why"):
            raise TrialFailedError(
                f"只有退路（eager）启动了：{startup['why']}",
                f"only its eager fallback started: {startup['why']}",
            )
        if engine.get("faults"):
            raise TrialFailedError(
                f"作答时引擎出错 {engine['faults']} 次",
                f"{engine['faults']} engine faults while answering",
            )
        (result,) = judgement.results
        if result.replies.unanswered:
            raise TrialFailedError(
                f"{result.replies.unanswered} 题没有回答",
                f"{result.replies.unanswered} questions were not answered",
            )
        seconds = result.replies.total_seconds
        return Outcome(
            result.scores.accuracy,
            speed(result.characters, seconds),
            seconds,
            service.ready_seconds or 0.0,
            engine,
            int(book.get("passages_a_question", 0)),
            bool(book.get("examples")),
            None if settings else best_length(result, model),
        )

    return measure


@contextmanager
def _service(variables: dict[str, str], log: Path) -> Iterator[ServiceProcess]:
    """The service with these variables, ready. Raises TrialFailedError with the reason from its log
    when it does not start."""
    command = [sys.executable, "-m", "uvicorn", "serve:app", "--port", "{port}"]
    environment = {"CRASH_DIR": str(log.parent / "crashes"), **os.environ, **variables}
    with running(command, cwd=ROOT, environment=environment, log=log) as service:
        try:
            service.wait_until_ready(HEALTH_LIMIT_S)
        except ServiceError as error:
            raise TrialFailedError(f"it {error.reason}: {error.error[:300]}") from error
        yield service


def is_quantized(model: Path) -> bool:
    """Whether config.json says that the weights are quantized. Raises ShapeError."""
    return weights_format(read_config(model / "config.json")) != "plain"
