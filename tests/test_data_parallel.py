"""vLLM's asynchronous engine stepped like its `llm_engine`: a stand-in for the former, no model."""

import asyncio
import time
from types import SimpleNamespace
from typing import Any

import pytest

from serving.engine import data_parallel
from serving.engine.data_parallel import DataParallelEngine


class Cores:
    """Two cores that deliver what they are told to, as AsyncLLM has them."""

    def __init__(self) -> None:
        parallel = SimpleNamespace(data_parallel_size=2)
        self.vllm_config = SimpleNamespace(parallel_config=parallel)
        self.model_config = self.output_processor = None
        self.engine_core = self
        self.queues: dict[str, asyncio.Queue[Any]] = {}
        self.outputs: asyncio.Queue[Any] = asyncio.Queue()
        self.aborted: list[str] = []
        self.ended = False
        self.handler = asyncio.get_running_loop().create_task(self.handle())

    async def handle(self) -> None:
        while True:
            for request_id, output in await self.engine_core.get_output_async():
                self.queues[request_id].put_nowait(output)

    async def get_output_async(self) -> Any:
        return await self.outputs.get()

    async def add_request(self, request_id: str, prompt: Any, params: Any) -> Any:
        if not prompt["prompt_token_ids"]:
            raise ValueError("empty prompt")
        queue: asyncio.Queue[Any] = asyncio.Queue()
        self.queues[request_id] = queue

        async def get() -> Any:
            output = await queue.get()
            if isinstance(output, Exception):
                raise output
            return output

        return SimpleNamespace(get=get)

    async def abort(self, request_id: str) -> None:
        self.aborted.append(request_id)

    async def reset_prefix_cache(self) -> None:
        """0.10.0 returns nothing."""

    def shutdown(self) -> None:
        self.ended = True


@pytest.fixture
def engine(monkeypatch: pytest.MonkeyPatch):
    async def start(arguments: dict[str, Any]) -> Cores:
        return Cores()

    monkeypatch.setattr(data_parallel, "_start", start)
    it = DataParallelEngine({})
    cores: Any = it._llm
    cores.outputs.put_nowait([])  # the first wait began before the deliveries were counted
    it.step()
    for name in ("a", "b", "c"):
        it.add_request(name, {"prompt_token_ids": [1]}, None)
    yield it
    it.shutdown()
    assert cores.ended and cores.handler.done()


def test_every_answer_comes_out_once_whenever_it_comes(engine: DataParallelEngine) -> None:
    cores: Any = engine._llm
    assert engine.step() == []
    cores.outputs.put_nowait([("b", "B")])
    assert engine.step() == ["B"]
    cores.outputs.put_nowait([("a", "A"), ("c", "C")])
    assert engine.step() == ["A", "C"]
    assert engine.step() == []


def test_a_step_lasts_until_each_core_has_delivered(engine: DataParallelEngine) -> None:
    cores: Any = engine._llm
    for _ in range(2):
        cores.outputs.put_nowait([])
    began = time.monotonic()
    assert engine.step() == []
    assert time.monotonic() - began < data_parallel.STEP_S / 2
    cores.outputs.put_nowait([])
    engine.step()  # the other core has nothing to do: no longer than that
    assert data_parallel.STEP_S / 2 < time.monotonic() - began < 10 * data_parallel.STEP_S


def test_a_failure_is_the_steps_and_a_refusal_the_requests(engine: DataParallelEngine) -> None:
    cores: Any = engine._llm
    with pytest.raises(ValueError, match="empty"):
        engine.add_request("d", {"prompt_token_ids": []}, None)
    cores.outputs.put_nowait([("a", RuntimeError("the core is gone"))])
    with pytest.raises(RuntimeError, match="gone"):
        engine.step()
    engine.abort_request(["a", "b"])
    assert cores.aborted == ["a", "b"]
    cores.outputs.put_nowait([("b", "B"), ("c", "C")])
    assert engine.step() == ["C"], "of what was dropped nothing is delivered"
    assert engine.reset_prefix_cache() is True
