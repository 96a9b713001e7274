"""Which models and adapters are loaded; loads, switches and unloads them while others answer."""

import asyncio
import contextlib
import logging
import time
from collections import deque
from collections.abc import AsyncIterator
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any

import aiohttp
import anyio.to_thread
import httpx

from chat.catalogue import Adapter, Catalogue, Model, catalogue
from chat.engine import Engine, LoadError
from chat.memory import Memory
from chat.settings import ChatSettings
from common.prompting import SYSTEM_PROMPT_FILE, system_prompt_for

log = logging.getLogger(__name__)
WATCH_EVERY_S = 2.0
REMEMBERED_S = 600.0  # of the figures on the page


class NotLoadedError(LookupError):
    """A request for a model that is not loaded, or that nobody knows."""


@dataclass(frozen=True)
class Target:
    """What answers a request: an engine, the name it knows the model or adapter by, its prompt."""

    engine: Engine
    name: str
    system_prompt: str


@dataclass(frozen=True)
class Freed:
    """What an unload freed, measured: memory before and after it."""

    before: Memory
    after: Memory
    seconds: float

    def as_json(self) -> dict[str, Any]:
        """For the API; `host_bytes` is what the processes had, `gpu_bytes` None without a GPU."""
        gpu = None
        if self.before.gpu_used is not None and self.after.gpu_used is not None:
            gpu = self.before.gpu_used - self.after.gpu_used
        return {
            "before": asdict(self.before),
            "after": asdict(self.after),
            "host_bytes": self.before.processes - self.after.processes,
            "available_bytes": self.after.available - self.before.available,
            "gpu_bytes": gpu,
            "seconds": round(self.seconds, 1),
        }


@dataclass(frozen=True)
class Sample:
    """An engine's figures at one moment; tokens_per_s: generated since the sample before."""

    time: float
    model: str
    running: float
    waiting: float
    kv_percent: float
    tokens_per_s: float


class Registry:
    """The engines by model id. All methods are for the one event loop of the server."""

    def __init__(self, settings: ChatSettings):
        self.settings = settings
        self.engines: dict[str, Engine] = {}
        self.last_freed: tuple[str, Freed] | None = None
        self.samples: deque[Sample] = deque(maxlen=2000)
        self.client = httpx.AsyncClient(
            timeout=None, trust_env=False, limits=httpx.Limits(max_connections=None)
        )
        self.stream: aiohttp.ClientSession
        self._loading: dict[str, asyncio.Task[Engine]] = {}
        self._changing = asyncio.Lock()  # of adapters
        self._totals: dict[str, tuple[float, float]] = {}

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator["Registry"]:
        """Watch the engines meanwhile; stop them all at the end."""
        # For streams that are passed on: of three clients tried it lost least at 50 of them.
        self.stream = aiohttp.ClientSession(
            timeout=aiohttp.ClientTimeout(total=None),
            connector=aiohttp.TCPConnector(limit=0),
            auto_decompress=False,
        )
        watching = asyncio.create_task(self._watch())
        try:
            yield self
        finally:
            watching.cancel()
            for task in self._loading.values():
                task.cancel()
            engines = list(self.engines.values())
            await asyncio.gather(*(anyio.to_thread.run_sync(e.stop) for e in engines))
            await self.client.aclose()
            await self.stream.close()

    def found(self) -> Catalogue:
        """What could be loaded, as the folders are now."""
        return catalogue(self.settings.root, self.settings.models)

    def ready(self) -> list[Engine]:
        """Engines that answer."""
        return [engine for engine in self.engines.values() if engine.state == "ready"]

    def names(self) -> list[str]:
        """What answers now: models, each followed by its adapters."""
        return [name for e in self.ready() for name in (e.model.id, *e.adapters)]

    def choices(self) -> list[str]:
        """What can be asked: all models, and the adapters of those loaded or loadable."""
        there = self.found()
        loaded = [engine.model.id for engine in self.ready()]
        models = [*loaded, *(name for name in there.models if name not in loaded)]
        fitting = [
            adapter.id
            for adapter in there.adapters.values()
            if any(adapter.fits(model, self.settings.root) for model in there.models.values())
        ]
        return models + fitting

    async def load(self, name: str, switch: bool = False) -> Engine:
        """Load a model, or wait for it where it is loading already; switch: unload others first.

        Raises NotLoadedError for a name that nobody knows, LoadError.
        """
        engine = self.engines.get(name)
        if engine and engine.state == "ready":
            return engine
        if name not in self._loading:
            there = self.found()
            if name not in there.models:
                raise NotLoadedError(f"no model {name!r}; there are: {_listed(there.models)}")
            if switch:
                for other in [e.model.id for e in self.ready()]:
                    await self.unload(other)
            # A task of its own: who asked first may hang up while others wait for the same model.
            task = asyncio.create_task(self._start(there.models[name], there))
            self._loading[name] = task
            task.add_done_callback(lambda _: self._loading.pop(name, None))
        return await asyncio.shield(self._loading[name])

    async def unload(self, name: str) -> Freed:
        """Unload a model once its answers are written (at most `drain_limit_s`).

        Raises NotLoadedError.
        """
        engine = self.engines.get(name)
        if engine is None or engine.state not in ("ready", "failed"):
            raise NotLoadedError(f"{name!r} is not loaded; loaded: {_listed(self.names())}")
        began = time.monotonic()
        engine.state = "unloading" if engine.state == "ready" else engine.state
        while engine.in_flight and time.monotonic() - began < self.settings.drain_limit_s:
            await asyncio.sleep(0.1)
        before = await anyio.to_thread.run_sync(engine.memory)
        await anyio.to_thread.run_sync(engine.stop)
        after = await anyio.to_thread.run_sync(engine.memory)
        self.engines.pop(name, None)
        freed = Freed(before, after, time.monotonic() - began)
        self.last_freed = (name, freed)
        log.info("unloaded %s: %s", name, freed.as_json())
        return freed

    async def load_adapter(self, name: str) -> Target:
        """Load an adapter onto its base, which must be loaded. Raises NotLoadedError, LoadError."""
        adapter, base = self._adapter_and_base(name)
        engine = self.engines.get(base.id)
        if engine is None or engine.state != "ready":
            raise NotLoadedError(f"{name}: its base {base.id} is not loaded; load that first")
        async with self._changing:
            await engine.load_adapter(adapter, self.client)
        return self._target(engine, name, adapter)

    async def unload_adapter(self, name: str) -> None:
        """Unload an adapter; its base stays. Raises NotLoadedError, LoadError."""
        for engine in self.ready():
            if name in engine.adapters:
                async with self._changing:
                    await engine.unload_adapter(name, self.client)
                return
        raise NotLoadedError(f"adapter {name!r} is not loaded; loaded: {_listed(self.names())}")

    async def target(self, name: str, load: bool | None = None) -> Target:
        """What answers for a name; the empty name means the first model that is loaded.

        load: whether to load what is not (None: the setting). Raises NotLoadedError, LoadError.
        """
        for engine in self.ready():
            if name in ("", engine.model.id):
                return self._target(engine, engine.model.id)
            if name in engine.adapters:
                return self._target(engine, name, engine.adapters[name])
        if load is None:
            load = self.settings.when_unloaded == "load"
        there = self.found()
        if name not in there.models and name not in there.adapters:
            known = _listed([*there.models, *there.adapters])
            raise NotLoadedError(f"no model {name!r}; there are: {known}")
        if not load:
            raise NotLoadedError(
                f"{name!r} is not loaded; load it on the page or by POST /chat/models/load; "
                f"loaded: {_listed(self.names())}"
            )
        if name in there.models:
            engine = await self.load(name)
            return self._target(engine, name)
        _, base = self._adapter_and_base(name)
        await self.load(base.id)
        return await self.load_adapter(name)

    def status(self) -> list[dict[str, Any]]:
        """Every model and adapter that is known, and what state it is in."""
        there = self.found()
        latest = {sample.model: sample for sample in self.samples}
        rows = []
        for name in dict.fromkeys([*self.engines, *there.models]):
            engine, model = self.engines.get(name), there.models.get(name)
            model = engine.model if engine else model
            assert model is not None
            rows.append(
                {
                    "id": name,
                    "kind": "model",
                    "state": engine.state if engine else "not loaded",
                    "problem": engine.problem if engine else "",
                    "weight_bytes": model.weight_bytes,
                    "load_seconds": engine.load_seconds if engine else None,
                    "in_flight": engine.in_flight if engine else 0,
                    # vLLM's own figure, a few seconds old.
                    "running": latest[name].running if engine and name in latest else 0,
                }
            )
        for name in there.adapters:
            on = next((e.model.id for e in self.ready() if name in e.adapters), None)
            rows.append({"id": name, "kind": "adapter", "state": "ready" if on else "not loaded"})
            rows[-1]["base"] = there.adapters[name].base
        return rows

    def _adapter_and_base(self, name: str) -> tuple[Adapter, Model]:
        there = self.found()
        adapter = there.adapters.get(name)
        if adapter is None:
            raise NotLoadedError(f"no adapter {name!r}; there are: {_listed(there.adapters)}")
        if not self.settings.max_loras:
            raise LoadError("adapters are off (--max-loras 0)")
        loaded = [engine.model for engine in self.ready()]
        for model in [*loaded, *there.models.values()]:
            if adapter.fits(model, self.settings.root):
                return adapter, model
        raise LoadError(f"{name}: its base {adapter.base} is not among the models here")

    def _target(self, engine: Engine, name: str, adapter: Adapter | None = None) -> Target:
        # An adapter carries the prompt that it was trained with; an older one has its base's.
        own = adapter is not None and (adapter.path / SYSTEM_PROMPT_FILE).is_file()
        directory = adapter.path if adapter is not None and own else engine.model.path
        return Target(engine, name, system_prompt_for(directory))

    async def _start(self, model: Model, there: Catalogue) -> Engine:
        root = self.settings.root
        ranks = [a.rank for a in there.adapters.values() if a.fits(model, root)]
        engine = Engine(model, self.settings, max([16, *ranks]))
        self.engines[model.id] = engine
        try:
            await anyio.to_thread.run_sync(engine.start)
        except LoadError as error:
            engine.state, engine.problem = "failed", engine.problem or str(error)
            log.error("%s", error)
            raise
        except BaseException:  # cancelled: the server is stopping
            await anyio.to_thread.run_sync(partial(engine.stop), abandon_on_cancel=True)
            raise
        log.info("loaded %s in %.1f s", model.id, engine.load_seconds)
        return engine

    async def _watch(self) -> None:
        while True:
            for engine in list(self.engines.values()):
                engine.check()
                if engine.state == "ready":
                    with contextlib.suppress(httpx.HTTPError):  # busy or gone: the next time
                        self._record(engine, await engine.figures(self.client))
            await asyncio.sleep(WATCH_EVERY_S)

    def _record(self, engine: Engine, figures: dict[str, float]) -> None:
        now, name = time.time(), engine.model.id
        total = figures.get("vllm:generation_tokens_total", 0.0)
        before = self._totals.get(name)
        self._totals[name] = (now, total)
        rate = 0.0
        if before and total >= before[1]:
            rate = (total - before[1]) / max(now - before[0], 1e-3)
        self.samples.append(
            Sample(
                now,
                name,
                figures.get("vllm:num_requests_running", 0.0),
                figures.get("vllm:num_requests_waiting", 0.0),
                100 * figures.get("vllm:kv_cache_usage_perc", 0.0),
                rate,
            )
        )
        while self.samples and self.samples[0].time < now - REMEMBERED_S:
            self.samples.popleft()


def _listed(names: Any) -> str:
    return ", ".join(names) or "none"
