"""The engine on vLLM, from 0.10.0 to the newest: one thread owns the step loop.

`LLM.generate` answers a list and nothing else until it is done. The judge's clock asks for more:
calls that arrive while others run must join them, and at a deadline there must be something to
return. So this thread feeds `llm.llm_engine` itself, with what every version since 0.10.0 has:
`add_request`, `step`, `abort_request`. Measured: the loop costs what `LLM.generate` costs
(bench/overhead.py).
"""

import dataclasses
import json
import logging
import os
import queue
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any

from . import devices
from .engine import Answer, Batch, EngineError
from .settings import Settings

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
        loop = _StepLoop(llm.llm_engine, self.settings.temperature, self.ignore_eos)
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

    def _serve(self, llm: Any, loop: "_StepLoop") -> None:
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


# Answers at once on the second rung of the start-up: fewer, to leave memory to spare.
EAGER_MAX_NUM_SEQS = 128
# Arguments that only tune, and may be what failed.
TUNING = {"compilation_config", "speculative_config", "optimization_level", "async_scheduling"}


def engine_arguments(settings: Settings, device: devices.Device) -> dict[str, Any]:
    """Arguments of `LLM(...)`: the device's defaults, then the settings, then ENGINE_ARGS.

    Raises EngineError when the model directory cannot be used.
    """
    config = read_config(settings)
    longest = config.get("max_position_embeddings", settings.max_model_len)
    chosen = {
        "dtype": None if settings.dtype == "auto" else settings.dtype,
        "quantization": settings.quantization,
        "enforce_eager": settings.enforce_eager,
        "max_num_seqs": settings.max_num_seqs,
        "max_num_batched_tokens": settings.max_num_batched_tokens,
        "gpu_memory_utilization": settings.gpu_memory_utilization,
    }
    arguments = {
        "model": str(settings.model_dir),
        "max_model_len": min(settings.max_model_len, longest),
        "enable_prefix_caching": settings.enable_prefix_caching,
        "seed": settings.seed,
        "disable_log_stats": True,
        **device.engine_args,
        **devices.weights_args(device, config.get("quantization_config")),
        **{name: value for name, value in chosen.items() if value is not None},
        **settings.engine_args,
    }
    if settings.startup == "eager":  # wins over everything: what was asked for did not start
        for name in TUNING & arguments.keys():
            log.warning("eager start: %s is left out", name)
            del arguments[name]
        arguments["enforce_eager"] = True
        asked = arguments.get("max_num_seqs", EAGER_MAX_NUM_SEQS)
        arguments["max_num_seqs"] = min(asked, EAGER_MAX_NUM_SEQS)
    return arguments


def import_model_class(architectures: list[str]) -> None:
    """Import the model's class here, before vLLM asks another process about it.

    vLLM inspects a model's class in a subprocess that imports vLLM once more, so that this process
    may still fork before the device is in use. With the engine core in this process nothing forks,
    and the subprocess costs seconds (28 s of a cold start on an H100's host, 7 s on two CPU
    cores, measured). A class that a plugin has registered is left alone.
    """
    from vllm import ModelRegistry

    for name in architectures:
        known = ModelRegistry.models.get(name)
        if known is not None and getattr(known, "module_name", "").startswith("vllm."):
            ModelRegistry.register_model(name, known.load_model_cls())


def read_config(settings: Settings) -> dict[str, Any]:
    """The model's config.json. Raises EngineError naming what is wrong with the directory."""
    path = settings.model_dir / "config.json"
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise EngineError(
            f"MODEL_DIR={settings.model_dir}: no config.json there; point MODEL_DIR at a model "
            "directory, or fetch one with download_model.py"
        ) from error
    except ValueError as error:
        raise EngineError(f"{path}: not valid JSON ({error})") from error


class _StepLoop:
    """Batches in flight on one `llm_engine`: requests in, finished or partial answers out."""

    def __init__(self, engine: Any, temperature: float, ignore_eos: bool):
        from vllm import SamplingParams
        from vllm.sampling_params import RequestOutputKind

        self._engine = engine
        self._live: dict[str, tuple[Batch, int]] = {}
        self._next_id = 0
        self._params = lambda max_tokens: SamplingParams(
            temperature=temperature,
            max_tokens=max_tokens,
            ignore_eos=ignore_eos,
            # Only the finished text leaves the engine: no work per token in this process.
            output_kind=RequestOutputKind.FINAL_ONLY,
        )
        self._deadline = float("inf")
        self._rejections = _rejection_types()

    @property
    def busy(self) -> bool:
        return bool(self._live)

    def add(self, batch: Batch) -> None:
        """Every prompt of the batch enters the scheduler before the next step."""
        for index, (prompt, max_tokens) in enumerate(
            zip(batch.prompts, batch.max_tokens, strict=True)
        ):
            request_id = f"q{self._next_id}"
            self._next_id += 1
            try:
                self._engine.add_request(
                    request_id, {"prompt_token_ids": prompt}, self._params(max_tokens)
                )
            except self._rejections as error:
                # One bad prompt must not sink the others; it answers "" and the log says why.
                log.error("vLLM rejected a prompt of %d tokens: %s", len(prompt), error)
                batch.finish(index, Answer("", 0, "error"))
                continue
            self._live[request_id] = (batch, index)
        self._deadline = min(self._deadline, batch.deadline)

    def step(self) -> None:
        """One step of the engine; deliver what it finished and cut what is past its deadline."""
        for output in self._engine.step():
            if output.finished and output.request_id in self._live:
                batch, index = self._live.pop(output.request_id)
                text = output.outputs[0]
                reason = "length" if text.finish_reason == "length" else "stop"
                batch.finish(index, Answer(text.text, len(text.token_ids), reason))
        if time.monotonic() >= self._deadline:
            self._cut_late()

    def _cut_late(self) -> None:
        now = time.monotonic()
        late = {rid: at for rid, at in self._live.items() if at[0].deadline <= now}
        partial = partial_texts(self._engine, late.keys())
        self._engine.abort_request(list(late))
        for request_id, (batch, index) in late.items():
            del self._live[request_id]
            text, tokens = partial.get(request_id, ("", 0))
            batch.finish(index, Answer(text, tokens, "deadline"))
        if late:
            log.warning("deadline: %d unfinished answers returned as they stand", len(late))
        self._deadline = min((b.deadline for b, _ in self._live.values()), default=float("inf"))

    def fail_all(self, error: EngineError) -> None:
        """Nothing will finish any more."""
        for batch, _ in self._live.values():
            batch.fail(error)
        self._live.clear()


def partial_texts(engine: Any, request_ids: Any) -> dict[str, tuple[str, int]]:
    """Text and token count so far of unfinished requests; call it before aborting them.

    The only place that reads vLLM's internals: `output_processor.request_states` is the same in
    0.10.0 and 0.32.0, but newer versions keep the caller's id as `external_req_id`. A test runs
    it on each version.
    """
    wanted = set(request_ids)
    texts = {}
    for state in list(engine.output_processor.request_states.values()):
        request_id = getattr(state, "external_req_id", None) or state.request_id
        if request_id in wanted and state.detokenizer is not None:
            text = state.detokenizer.get_next_output_text(True, False)
            texts[request_id] = (text, len(state.detokenizer.output_token_ids))
    return texts


def _rejection_types() -> tuple[type[Exception], ...]:
    """What `add_request` raises for a prompt it refuses: newer versions have their own class."""
    try:
        from vllm.exceptions import VLLMValidationError
    except ImportError:
        return (ValueError,)
    return (ValueError, VLLMValidationError)


def _shut_down(llm: Any) -> None:
    """Free the device; newer versions have a method for it, 0.10.0 only its engine core's."""
    core = getattr(llm.llm_engine, "engine_core", None)
    if core is not None:
        core.shutdown()
