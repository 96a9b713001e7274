"""Clocks around the stages of one batch, for bench/breakdown.py: wrapped around the objects of the
running service and of vLLM from outside, so that neither knows of them.

vLLM's part needs the engine core in this process. Of each step: `schedule` (scheduler.schedule),
`execute` (model_executor.execute_model and sample_tokens), `update` (scheduler.update_from_output)
and `output` (output_processor.process_outputs: detokenising, stop checks, outputs made).
"""

import functools
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from typing import Any

from bench.kernels import KernelWindows

# Stages of a step, and where vLLM does them: object under the engine or its core, and methods.
PARTS = {
    "schedule": ("core", "scheduler", ("schedule",)),
    "execute": ("core", "model_executor", ("execute_model", "sample_tokens")),
    "update": ("core", "scheduler", ("update_from_output",)),
    "output": ("engine", "output_processor", ("process_outputs",)),
}


@dataclass
class Step:
    """One call of vLLM's `step`: seconds, its parts' seconds, and the batch whose tokens it
    delivered (`running` answers, `prompt_tokens` computed for them); 0 running: none came."""

    seconds: float = 0.0
    parts: dict[str, float] = field(default_factory=dict)
    running: int = 0
    prompt_tokens: int = 0


FULL, TAIL = 0.9, 0.1
PHASES = ("prefill", "decode, full", "decode, between", "decode, tail")


def phase_of(running: int, prompt_tokens: int, slots: int) -> str:
    """The phase of a step: what it computed, and how many of `slots` answers ran."""
    if prompt_tokens:
        return PHASES[0]
    share = running / slots
    return PHASES[1] if share >= FULL else PHASES[3] if share <= TAIL else PHASES[2]


class Timers:
    """Clocks that run between `start` and `stop`."""

    def __init__(self) -> None:
        self.missing: list[str] = []
        self.async_scheduling = False
        self.kernels: KernelWindows | None = None
        self.slots = 1
        self._on = False
        self._reset()

    def _reset(self) -> None:
        self.seconds: dict[str, float] = {}
        self.calls: dict[str, int] = {}
        self.steps: list[Step] = []
        self._step: Step | None = None
        self._prompt: dict[str, int] = {}
        self._scheduled: dict[int, tuple[int, int]] = {}

    def start(self, kernels: bool = False, slots: int = 1) -> None:
        """From now on; what was recorded before is forgotten. kernels: the device's, too, by
        phases of a batch of `slots` answers."""
        self._reset()
        self.kernels = KernelWindows() if kernels else None
        self.slots = slots
        self._on = True

    def stop(self) -> dict[str, Any]:
        """What was recorded, as plain JSON values."""
        self._on = False
        if self.kernels is not None:
            self.kernels.close()
        return {
            "kernels": self.kernels.found if self.kernels is not None else {},
            "seconds": dict(self.seconds),
            "calls": dict(self.calls),
            "steps": [asdict(step) for step in self.steps],
            "missing": list(self.missing),
            "async_scheduling": self.async_scheduling,
        }

    def wrap_answerer(self, answerer: Any) -> None:
        """Rendering, tokenising, looking for control tokens, post-processing, and the whole."""
        from serving import answerer as module

        for name in ("render_prompts", "tokenize_prompts", "literal_prompts", "clean"):
            setattr(module, name, self._timed(name, getattr(module, name)))
        answer = answerer.answer

        @functools.wraps(answer)
        async def timed(*args: Any, **kwargs: Any) -> Any:
            began = time.perf_counter()
            try:
                return await answer(*args, **kwargs)
            finally:
                self._count("answer", time.perf_counter() - began)

        answerer.answer = timed

    def wrap_llm(self, llm: Any) -> None:
        """vLLM's step and its parts; what this version lacks is named in `missing`.

        Raises ValueError when the engine core is not in this process.
        """
        engine = llm.llm_engine
        core = getattr(engine.engine_core, "engine_core", None)
        if core is None:
            raise ValueError("vLLM's core is in a process of its own: set ENGINE_IN_PROCESS=1")
        self.async_scheduling = getattr(core, "batch_queue", None) is not None
        for part, (place, name, methods) in PARTS.items():
            owner = getattr(core if place == "core" else engine, name, None)
            found = [method for method in methods if callable(getattr(owner, method, None))]
            for method in found:
                setattr(owner, method, self._part(part, getattr(owner, method)))
            if not found:
                self.missing.append(f"{part}: no {name}.{methods[0]}")
        if scheduler := getattr(core, "scheduler", None):
            self._watch_batches(scheduler)
        engine.add_request = self._timed("add_request", engine.add_request)
        step = engine.step

        def timed_step() -> Any:
            if not self._on:
                return step()
            self._step = Step()
            began = time.perf_counter()
            try:
                return step()
            finally:
                done, self._step = self._step, None
                done.seconds = time.perf_counter() - began
                self.steps.append(done)
                if self.kernels is not None and done.running:
                    self.kernels.after(phase_of(done.running, done.prompt_tokens, self.slots))

        engine.step = timed_step

    def _watch_batches(self, scheduler: Any) -> None:
        # With asynchronous scheduling a step delivers a batch that an earlier step scheduled: the
        # scheduler's own output object tells which.
        schedule, update = scheduler.schedule, scheduler.update_from_output

        def scheduling(*args: Any, **kwargs: Any) -> Any:
            made = schedule(*args, **kwargs)
            if self._on:
                self._scheduled[id(made)] = self._shape(made)
            return made

        def updating(scheduled: Any, *args: Any, **kwargs: Any) -> Any:
            if self._step is not None:
                shape = self._scheduled.pop(id(scheduled), (0, 0))
                self._step.running, self._step.prompt_tokens = shape
            return update(scheduled, *args, **kwargs)

        scheduler.schedule, scheduler.update_from_output = scheduling, updating

    def _shape(self, scheduled: Any) -> tuple[int, int]:
        """Answers in a scheduled batch, and prompt tokens that it computes."""
        tokens = scheduled.num_scheduled_tokens
        computed = {}
        for new in scheduled.scheduled_new_reqs:
            self._prompt[new.req_id] = len(new.prompt_token_ids)
            computed[new.req_id] = new.num_computed_tokens
        again = scheduled.scheduled_cached_reqs
        computed.update(zip(again.req_ids, again.num_computed_tokens, strict=True))
        prompt = sum(
            min(max(self._prompt.get(rid, 0) - done, 0), tokens.get(rid, 0))
            for rid, done in computed.items()
        )
        return len(tokens), prompt

    def _part(self, part: str, function: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(function)
        def timed(*args: Any, **kwargs: Any) -> Any:
            step = self._step
            if step is None:
                return function(*args, **kwargs)
            began = time.perf_counter()
            try:
                return function(*args, **kwargs)
            finally:
                spent = time.perf_counter() - began
                step.parts[part] = step.parts.get(part, 0.0) + spent

        return timed

    def _timed(self, name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(function)
        def timed(*args: Any, **kwargs: Any) -> Any:
            began = time.perf_counter()
            try:
                return function(*args, **kwargs)
            finally:
                self._count(name, time.perf_counter() - began)

        return timed

    def _count(self, name: str, seconds: float) -> None:
        if self._on:
            self.seconds[name] = self.seconds.get(name, 0.0) + seconds
            self.calls[name] = self.calls.get(name, 0) + 1
