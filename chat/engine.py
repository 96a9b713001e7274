"""One model in vLLM's own OpenAI server: its command, its start and stop, its adapters."""

import contextlib
import os
import random
import secrets
import threading
from collections.abc import Iterator
from typing import Any, Literal

import httpx
from prometheus_client.parser import text_string_to_metric_families

from chat.catalogue import Adapter, Model
from chat.memory import Gpu, Memory, gpus, measure
from chat.settings import ChatSettings
from common.model_shape import ShapeError, read_shape
from common.ports import PortTakenError, check_port
from common.service_process import ServiceError, ServiceProcess, running
from serving.engine import devices

State = Literal["loading", "ready", "unloading", "failed", "stopped"]
SERVER = "vllm.entrypoints.openai.api_server"  # what `vllm serve` runs, in every version we know
STOP_GRACE_S = 20.0
PORTS = (20000, 32000)
TALKS = 64  # whose whole context the KV cache on a GPU is made for
ACTIVATIONS = 3 << 30  # bytes on a GPU beside weights and KV cache: activations, CUDA graphs
GPU_SHARE = 0.9  # at most, of one card
LORA_RANKS = (8, 16, 32, 64, 128, 256, 320, 512)  # vLLM's --max-lora-rank takes no other


class LoadError(RuntimeError):
    """A model or adapter that could not be loaded; the message says why and what to do."""


class Engine:
    """A model's server. `name` of a loaded thing is what `model` of a request says."""

    def __init__(self, model: Model, settings: ChatSettings, rank: int):
        """rank: the highest of the adapters that may come."""
        self.model = model
        self.settings = settings
        self.rank = rank
        self.state: State = "loading"
        self.problem = ""
        self.adapters: dict[str, Adapter] = {}
        self.in_flight = 0
        self.load_seconds: float | None = None
        self._key = secrets.token_urlsafe(24)
        self._stack = contextlib.ExitStack()
        self._service: ServiceProcess | None = None
        self._lock = threading.Lock()

    @property
    def url(self) -> str:
        """Its address; for this machine, and with the key of `headers`, only."""
        assert self._service is not None
        return self._service.url

    @property
    def headers(self) -> dict[str, str]:
        """What its OpenAI server asks of every request."""
        return {"Authorization": f"Bearer {self._key}"}

    @property
    def key(self) -> str:
        """The same for an OpenAI client."""
        return self._key

    @property
    def context(self) -> int:
        """Tokens of prompt and answer together."""
        return min(self.settings.max_model_len, self.model.context)

    def start(self) -> None:
        """Start and wait until it answers. Blocks. Raises LoadError; it is then stopped."""
        cards = gpus()
        command = server_command(self.model, self.settings, self.rank, cards)
        log = self.settings.report_dir / f"engine-{self.model.id.replace('/', '-')}.log"
        try:
            with self._lock:
                self._service = self._stack.enter_context(
                    running(
                        command,
                        port=_port(),
                        log=log,
                        environment=self._environment(cards),
                        grace=STOP_GRACE_S,
                    )
                )
            self.load_seconds = self._service.wait_until_ready(
                self.settings.start_limit_s, "/health"
            )
        except (ServiceError, OSError) as error:
            self._stack.close()
            self.state, self.problem = "failed", str(getattr(error, "error", error))
            raise LoadError(f"{self.model.id}: {error}") from error
        self.state = "ready"

    def stop(self) -> None:
        """Stop it with all its processes. Blocks, some seconds."""
        with self._lock:
            self._stack.close()
        if self.state != "failed":
            self.state = "stopped"

    def check(self) -> None:
        """Notice that the server has ended by itself, and say why."""
        if self.state == "ready" and self._service and self._service.process.poll() is not None:
            self.state, self.problem = "failed", self._service.last_error()

    def memory(self) -> Memory:
        """Memory now, its own processes among it."""
        return measure(self._service.process.pid if self._service else None)

    async def load_adapter(self, adapter: Adapter, client: httpx.AsyncClient) -> None:
        """Load, or load again, an adapter while others are answered. Raises LoadError."""
        if adapter.id in self.adapters:
            await self.unload_adapter(adapter.id, client)
        body = {"lora_name": adapter.id, "lora_path": str(adapter.path.resolve())}
        await self._lora("load_lora_adapter", body, client)
        self.adapters[adapter.id] = adapter

    async def unload_adapter(self, name: str, client: httpx.AsyncClient) -> None:
        """Unload an adapter; answers that it is writing come to their end. Raises LoadError."""
        await self._lora("unload_lora_adapter", {"lora_name": name}, client)
        self.adapters.pop(name, None)

    async def figures(self, client: httpx.AsyncClient) -> dict[str, float]:
        """vLLM's metrics by name, those of one name added up (`vllm:num_requests_running`, …).

        Raises httpx.HTTPError.
        """
        told = await client.get(f"{self.url}/metrics", timeout=5)
        told.raise_for_status()
        found: dict[str, float] = {}
        for family in text_string_to_metric_families(told.text):
            for sample in family.samples:
                found[sample.name] = found.get(sample.name, 0) + sample.value
        return found

    @contextlib.contextmanager
    def busy(self) -> Iterator[None]:
        """Around a request, so that an unload waits for it."""
        self.in_flight += 1
        try:
            yield
        finally:
            self.in_flight -= 1

    async def _lora(self, call: str, body: dict[str, str], client: httpx.AsyncClient) -> None:
        try:
            told = await client.post(
                f"{self.url}/v1/{call}", json=body, headers=self.headers, timeout=120
            )
        except httpx.HTTPError as error:
            raise LoadError(f"{body['lora_name']}: {type(error).__name__} {error}") from error
        if told.status_code != 200:
            raise LoadError(f"{body['lora_name']}: vLLM refused it: {_message(told)}")

    def _environment(self, cards: list[Gpu]) -> dict[str, str]:
        defaults = {} if cards else devices.cpu("").environment
        return {
            **defaults,
            "OMP_WAIT_POLICY": "passive",  # see devices.before_imports
            **os.environ,
            # Not on the command line, which every user of this machine can read.
            "VLLM_API_KEY": self._key,
            "VLLM_ALLOW_RUNTIME_LORA_UPDATING": "1",
            "VLLM_NO_USAGE_STATS": "1",
            "HF_HUB_OFFLINE": "1",
        }


def _port() -> int:
    """A free port below those that the kernel lends to outgoing connections: vLLM opens its port
    only after half a minute, when such a one may have been lent to somebody."""
    while True:
        port = random.randrange(*PORTS)
        with contextlib.suppress(PortTakenError):
            check_port(port)
            return port


def server_command(
    model: Model, settings: ChatSettings, rank: int, cards: list[Gpu]
) -> tuple[str, ...]:
    """The command of `vllm serve` for a model on this machine; `{port}` is filled in later.

    Raises LoadError when the memory that is free will not do.
    """
    python = str(settings.engine_python.absolute())  # not resolved: a venv's python is a link
    path = str(model.path.resolve())
    context = min(settings.max_model_len, model.context)
    chosen: dict[str, Any] = {
        "model": path,
        "served_model_name": model.id,
        "host": "127.0.0.1",
        "port": "{port}",
        "max_model_len": context,
        # Weights are data: no pickle is unpacked. Sampling is the caller's, as in the service.
        "load_format": "safetensors",
        "generation_config": "vllm",
        "disable_uvicorn_access_log": True,
    }
    if settings.max_loras:
        ranks = [each for each in LORA_RANKS if each >= rank]
        chosen |= {"enable_lora": True, "max_loras": settings.max_loras}
        chosen["max_lora_rank"] = ranks[0] if ranks else LORA_RANKS[-1]
    if cards:
        chosen["gpu_memory_utilization"] = gpu_share(model, context, cards)
    else:
        chosen |= devices.cpu("").engine_args
        _check_host_memory(model)
    words: list[str] = []
    for name, value in chosen.items():
        option = f"--{name.replace('_', '-')}"
        words += [option] if value is True else [option, str(value)]
    return (python, "-m", SERVER, *words, *settings.engine_args)


def gpu_share(model: Model, context: int, cards: list[Gpu]) -> float:
    """The share of a card for `--gpu-memory-utilization`: weights, and KV cache for TALKS talks.

    Less than all, so that a second model can stand beside. vLLM takes the first card. Raises
    LoadError when not even the weights and a tenth of the KV cache fit into what is free.
    """
    card = cards[0]
    try:
        per_token = read_shape(str(model.path)).kv_bytes
    except ShapeError:  # an architecture that the kit cannot count: as much as for a 4B
        per_token = 144 << 10
    cache = TALKS * context * per_token
    fixed = model.weight_bytes + ACTIVATIONS
    free = card.total - card.used
    if fixed + cache / 10 > free:
        raise LoadError(_too_little(model, fixed + cache // 10, free, card.name))
    # A little less than what is free: vLLM refuses to start with a share that is not.
    most = min(GPU_SHARE, free / card.total - 0.02)
    return round(min(most, (fixed + cache) / card.total), 3)


def _check_host_memory(model: Model) -> None:
    cache = float(os.environ.get("VLLM_CPU_KVCACHE_SPACE", "1")) * (1 << 30)
    needed, free = int(model.weight_bytes * 1.2 + cache) + (1 << 30), measure().available
    if needed > free:
        raise LoadError(_too_little(model, needed, free, "memory"))


def _too_little(model: Model, needed: float, free: float, where: str) -> str:
    return (
        f"{model.id} needs about {needed / 2**30:.1f} GiB and {free / 2**30:.1f} GiB are free "
        f"({where}): unload another model first"
    )


def _message(told: httpx.Response) -> str:
    try:
        said = told.json()
    except ValueError:
        return told.text[:500]
    error = said.get("error", said) if isinstance(said, dict) else said
    return str(error.get("message", error) if isinstance(error, dict) else error)
