"""Several engine cores side by side: vLLM's asynchronous engine, stepped like its `llm_engine`.

vLLM's `LLM(...)` refuses `data_parallel_size` above 1 (0.25.1, 0.32.0). `AsyncLLM`, which `vllm
serve` runs on, takes it: it starts the cores and spreads requests over them. Its event loop
belongs to the engine's thread and runs only within the methods here, so that nothing else changes:
the step loop reads partial answers between two steps, as with one core.
"""

import asyncio
import contextlib
import dataclasses
import inspect
from collections.abc import Coroutine, Iterable
from typing import Any

# Longest wait of a step, in seconds: deadlines are looked at between two of them.
STEP_S = 0.05


class DataParallelEngine:
    """What the step loop uses of `llm_engine`, for all cores together.

    arguments: of `LLM(...)`. Raises what vLLM raises when it does not start.
    """

    def __init__(self, arguments: dict[str, Any]):
        self._loop = asyncio.new_event_loop()
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._finished: list[Any] = []
        self._error: BaseException | None = None
        self._wake = asyncio.Event()
        self._delivered = 0
        try:
            self._llm = self._loop.run_until_complete(_start(arguments))
        except BaseException:
            self._loop.close()
            raise
        self.vllm_config = self._llm.vllm_config
        self.model_config = self._llm.model_config
        self.output_processor = self._llm.output_processor
        self.cores = self.vllm_config.parallel_config.data_parallel_size
        self._count_deliveries(self._llm.engine_core)

    def get_tokenizer(self) -> Any:
        """vLLM's tokenizer of the model, as `LLM` has it."""
        found = self._llm.get_tokenizer()
        return self._run(found) if inspect.isawaitable(found) else found  # 0.10.0: to be awaited

    def add_request(self, request_id: str, prompt: dict[str, Any], params: Any) -> None:
        """Hand a request over. Raises what vLLM raises for a prompt that it refuses."""
        queue = self._run(self._llm.add_request(request_id, prompt, params))
        self._tasks[request_id] = self._loop.create_task(self._collect(request_id, queue))

    def step(self) -> list[Any]:
        """What has finished since the last step: waits until every core has had time for a step of
        its own, or a request finishes. Raises what the engine failed with."""
        self._run(self._wait())
        if self._error is not None:
            error, self._error = self._error, None
            raise error
        finished, self._finished = self._finished, []
        return finished

    def abort_request(self, request_ids: Iterable[str]) -> None:
        """Drop requests; nothing more is delivered of them."""
        ids = list(request_ids)
        for request_id in ids:
            if task := self._tasks.pop(request_id, None):
                task.cancel()
        self._run(self._abort(ids))

    def reset_prefix_cache(self) -> bool:
        """Forget the KV cache of former prompts. False: it is still in use."""
        return self._run(self._llm.reset_prefix_cache()) is not False

    def shutdown(self) -> None:
        """End the cores' processes."""
        for task in self._tasks.values():
            task.cancel()
        self._llm.shutdown()
        left = asyncio.all_tasks(self._loop)
        for task in left:
            task.cancel()
        self._run(_all(left))
        self._loop.close()

    def _run(self, work: Coroutine[Any, Any, Any]) -> Any:
        return self._loop.run_until_complete(work)

    async def _wait(self) -> None:
        with contextlib.suppress(asyncio.TimeoutError):
            await asyncio.wait_for(self._wake.wait(), STEP_S)
        self._wake.clear()
        self._delivered = 0

    async def _collect(self, request_id: str, queue: Any) -> None:
        try:
            output = await queue.get()
            self._finished.append(output)
        except Exception as error:  # noqa: BLE001 - it belongs to the caller of `step`
            self._error = error
        del self._tasks[request_id]
        self._wake.set()

    async def _abort(self, ids: list[str]) -> None:
        for request_id in ids:  # 0.10.0 takes one at a time
            await self._llm.abort(request_id)

    def _count_deliveries(self, core: Any) -> None:
        """A step is over when as many cores have delivered as there are: what the loop times is
        then the step of one core."""
        get_output = core.get_output_async

        async def counted() -> Any:
            outputs = await get_output()
            self._delivered += 1
            if self._delivered >= self.cores:
                self._wake.set()
            return outputs

        core.get_output_async = counted


async def _start(arguments: dict[str, Any]) -> Any:
    # Within the running loop, for only then does the engine read its cores' output from now on.
    from vllm.engine.arg_utils import AsyncEngineArgs
    from vllm.usage.usage_lib import UsageContext
    from vllm.v1.engine.async_llm import AsyncLLM

    quiet = {"disable_log_requests": True}  # 0.10.0 logs every request unless told
    known = {field.name for field in dataclasses.fields(AsyncEngineArgs)}
    arguments = {**{k: v for k, v in quiet.items() if k in known}, **arguments}
    # The context decides on vLLM's own defaults for what is not given: those of `LLM(...)`.
    return AsyncLLM.from_engine_args(
        AsyncEngineArgs(**arguments), usage_context=UsageContext.LLM_CLASS
    )


async def _all(tasks: Iterable["asyncio.Task[Any]"]) -> None:
    await asyncio.gather(*tasks, return_exceptions=True)
