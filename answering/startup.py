"""From settings to a warm answerer: which engine, and what happens when it does not start."""

import importlib.util
import logging
import time
from typing import Any

from .answerer import Answerer
from .engine import Engine, EngineError
from .settings import Settings
from .warmup import warm_up

log = logging.getLogger("answering.startup")


async def start_answerer(settings: Settings) -> tuple[Answerer, dict[str, Any]]:
    """A loaded, warm answerer, and facts about its start for `GET /info`.

    Raises EngineError when the engine does not start: the process then ends with the reason.
    """
    began = time.monotonic()
    answerer = _start(settings)
    facts: dict[str, Any] = {"load_seconds": round(time.monotonic() - began, 2)}
    if settings.warmup:
        facts["warmup_seconds"] = round(await warm_up(answerer, (1, 16), 30.0), 2)
    return answerer, facts


def _start(settings: Settings) -> Answerer:
    name = choose_engine(settings)
    answerer = Answerer(make_engine(name, settings), settings)
    try:
        answerer.start()
    except EngineError:
        if name == "vllm" and settings.engine_fallback:
            log.error("vLLM did not start; ENGINE_FALLBACK=1: going on with Transformers, SLOWER")
            answerer = Answerer(make_engine("transformers", settings), settings)
            answerer.start()
        else:
            raise
    return answerer


def choose_engine(settings: Settings) -> str:
    """`vllm` whenever it can be imported, unless ENGINE names the other."""
    if settings.engine != "auto":
        return settings.engine
    return "vllm" if importlib.util.find_spec("vllm") else "transformers"


def make_engine(name: str, settings: Settings) -> Engine:
    """The engine of that name, not started; imports only what it needs."""
    if name == "vllm":
        from .vllm_engine import VllmEngine

        return VllmEngine(settings)
    from .hf_engine import TransformersEngine

    return TransformersEngine(settings)
