"""The engine on vLLM, from 0.10.0 to the newest: one thread owns the step loop.

`LLM.generate` answers a list and nothing else until it is done. The judge's clock asks for more:
calls that arrive while others run must join them, and at a deadline there must be something to
return. So this thread feeds `llm.llm_engine` itself (step_loop.py). Measured: the loop costs what
`LLM.generate` costs (bench/overhead.py).
"""

import dataclasses
import logging
import os
import queue
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any

from . import devices
from .engine import Batch, EngineError
from .settings import Settings
from .step_loop import StepLoop
from .vllm_arguments import engine_arguments, import_model_class, read_config

log = logging.getLogger("answering.vllm")


class VllmEngine:
    """`Engine` on `vllm.LLM`. Greedy by default; answers end at the model's own end token."""

    name = "vllm"

    # Only for measurements: answers go on to their max_tokens, so that the work is the same.
    ignore_eos = False

    def __init__(self, settings: Settings):
        self.settings = settings
        self._inbox: queue.SimpleQueue[Batch | Callable[[Any], None] | None] = queue.SimpleQueue()
        self._ready: Future[None] = Future()
        self._error: EngineError | None = None
        self._info: dict[str, Any] = {"name": self.name}
        self._thread = threading.Thread(target=self._run, name="vllm-engine", daemon=True)
        self.max_model_len = settings.max_model_len
        self.warmup_questions = 1

    def start(self) -> None:
        """Load the model; returns when it can answer. Raises EngineError."""
        self._thread.start()
        self._ready.result()

    def submit(self, batch: Batch) -> None:
        """Hand a batch to the engine's thread. Raises EngineError when that has died."""
        if self._error is not None:
            raise self._error
        self._inbox.put(batch)
        # The thread may have died between the check and the put: nobody reads the inbox then.
        if self._error is not None:
            batch.fail(self._error)

    def call(self, function: Callable[[Any], Any]) -> Any:
        """What `function(llm)` returns, run by the engine's thread between two steps.

        For measurements and checks: nothing else may touch vLLM's `LLM` object.
        """
        future: Future[Any] = Future()

        def run(llm: Any) -> None:
            try:
                future.set_result(function(llm))
            except Exception as error:  # noqa: BLE001 - it belongs to the caller, not the engine
                future.set_exception(error)

        self._inbox.put(run)
        return future.result()

    def healthy(self) -> bool:
        """Whether the engine's thread is up."""
        return self._error is None and self._thread.is_alive()

    def info(self) -> dict[str, Any]:
        """vLLM's version, the device and the arguments in force."""
        return self._info

    def stop(self) -> None:
        """End the engine's thread; unfinished batches fail."""
        self._inbox.put(None)
        self._thread.join(timeout=30)

    def _run(self) -> None:
        # vLLM 0.10.0 falls back to its old engine when built outside the main thread, unless told.
        os.environ.setdefault("VLLM_USE_V1", "1")
        try:
            llm = self._load()
        except Exception as error:  # noqa: BLE001 - whatever stops vLLM reaches start()'s caller
            log.error("vLLM failed to start", exc_info=True)
            self._error = EngineError(f"vLLM failed to start: {type(error).__name__}: {error}")
            self._ready.set_exception(self._error)
            return
        loop = StepLoop(llm.llm_engine, self.settings.temperature, self.ignore_eos)
        self._ready.set_result(None)
        stopped = EngineError("the engine was stopped")
        try:
            self._serve(llm, loop)
        except Exception as error:  # noqa: BLE001 - a dead engine must fail its batches, not hang
            log.error("vLLM died", exc_info=True)
            stopped = EngineError(f"vLLM died: {type(error).__name__}: {error}")
        finally:
            self._error = stopped
            loop.fail_all(stopped)
            while not self._inbox.empty():
                if isinstance(batch := self._inbox.get(), Batch):
                    batch.fail(stopped)
            _shut_down(llm)

    def _serve(self, llm: Any, loop: "StepLoop") -> None:
        """Take batches and step until told to stop."""
        while True:
            while not self._inbox.empty() or not loop.busy:
                work = self._inbox.get()  # blocks only while there is nothing to do
                if work is None:
                    return
                if isinstance(work, Batch):
                    loop.add(work)
                else:
                    work(llm)
            loop.step()

    def _load(self) -> Any:
        began = time.monotonic()
        device = devices.detect()
        environment = devices.apply_environment(device)
        in_process = self.settings.engine_in_process
        in_process = device.in_process if in_process is None else in_process
        os.environ["VLLM_ENABLE_V1_MULTIPROCESSING"] = "0" if in_process else "1"

        import vllm
        from vllm.engine.arg_utils import EngineArgs

        wanted = engine_arguments(self.settings, device)
        known = {f.name for f in dataclasses.fields(EngineArgs)}
        arguments = {name: value for name, value in wanted.items() if name in known}
        for name in wanted.keys() - known:
            log.warning("vLLM %s does not know %s: dropped", vllm.__version__, name)
        log.info("vLLM %s on %s (%s): %s", vllm.__version__, device.name, device.kind, arguments)
        if in_process and arguments.get("tensor_parallel_size", 1) == 1:
            import_model_class(read_config(self.settings).get("architectures", []))
        llm = vllm.LLM(**arguments)
        self.max_model_len = llm.llm_engine.model_config.max_model_len
        # On a processor a full batch takes long and warms nothing that a small one does not.
        self.warmup_questions = 16 if device.kind == "cpu" else arguments.get("max_num_seqs", 256)
        self._info |= {
            "version": vllm.__version__,
            "device": {"kind": device.kind, "name": device.name, "environment": environment},
            "in_process": in_process,
            "arguments": arguments,
            "max_model_len": self.max_model_len,
            "load_seconds": round(time.monotonic() - began, 2),
        }
        return llm


def _shut_down(llm: Any) -> None:
    """Free the device; newer versions have a method for it, 0.10.0 only its engine core's."""
    core = getattr(llm.llm_engine, "engine_core", None)
    if core is not None:
        core.shutdown()
