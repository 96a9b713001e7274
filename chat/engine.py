"""One model in vLLM's own OpenAI server: its start and stop, its adapters, its figures."""

import contextlib
import random
import secrets
import threading
from collections.abc import Iterator
from typing import Literal

import httpx
from prometheus_client.parser import text_string_to_metric_families

from chat.catalogue import Adapter, Model
from chat.command import server_command, server_environment
from chat.errors import LoadError
from chat.memory import Memory, gpus, measure
from chat.settings import ChatSettings
from common.language import either
from common.ports import PortTakenError, check_port
from common.service_process import ServiceError, ServiceProcess, running

State = Literal["loading", "ready", "unloading", "failed", "stopped"]
STOP_GRACE_S = 20.0
PORTS = (20000, 32000)
METRICS = (
    "vllm:generation_tokens_total",
    "vllm:num_requests_running",
    "vllm:num_requests_waiting",
    "vllm:kv_cache_usage_perc",
)


class Engine:
    """A model's server. `name` of a loaded thing is what `model` of a request says."""

    def __init__(self, model: Model, settings: ChatSettings, rank: int):
        """rank: the highest of the adapters that may come; 0: none."""
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
                        environment=server_environment(self._key, cards),
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
        """vLLM's metrics of METRICS by name, those of one name added up. Raises httpx.HTTPError."""
        told = await client.get(f"{self.url}/metrics", timeout=5)
        told.raise_for_status()
        found: dict[str, float] = {}
        # Of some hundred kilobytes: parsing all would hold up streams that are passed on.
        wanted = "".join(f"{line}\n" for line in told.text.split("\n") if line.startswith(METRICS))
        for family in text_string_to_metric_families(wanted):
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
            refused = either("vLLM 不接受：", "vLLM refused it: ")
            raise LoadError(f"{body['lora_name']}: {refused}{_message(told)}")


def _port() -> int:
    """A free port below those that the kernel lends to outgoing connections: vLLM opens its port
    only after half a minute, when such a one may have been lent to somebody."""
    while True:
        port = random.randrange(*PORTS)
        with contextlib.suppress(PortTakenError):
            check_port(port)
            return port


def _message(told: httpx.Response) -> str:
    try:
        said = told.json()
    except ValueError:
        return told.text[:500]
    error = said.get("error", said) if isinstance(said, dict) else said
    return str(error.get("message", error) if isinstance(error, dict) else error)
