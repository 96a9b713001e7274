"""From settings to a warm answerer, inside the judge's health window.

The first start is `tuned`: compiled, with CUDA graphs. When it fails, or is not ready while there
is still time for another, the process restarts itself `eager`: no compilation, fewer answers at
once. That is several times slower and far better than no answer. When the eager start is not ready
within the budget either, the process ends with the reason. A model directory that cannot be served
ends the process at once: no other start would help.
"""

import contextlib
import gc
import importlib.metadata
import importlib.util
import logging
import os
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NoReturn

import psutil

from common.before_imports import before_imports
from common.model_content import old_reader_problems
from common.model_files import model_files_problems
from serving.answerer import Answerer
from serving.book_context import serves_book, settled
from serving.engine.arguments import read_config
from serving.engine.base import Engine, EngineError, ModelError
from serving.settings import Settings
from serving.warmup import warm_up

log = logging.getLogger(__name__)

# Restarts this process with these variables set; None where nothing may be restarted (tests).
Restart = Callable[[dict[str, str]], NoReturn]
# Makes an answerer, not started, on the engine of that name.
Build = Callable[[str, Settings], Answerer]

WARMUP_LIMIT_S = 30.0


def build_answerer(engine: str, settings: Settings) -> Answerer:
    """The service's answerer on the engine of that name, not started."""
    return Answerer(make_engine(engine, settings), settings)


async def start_answerer(
    settings: Settings, restart: Restart | None = None, build: Build = build_answerer
) -> tuple[Answerer, dict[str, Any]]:
    """A loaded, warm answerer, and facts about its start for `GET /info`.

    Raises ModelError for a model directory that cannot be served, EngineError when the engine does
    not start and nothing is left to try.
    """
    before_imports()
    began = time.monotonic()
    age = seconds_since_process_start()
    left = settings.health_budget_s - age
    if settings.startup == "tuned" and restart is not None:
        left -= settings.startup_reserve_s
    log.info("start-up: %s, %.0f s left for it", settings.startup, left)
    if settings.startup_why:
        log.warning("this is a second start: %s", settings.startup_why)
    with _in_time(left, settings, restart):
        settings = settled(settings)
        try:
            answerer = _start(settings, build)
        except ModelError:
            raise
        except EngineError as error:
            _restart_eager(settings, restart, str(error))
            raise
        facts: dict[str, Any] = {
            "mode": settings.startup,
            "why": settings.startup_why,
            "load_seconds": round(time.monotonic() - began, 2),
        }
        if settings.warmup:
            # Half of what is left: a long warm-up must not cost the tuned start.
            limit = min(WARMUP_LIMIT_S, (left - (time.monotonic() - began)) / 2)
            facts["warmup_seconds"] = round(await warm_up(answerer, limit), 2)
        # Python puts full collections off in proportion to what is loaded: with the libraries
        # counted, the garbage of calls would pile up for minutes.
        gc.collect()
        gc.freeze()
        facts["ready_seconds"] = round(seconds_since_process_start(), 2)
    return answerer, facts


def seconds_since_process_start() -> float:
    """Age of this process in seconds; starting it again in place does not reset it.

    Not by the wall clock, which may be set while the service runs: Linux counts a process's start
    (field 22 of its stat, in ticks) and CLOCK_BOOTTIME from the same moment.
    """
    try:
        fields = Path("/proc/self/stat").read_text("utf-8").rpartition(")")[2].split()
        started = int(fields[19]) / os.sysconf("SC_CLK_TCK")
        return time.clock_gettime(time.CLOCK_BOOTTIME) - started
    except (OSError, AttributeError):  # not Linux
        return time.time() - psutil.Process().create_time()


def restart_process(variables: dict[str, str]) -> NoReturn:
    """Replace this process by a new run of the same command with `variables` set.

    The process id stays, so that a container or a script that watches it notices nothing. Children
    (an engine core, compiler workers) end first; open files are closed, which frees the device.
    """
    children = psutil.Process().children(recursive=True)
    for child in children:
        with contextlib.suppress(psutil.NoSuchProcess):
            child.kill()
    psutil.wait_procs(children, timeout=5)
    for name in os.listdir("/proc/self/fd"):  # noqa: PTH208 - file descriptors, not paths
        if int(name) > 2:
            with contextlib.suppress(OSError):  # the descriptor of this very listing is gone
                os.set_inheritable(int(name), False)
    sys.stdout.flush()
    sys.stderr.flush()
    os.execve(sys.executable, [sys.executable, *sys.orig_argv[1:]], {**os.environ, **variables})


@contextlib.contextmanager
def _in_time(seconds: float, settings: Settings, restart: Restart | None) -> Iterator[None]:
    """When the block is not done after `seconds`: restart eager, or end the process."""
    if restart is None:
        yield
        return

    def too_late() -> None:
        reason = f"not ready {seconds_since_process_start():.0f} s after the process started"
        _restart_eager(settings, restart, reason)
        log.critical("%s (HEALTH_BUDGET_S=%g): giving up", reason, settings.health_budget_s)
        os._exit(3)  # sys.exit would end this thread only

    timer = threading.Timer(max(0.0, seconds), too_late)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


def _restart_eager(settings: Settings, restart: Restart | None, why: str) -> None:
    """Restart the process eager; returns where it is eager already or the engine has no eager."""
    left = settings.health_budget_s - seconds_since_process_start()
    if restart is None or settings.startup == "eager" or choose_engine(settings) != "vllm":
        return
    log.error("tuned start failed: %s; starting again eager, %.0f s left", why, left)
    restart({"STARTUP": "eager", "STARTUP_WHY": why})


def _start(settings: Settings, build: Build) -> Answerer:
    name = choose_engine(settings)
    # Errors that name the directory and the file, before a library's that do not.
    config = read_config(settings)
    if _version_of("transformers") < 5 and (problems := old_reader_problems(config)):
        raise ModelError(f"MODEL_DIR={settings.model_dir}: {problems[0]}")
    loads_files = settings.engine_args.get("load_format", "safetensors") == "safetensors"
    if loads_files and (problems := model_files_problems(settings.model_dir)):
        raise ModelError(f"MODEL_DIR={settings.model_dir}: {'; '.join(problems)}")
    answerer = build(name, settings)
    try:
        answerer.start()
    except EngineError as error:
        hopeless = isinstance(error, ModelError)
        if hopeless or name != "vllm" or not settings.engine_fallback:
            raise
        log.error("vLLM did not start; ENGINE_FALLBACK=1: going on with Transformers, SLOWER")
        answerer = build("transformers", settings)
        answerer.start()
    return answerer


def _version_of(package: str) -> int:
    """A package's major version."""
    return int(importlib.metadata.version(package).split(".")[0])


def choose_engine(settings: Settings) -> str:
    """`vllm` whenever it can be imported, unless ENGINE names the other."""
    if settings.engine != "auto":
        return settings.engine
    return "vllm" if importlib.util.find_spec("vllm") else "transformers"


def make_engine(name: str, settings: Settings) -> Engine:
    """The engine of that name, not started; imports only what it needs."""
    if name == "vllm":
        from serving.engine.several import SeveralEngines
        from serving.engine.shares import engine_count
        from serving.engine.vllm_engine import VllmEngine

        count = engine_count(settings, serves_book(settings))
        if count == 1:
            return VllmEngine(settings)
        # Further engines are waited for as long as the warm-up still has its time, and no longer.
        left = settings.health_budget_s - settings.startup_reserve_s - WARMUP_LIMIT_S
        left -= seconds_since_process_start()
        return SeveralEngines(settings, count, time.monotonic() + left)
    from serving.engine.transformers_engine import TransformersEngine

    return TransformersEngine(settings)
