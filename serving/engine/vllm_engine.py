"""The engine on vLLM, from 0.10.0 to the newest: one thread owns the step loop.

`LLM.generate` answers a list and nothing else until it is done. The judge's clock asks for more:
calls that arrive while others run must join them, and at a deadline there must be something to
return. So this thread feeds `llm.llm_engine` itself (step_loop.py). Measured: the loop costs what
`LLM.generate` costs (bench/overhead.py).
"""

import dataclasses
import functools
import gc
import logging
import multiprocessing
import multiprocessing.connection
import os
import queue
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from types import SimpleNamespace
from typing import Any

from serving.engine import devices
from serving.engine.arguments import (
    core_in_process,
    engine_arguments,
    import_model_class,
    read_config,
)
from serving.engine.base import Batch, EngineError
from serving.engine.block_shortcut import shorten_block_requests
from serving.engine.compile_cache import use_compile_cache
from serving.engine.crash_report import spread, write_crash_report
from serving.engine.data_parallel import DataParallelEngine
from serving.engine.detokenize import answer_text
from serving.engine.recovery import Fault, Recovery, fault_of
from serving.engine.scheduler import Request, StepLoop
from serving.settings import Settings

log = logging.getLogger("serving.vllm")

# How often an idle engine's process is looked at.
IDLE_CHECK_S = 2.0
# A step that takes longer will not end: it cannot be interrupted, only the process can.
STUCK_S = 300.0
# With graphs, freed slots are filled when this part of all is free. With no graph above 256, 358
# questions took 1.28 times what they take at once when 256 slots were filled one by one, and 1.09
# times so (measured, H100, vLLM 0.25.1).
REFILL_PART = 8
# What `stop` waits for the thread: a supervisor that said TERM kills after 10 s.
STOP_S = 4.0


class VllmEngine:
    """`Engine` on `vllm.LLM`. Greedy by default; answers end at the model's own end token."""

    name = "vllm"

    def __init__(self, settings: Settings):
        self.settings = settings
        self._inbox: queue.SimpleQueue[Batch | Callable[[Any], None] | None] = queue.SimpleQueue()
        self._ready: Future[None] = Future()
        self._error: EngineError | None = None
        self._info: dict[str, Any] = {"name": self.name}
        self._thread = threading.Thread(target=self._run, name="vllm-engine", daemon=True)
        self._llm: Any = None
        self._loop: StepLoop | None = None
        self._recovery: Recovery | None = None
        self._core_died = threading.Event()
        self._load_seconds = 0.0
        self._processes: set[Any] = set()
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
        """Whether the engine's thread is up, and not in a step that will not end."""
        since = self._loop.in_step_since if self._loop is not None else None
        stuck = since is not None and time.monotonic() - since > STUCK_S
        return self._error is None and self._thread.is_alive() and not stuck

    @property
    def recovering(self) -> bool:
        """Whether the engine is being mended: it delivers nothing meanwhile."""
        return self._recovery is not None and self._recovery.mending

    def stats(self) -> dict[str, float]:
        """Requests running and waiting, answers at once, faults and what came of them."""
        loop, recovery = self._loop, self._recovery
        if loop is None or recovery is None:
            return {}
        return {
            "running": min(loop.running, loop.slots),
            "waiting": max(0, loop.running - loop.slots) + loop.waiting + recovery.waiting,
            "slots": loop.slots,
            "faults": recovery.faults,
            "remakes": recovery.remakes,
            "blamed": recovery.blamed,
        }

    def info(self) -> dict[str, Any]:
        """vLLM's version, the device and the arguments in force; of the running engine also what
        `stats` tells."""
        return self._info | self.stats()

    def stop(self) -> None:
        """End the engine's thread; unfinished batches fail."""
        self._inbox.put(None)
        self._thread.join(timeout=STOP_S)
        if self._thread.is_alive():
            # The service may be gone before the thread is done, and nobody ends these then.
            for process in self._processes:
                process.kill()

    def remake(self) -> Any:
        """A new engine in place of the old one. Raises EngineError."""
        old, self._llm = self._llm, None
        if old is not None:
            try:
                _shut_down(old)
            except Exception as error:  # noqa: BLE001 - it is lost either way
                log.warning("the old engine does not shut down: %s", error)
        del old
        self.free_memory()
        try:
            self._llm = self._load()
        except Exception as error:  # noqa: BLE001 - whatever stops vLLM
            log.error("vLLM failed to start again", exc_info=True)
            reason = f"vLLM does not start again: {type(error).__name__}: {error}"
            raise EngineError(reason) from None  # its frames would hold what it had loaded
        return self._llm.llm_engine

    def remake_seconds(self) -> float:
        """What the last load took."""
        return self._load_seconds

    def free_memory(self) -> None:
        """Collect what nobody refers to, and give the device its cached memory back."""
        gc.collect()
        torch = sys.modules["torch"]
        if torch.cuda.is_available():
            torch.cuda.empty_cache()

    def report(self, fault: Fault, held: list[Request], outcome: str) -> None:
        """A crash report file: the shape of the work, never its text."""
        now = time.monotonic()
        batches = {request.batch for request in held}
        shape = {
            "calls": len({batch.call for batch in batches}),
            "prompt_tokens": spread([len(r.batch.prompts[r.index]) for r in held]),
            "max_tokens": spread([r.batch.max_tokens[r.index] for r in held]),
            "seconds_left": spread([round(batch.deadline - now, 1) for batch in batches]),
        }
        write_crash_report(
            self.settings.crash_dir, fault.reason, fault.trace, outcome, shape, self.info()
        )

    def _run(self) -> None:
        # vLLM 0.10.0 falls back to its old engine when built outside the main thread, unless told.
        os.environ.setdefault("VLLM_USE_V1", "1")
        try:
            if self.settings.compile_cache_dir is not None:  # once: an engine made again finds it
                use_compile_cache(self.settings.compile_cache_dir)
            self._llm = self._load()
        except Exception as error:  # noqa: BLE001 - whatever stops vLLM reaches start()'s caller
            log.error("vLLM failed to start", exc_info=True)
            self._error = EngineError(f"vLLM failed to start: {type(error).__name__}: {error}")
            self._ready.set_exception(self._error)
            return
        engine = self._llm.llm_engine
        slots = engine.vllm_config.scheduler_config.max_num_seqs * getattr(engine, "cores", 1)
        decode = functools.partial(answer_text, self._llm.get_tokenizer())
        # Without graphs all steps cost alike, and an empty slot is only lost.
        graphs = not engine.vllm_config.model_config.enforce_eager
        refill = max(1, slots // REFILL_PART) if graphs else 1
        self._loop = StepLoop(engine, decode, self.settings.temperature, slots, refill)
        self._recovery = Recovery(self._loop, self)
        del engine
        self._ready.set_result(None)
        stopped = EngineError("the engine was stopped")
        try:
            self._serve(self._loop, self._recovery)
        except EngineError as error:
            log.critical("%s", error)
            stopped = error
        except Exception as error:  # noqa: BLE001 - a dead engine must fail its batches, not hang
            log.critical("the engine's thread died", exc_info=True)
            stopped = EngineError(f"vLLM died: {type(error).__name__}: {error}")
        finally:
            self._error = stopped
            self._recovery.give_up(stopped)
            while not self._inbox.empty():
                if isinstance(batch := self._inbox.get(), Batch):
                    batch.fail(stopped)
            if self._llm is not None:
                _shut_down(self._llm)

    def _serve(self, loop: StepLoop, recovery: Recovery) -> None:
        """Take batches and step until told to stop. Raises EngineError when it is over."""
        while True:
            fault = None
            try:
                if not self._take_work(loop, recovery):
                    return
                if self._core_died.is_set():
                    raise EngineError("vLLM's engine process is gone")
                if loop.busy:
                    loop.step()
            except Exception as error:  # noqa: BLE001 - what the engine raises is up to it
                fault = fault_of(error, alive=not self._core_died.is_set())
            # Outside of `except`, where the exception's frames no longer hold the engine.
            if fault is None:
                recovery.advance()
            else:
                recovery.failed(fault)

    def _take_work(self, loop: StepLoop, recovery: Recovery) -> bool:
        """What has arrived, into the loop; blocks a while when there is nothing. False: stop."""
        while not self._inbox.empty() or not loop.busy:
            try:
                work = self._inbox.get(timeout=IDLE_CHECK_S)
            except queue.Empty:
                return True
            if work is None:
                return False
            if isinstance(work, Batch):
                recovery.accept(work)
                if not loop.busy:
                    recovery.advance()
            else:
                work(self._llm)
        return True

    def _load(self) -> Any:
        began = time.monotonic()
        device = devices.detect()
        environment = devices.apply_environment(device)
        wanted = engine_arguments(self.settings, device)
        in_process = core_in_process(self.settings, device, wanted)
        os.environ["VLLM_ENABLE_V1_MULTIPROCESSING"] = "0" if in_process else "1"

        import vllm
        from vllm.engine.arg_utils import EngineArgs

        known = {f.name for f in dataclasses.fields(EngineArgs)}
        arguments = {name: value for name, value in wanted.items() if name in known}
        for name in wanted.keys() - known:
            log.warning("vLLM %s does not know %s: dropped", vllm.__version__, name)
        if in_process and wanted.get("async_scheduling") and vllm.__version__.startswith("0.10."):
            raise EngineError(
                f"ENGINE_ARGS async_scheduling with ENGINE_IN_PROCESS=1: vLLM {vllm.__version__} "
                "does that between processes only; leave ENGINE_IN_PROCESS unset"
            )
        log.info("vLLM %s on %s (%s): %s", vllm.__version__, device.name, device.kind, arguments)
        if in_process and arguments.get("tensor_parallel_size", 1) == 1:
            import_model_class(read_config(self.settings).get("architectures", []))
        self._core_died = threading.Event()
        before = set(multiprocessing.active_children())
        copies = arguments.get("data_parallel_size", 1)
        if copies > 1:
            engine = DataParallelEngine(arguments)
            llm: Any = SimpleNamespace(llm_engine=engine, get_tokenizer=engine.get_tokenizer)
        else:
            llm = vllm.LLM(**arguments)
        shortcut = in_process and self.settings.block_shortcut and shorten_block_requests(llm)
        self._processes = set(multiprocessing.active_children()) - before
        _watch(self._processes, llm, self._core_died)
        self.max_model_len = llm.llm_engine.model_config.max_model_len
        # On a processor a full batch takes long and warms nothing that a small one does not.
        at_once = arguments.get("max_num_seqs", 256) * copies
        self.warmup_questions = 16 if device.kind == "cpu" else at_once
        self._info |= {
            "version": vllm.__version__,
            "device": {"kind": device.kind, "name": device.name, "environment": environment},
            "in_process": in_process,
            "block_shortcut": shortcut,
            "arguments": arguments,
            "max_model_len": self.max_model_len,
            "load_seconds": round(time.monotonic() - began, 2),
        }
        self._load_seconds = time.monotonic() - began
        return llm


def _watch(processes: set[Any], llm: Any, died: threading.Event) -> None:
    """Notice the death of the engine's own processes, and wake a step that waits for them.

    vLLM's client for synchronous use waits for its engine process without end when that is killed
    (0.10.0 and 0.32.0 alike). Steps of several engine cores end by themselves.
    """
    outputs = getattr(getattr(llm.llm_engine, "engine_core", None), "outputs_queue", None)
    if not processes:
        return

    def wait() -> None:
        multiprocessing.connection.wait([process.sentinel for process in processes])
        died.set()
        if outputs is not None:
            outputs.put_nowait(EngineError("vLLM's engine process is gone"))

    threading.Thread(target=wait, name="engine-watch", daemon=True).start()


def _shut_down(llm: Any) -> None:
    """Free the device; newer versions have a method for it, 0.10.0 only its engine core's."""
    engine = llm.llm_engine
    core = (
        engine if isinstance(engine, DataParallelEngine) else getattr(engine, "engine_core", None)
    )
    if core is not None:
        core.shutdown()
