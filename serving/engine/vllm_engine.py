"""The engine on vLLM, from 0.10.0 to the newest: one thread loads it and runs the step loop.

`LLM.generate` answers a list and nothing else until it is done. The judge's clock asks for more:
calls that arrive while others run must join them, and at a deadline there must be something to
return. So this thread drives `llm.llm_engine` itself, through scheduler.py. What that costs beside
`LLM.generate`: bench/README.md.
"""

import copy
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
from concurrent.futures import Future
from typing import Any

from common.prompting import turn_ends
from serving.engine import devices
from serving.engine.arguments import (
    core_in_process,
    engine_arguments,
    import_model_class,
    read_config,
)
from serving.engine.base import Answer, Batch, EngineError
from serving.engine.compile_cache import use_compile_cache
from serving.engine.crash_report import spread, write_crash_report
from serving.engine.detokenize import answer_text
from serving.engine.recovery import Fault, Recovery, fault_of
from serving.engine.repetition import token_kinds
from serving.engine.requests import Request
from serving.engine.scheduler import Scheduler
from serving.engine.shares import Share, cache_bytes, divided
from serving.engine.vllm_versions import shut_down, step_waker
from serving.settings import Settings

log = logging.getLogger(__name__)

# How often an idle engine checks that its core's process lives.
IDLE_CHECK_S = 2.0
# A step that takes longer is taken for hung: it cannot be interrupted, only the process can.
HUNG_STEP_S = 300.0
# With CUDA graphs, freed slots are refilled when this part of all is free (scheduler.py says why).
REFILL_PART = 8
# How long `stop` waits for the thread: container runtimes kill 10 s after TERM.
STOP_S = 4.0


class VllmEngine:
    """`Engine` on `vllm.LLM`. Greedy by default; answers end at the model's own end token."""

    name = "vllm"

    def __init__(self, settings: Settings, share: Share | None = None):
        """share: of the device, when it is not this engine's alone."""
        self.settings = settings
        self._share = share
        self._inbox: queue.SimpleQueue[Batch | None] = queue.SimpleQueue()
        self._ready: Future[None] = Future()
        self._error: EngineError | None = None
        self._info: dict[str, Any] = {"name": self.name}
        self._thread = threading.Thread(target=self._run, name="vllm-engine", daemon=True)
        self._llm: Any = None
        self._scheduler: Scheduler | None = None
        self._recovery: Recovery | None = None
        self._core_died = threading.Event()
        self._load_seconds = 0.0
        self._may_draw = True
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

    def healthy(self) -> bool:
        """Whether the engine's thread is up, and not in a hung step."""
        since = self._scheduler.in_step_since if self._scheduler is not None else None
        hung = since is not None and time.monotonic() - since > HUNG_STEP_S
        return self._error is None and self._thread.is_alive() and not hung

    @property
    def recovering(self) -> bool:
        """Whether the engine is being probed or restarted: it delivers nothing meanwhile."""
        return self._recovery is not None and self._recovery.in_progress

    def stats(self) -> dict[str, float]:
        """Requests running and waiting, answers at once, faults and what came of them."""
        scheduler, recovery = self._scheduler, self._recovery
        if scheduler is None or recovery is None:
            return {}
        return {
            "running": min(scheduler.running, scheduler.slots),
            "waiting": max(0, scheduler.running - scheduler.slots) + scheduler.waiting,
            "waiting_draws": scheduler.waiting_draws,
            "slots": scheduler.slots,
            "faults": recovery.faults,
            "restarts": recovery.restarts,
            "bad_prompts": recovery.bad_prompts,
        }

    def info(self) -> dict[str, Any]:
        """vLLM's version, the device, the arguments in force; of a running engine `stats`, too."""
        return self._info | self.stats()

    def stop(self) -> None:
        """End the engine's thread; unfinished batches fail."""
        self._inbox.put(None)
        self._thread.join(timeout=STOP_S)
        if self._thread.is_alive():
            # The service may exit before the thread is done, and would leave these behind.
            for process in self._processes:
                process.kill()

    def restart(self) -> Any:
        """A new `llm_engine` in place of the old one. Raises EngineError."""
        old, self._llm = self._llm, None
        if old is not None:
            try:
                shut_down(old.llm_engine)
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

    def restart_seconds(self) -> float:
        """How long the last load took."""
        return self._load_seconds

    def free_memory(self) -> None:
        """Collect garbage, and give the device its cached memory back."""
        gc.collect()
        torch = sys.modules["torch"]
        if torch.cuda.is_available():
            torch.cuda.empty_cache()

    def report_crash(self, fault: Fault, unfinished: list[Request], outcome: str) -> None:
        """A crash report file: the shape of the work, never its text."""
        now = time.monotonic()
        batches = {request.batch for request in unfinished}
        shape = {
            "calls": len({batch.call for batch in batches}),
            "prompt_tokens": spread([len(r.batch.prompts[r.index]) for r in unfinished]),
            "max_tokens": spread([r.batch.max_tokens[r.index] for r in unfinished]),
            "seconds_left": spread([round(batch.deadline - now, 1) for batch in batches]),
        }
        write_crash_report(
            self.settings.crash_dir, fault.reason, fault.trace, outcome, shape, self.info()
        )

    def _run(self) -> None:
        # vLLM 0.10.0 falls back to its old engine when built outside the main thread, unless told.
        os.environ.setdefault("VLLM_USE_V1", "1")
        try:
            if self.settings.compile_cache_dir is not None:  # a restarted engine finds it set
                use_compile_cache(self.settings.compile_cache_dir)
            self._llm = self._load()
        except Exception as error:  # noqa: BLE001 - whatever stops vLLM reaches start()'s caller
            log.error("vLLM failed to start", exc_info=True)
            self._error = EngineError(f"vLLM failed to start: {type(error).__name__}: {error}")
            self._ready.set_exception(self._error)
            return
        engine = self._llm.llm_engine
        slots = engine.vllm_config.scheduler_config.max_num_seqs
        tokenizer = self._llm.get_tokenizer()
        decode = functools.partial(answer_text, tokenizer)
        # Without graphs prompts slow no step down more than usual: an empty slot is only lost.
        graphs = not engine.vllm_config.model_config.enforce_eager
        refill = max(1, slots // REFILL_PART) if graphs else 1
        self._scheduler = Scheduler(
            engine,
            decode,
            self.settings.temperature,
            slots,
            refill,
            token_kinds(tokenizer) if self.settings.end_repetition else None,
            turn_ends(tokenizer),
        )
        self._recovery = Recovery(self._scheduler, self)
        del engine  # this frame outlives a restart, and must not hold the old one's memory
        self._ready.set_result(None)
        stopped = EngineError("the engine was stopped")
        try:
            self._serve(self._scheduler, self._recovery)
        except EngineError as error:
            log.critical("%s", error)
            stopped = error
        except Exception as error:  # noqa: BLE001 - a dead engine must fail its batches, not hang
            log.critical("the engine's thread died", exc_info=True)
            stopped = EngineError(f"vLLM died: {type(error).__name__}: {error}")
        finally:
            self._error = stopped
            self._scheduler.fail_all(stopped)
            while not self._inbox.empty():
                if (batch := self._inbox.get()) is not None:
                    batch.fail(stopped)
            if self._llm is not None:
                shut_down(self._llm.llm_engine)

    def _serve(self, scheduler: Scheduler, recovery: Recovery) -> None:
        """Take batches and step until told to stop. Raises EngineError when the engine is lost."""
        while True:
            fault = None
            try:
                if not self._take_batches(scheduler):
                    return
                if self._core_died.is_set():
                    raise EngineError("vLLM's engine process is gone")
                if scheduler.busy:
                    scheduler.step()
            except Exception as error:  # noqa: BLE001 - what the engine raises is up to it
                fault = fault_of(error, alive=not self._core_died.is_set())
            # Outside of `except`, where the exception's frames no longer hold the engine.
            if fault is not None:
                recovery.recover(fault)

    def _take_batches(self, scheduler: Scheduler) -> bool:
        """Hand what has arrived to the scheduler; blocks a while when idle. False: stop."""
        while not self._inbox.empty() or not scheduler.busy:
            try:
                batch = self._inbox.get(timeout=IDLE_CHECK_S)
            except queue.Empty:
                return True
            if batch is None:
                return False
            self._accept(batch)
        return True

    def _accept(self, batch: Batch) -> None:
        if batch.is_draws and not self._may_draw:
            for index in range(len(batch.prompts)):
                batch.finish(index, Answer("", 0, "error"))
        else:
            self._scheduler.add(batch)

    def _load(self) -> Any:
        began = time.monotonic()
        device = devices.detect()
        environment = devices.apply_environment(device)
        settings = self.settings.model_copy(update={"max_model_len": self.max_model_len})
        if self._share is not None:
            settings = divided(settings, device, self._share.count)
        wanted = engine_arguments(settings, device)
        if device.kind == "cpu" and wanted.get("speculative_config"):
            self._may_draw = False
            if settings.temperature:
                del wanted["speculative_config"]
                self._may_draw = True
            log.warning(
                "DRAFT_TOKENS on a processor: vLLM's CPU build spoils all answers of a batch that "
                "holds a sampled one; %s",
                "no drafts"
                if self._may_draw
                else "no further draws (ANSWER_DRAWS, REPEAT_REDRAWS)",
            )
        in_process = core_in_process(settings, device, wanted)
        os.environ["VLLM_ENABLE_V1_MULTIPROCESSING"] = "0" if in_process else "1"

        import vllm
        from vllm.engine.arg_utils import EngineArgs

        known = {f.name for f in dataclasses.fields(EngineArgs)}
        arguments = {name: value for name, value in wanted.items() if name in known}
        for name in wanted.keys() - known:
            log.warning("vLLM %s does not know %s: dropped", vllm.__version__, name)
        if self._share is not None and device.kind != "cpu":
            memory = vllm.platforms.current_platform.get_device_total_memory()
            arguments |= cache_bytes(arguments, known, settings.model_dir, memory)
        if in_process and wanted.get("async_scheduling") and vllm.__version__.startswith("0.10."):
            raise EngineError(
                f"ENGINE_ARGS async_scheduling with ENGINE_IN_PROCESS=1: vLLM {vllm.__version__} "
                "does that between processes only; leave ENGINE_IN_PROCESS unset"
            )
        log.info("vLLM %s on %s (%s): %s", vllm.__version__, device.name, device.kind, arguments)
        if in_process and arguments.get("tensor_parallel_size", 1) == 1:
            import_model_class(read_config(settings).get("architectures", []))
        self._core_died = threading.Event()
        before = set(multiprocessing.active_children())
        # A copy: vLLM puts its own objects into the settings of drafts, which /info cannot tell.
        llm = vllm.LLM(**copy.deepcopy(arguments))
        self._processes = set(multiprocessing.active_children()) - before
        _watch(self._processes, llm.llm_engine, self._core_died)
        self.max_model_len = llm.llm_engine.model_config.max_model_len
        # Without graphs a full batch warms up nothing that a small one does not.
        at_once = arguments.get("max_num_seqs", 256)
        self.warmup_questions = 16 if device.kind == "cpu" else at_once
        self._info |= {
            "version": vllm.__version__,
            "device": {"kind": device.kind, "name": device.name, "environment": environment},
            "in_process": in_process,
            "arguments": arguments,
            "max_model_len": self.max_model_len,
            "load_seconds": round(time.monotonic() - began, 2),
        }
        self._load_seconds = time.monotonic() - began
        return llm


def _watch(processes: set[Any], engine: Any, died: threading.Event) -> None:
    """Notice the death of the engine's own processes, and wake a step that waits for them."""
    if not processes:
        return
    wake_step = step_waker(engine)

    def wait() -> None:
        multiprocessing.connection.wait([process.sentinel for process in processes])
        died.set()
        wake_step(EngineError("vLLM's engine process is gone"))

    threading.Thread(target=wait, name="engine-watch", daemon=True).start()
