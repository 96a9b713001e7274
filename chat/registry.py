"""Which models and adapters are loaded; loads, switches and unloads them while others answer."""

import asyncio
import contextlib
import logging
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from functools import partial

import aiohttp
import anyio.to_thread
import httpx

from chat.catalogue import Adapter, Catalogue, Model, catalogue
from chat.engine import Engine
from chat.errors import LoadError, NotLoadedError, not_loaded, unknown
from chat.figures import Figures
from chat.memory import Freed
from chat.settings import ChatSettings
from common.language import either
from common.prompting import SYSTEM_PROMPT_FILE, system_prompt_for

log = logging.getLogger(__name__)
REUSED_WITHIN_S = 2.0


@dataclass(frozen=True)
class Target:
    """What answers a request: an engine, the name it knows the model or adapter by, its prompt."""

    engine: Engine
    name: str
    system_prompt: str


class Registry:
    """The engines by model id. All methods are for the one event loop of the server."""

    def __init__(self, settings: ChatSettings):
        self.settings = settings
        self.engines: dict[str, Engine] = {}
        self.figures = Figures()
        # Each request of the page has a connection of its own.
        limits = httpx.Limits(max_connections=None, max_keepalive_connections=0)
        self.client = httpx.AsyncClient(timeout=None, trust_env=False, limits=limits)
        self.stream: aiohttp.ClientSession
        self._loading: dict[str, asyncio.Task[Engine]] = {}
        self._starting = asyncio.Lock()  # one after another: each looks at the memory that is free
        self._changing = asyncio.Lock()  # of adapters

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator["Registry"]:
        """Watch the engines meanwhile; stop them all at the end."""
        # For streams that are passed on: a fifth of httpx's CPU a token. Connections are used again
        # only soon after (see server_environment; older versions of vLLM close them after 5
        # seconds): a new one costs half a millisecond here, and about as much in the engine.
        self.stream = aiohttp.ClientSession(
            timeout=aiohttp.ClientTimeout(total=None),
            connector=aiohttp.TCPConnector(limit=0, keepalive_timeout=REUSED_WITHIN_S),
            auto_decompress=False,
        )
        watching = asyncio.create_task(self.figures.watch(self.engines.values, self.client))
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

    async def load(self, name: str, switch: bool = False) -> Engine:
        """Load a model, or wait for it where it is loading already; switch: unload others first.

        Raises NotLoadedError for a name that nobody knows, LoadError.
        """
        while (engine := self.engines.get(name)) and engine.state == "unloading":
            await asyncio.sleep(0.1)
        if engine and engine.state == "ready":
            return engine
        if name not in self._loading:
            there = self.found()
            if name not in there.models:
                raise unknown("model", name, there.models)
            # A task of its own: who asked first may hang up while others wait for the same model.
            task = asyncio.create_task(self._start(there.models[name], there, switch))
            self._loading[name] = task
            task.add_done_callback(lambda _: self._loading.pop(name, None))
        return await asyncio.shield(self._loading[name])

    async def unload(self, name: str) -> Freed:
        """Unload a model once its answers are written (at most `drain_limit_s`).

        Raises NotLoadedError.
        """
        engine = self.engines.get(name)
        if engine is None or engine.state not in ("ready", "failed"):
            raise not_loaded(name, self.names())
        began = time.monotonic()
        engine.state = "unloading" if engine.state == "ready" else engine.state
        while engine.in_flight and time.monotonic() - began < self.settings.drain_limit_s:
            await asyncio.sleep(0.1)
        before = await anyio.to_thread.run_sync(engine.memory)
        await anyio.to_thread.run_sync(engine.stop)
        after = await anyio.to_thread.run_sync(engine.memory)
        if self.engines.get(name) is engine:  # a failed one may have been loaded anew meanwhile
            del self.engines[name]
        freed = Freed(before, after, time.monotonic() - began)
        log.info("unloaded %s: %s", name, freed.as_json())
        return freed

    async def load_adapter(self, name: str) -> Target:
        """Load an adapter onto its base, which must be loaded; a base that was loaded without room
        for such an adapter is loaded again. Raises NotLoadedError, LoadError.
        """
        adapter, base = self._adapter_and_base(name)
        engine = self.engines.get(base.id)
        if engine is None or engine.state != "ready":
            zh, en = f"它的基座 {base.id} 没有加载；先加载它", f"its base {base.id} is not loaded"
            raise NotLoadedError(f"{name}: {either(zh, en + '; load that first')}")
        async with self._changing:
            if adapter.rank > engine.rank:
                log.info("loading %s again, with room for %s", base.id, name)
                with contextlib.suppress(NotLoadedError):  # somebody else has unloaded it
                    await self.unload(base.id)
                engine = await self.load(base.id)
            await engine.load_adapter(adapter, self.client)
        return self._target(engine, name, adapter)

    async def unload_adapter(self, name: str) -> None:
        """Unload an adapter; its base stays. Raises NotLoadedError, LoadError."""
        for engine in self.ready():
            if name in engine.adapters:
                async with self._changing:
                    await engine.unload_adapter(name, self.client)
                return
        raise not_loaded(name, self.names())

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
            raise unknown("model", name, [*there.models, *there.adapters])
        if not load:
            raise not_loaded(name, self.names())
        if name in there.models:
            engine = await self.load(name)
            return self._target(engine, name)
        _, base = self._adapter_and_base(name)
        await self.load(base.id)
        return await self.load_adapter(name)

    def _adapter_and_base(self, name: str) -> tuple[Adapter, Model]:
        there = self.found()
        adapter = there.adapters.get(name)
        if adapter is None:
            raise unknown("adapter", name, there.adapters)
        if not self.settings.max_loras:
            off = either("没有启用 adapter（--max-loras 0）", "adapters are off (--max-loras 0)")
            raise LoadError(off)
        loaded = [engine.model for engine in self.ready()]
        for model in [*loaded, *there.models.values()]:
            if adapter.fits(model, self.settings.root):
                return adapter, model
        zh, en = "它的基座不在这里的模型之中：", "its base is not among the models here: "
        raise LoadError(f"{name}: {either(zh, en)}{adapter.base}")

    def _target(self, engine: Engine, name: str, adapter: Adapter | None = None) -> Target:
        # An adapter carries the prompt that it was trained with; an older one has its base's.
        own = adapter is not None and (adapter.path / SYSTEM_PROMPT_FILE).is_file()
        directory = adapter.path if adapter is not None and own else engine.model.path
        return Target(engine, name, system_prompt_for(directory))

    async def _start(self, model: Model, there: Catalogue, alone: bool) -> Engine:
        root = self.settings.root
        # Without adapters vLLM leaves out what they need, which costs even when none is loaded.
        ranks = [a.rank for a in there.adapters.values() if a.fits(model, root)]
        rank = max(16, *ranks) if ranks and self.settings.max_loras else 0
        engine = Engine(model, self.settings, rank)
        self.engines[model.id] = engine
        try:
            async with self._starting:
                for other in self.ready() if alone else []:
                    await self.unload(other.model.id)
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
