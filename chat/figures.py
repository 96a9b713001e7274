"""Requests and tokens a second of the engines over the last minutes, by vLLM's own metrics."""

import asyncio
import contextlib
import time
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import httpx
import psutil

from chat.engine import Engine

WATCH_EVERY_S = 2.0
REMEMBERED_S = 600.0


@dataclass(frozen=True)
class Sample:
    """An engine's figures at one moment; tokens_per_s: generated since the sample before."""

    time: float
    model: str
    running: float
    waiting: float
    kv_percent: float
    tokens_per_s: float


class Figures:
    """Samples of the last REMEMBERED_S; pages read them in threads of their own."""

    def __init__(self) -> None:
        self.cpu_percent = 0.0
        self._samples: deque[Sample] = deque()
        self._totals: dict[str, tuple[float, float]] = {}

    def recent(self) -> list[Sample]:
        """The samples, oldest first."""
        return list(self._samples)  # a copy: a deque that grows meanwhile cannot be gone through

    def latest(self) -> dict[str, Sample]:
        """The newest sample of each model."""
        return {sample.model: sample for sample in self.recent()}

    async def watch(
        self, engines: Callable[[], Iterable[Engine]], client: httpx.AsyncClient
    ) -> None:
        """Ask the engines that answer, again and again; notice those that have ended."""
        while True:
            self.cpu_percent = psutil.cpu_percent()  # since the last time in this thread, no other
            for engine in list(engines()):
                engine.check()
                if engine.state == "ready":
                    with contextlib.suppress(httpx.HTTPError):  # busy or gone: the next time
                        self._record(engine.model.id, await engine.figures(client))
            await asyncio.sleep(WATCH_EVERY_S)

    def _record(self, name: str, figures: dict[str, float]) -> None:
        now, total = time.time(), figures.get("vllm:generation_tokens_total", 0.0)
        before = self._totals.get(name)
        self._totals[name] = (now, total)
        rate = 0.0
        if before and total >= before[1]:
            rate = (total - before[1]) / max(now - before[0], 1e-3)
        running, waiting, used = (
            figures.get(f"vllm:{key}", 0.0)
            for key in ("num_requests_running", "num_requests_waiting", "kv_cache_usage_perc")
        )
        self._samples.append(Sample(now, name, running, waiting, 100 * used, rate))
        while self._samples[0].time < now - REMEMBERED_S:
            self._samples.popleft()
