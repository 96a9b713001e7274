"""The engine's boundary: token ids in, answers out, by a deadline. It knows no HTTP and no chat.

`Engine.submit` never blocks: calls that arrive together share the running batch. A `Batch` always
ends: with every answer, or at its deadline with what there is.
"""

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field, replace
from typing import Any, Literal, Protocol

FinishReason = Literal["stop", "length", "repeat", "deadline", "error", "cancelled"]
# The reasons of answers that are whole: no later attempt would be longer.
WHOLE = ("stop", "length", "repeat")


@dataclass(frozen=True)
class Answer:
    """One answer: its text, its length in tokens and why it ended.

    `repeat` marks a text that had come to run in a loop and was cut to one turn of it
    (repetition.py), `deadline` a text cut off at the deadline, `error` a prompt that the engine
    rejected or fails on, `cancelled` a text whose caller is gone.
    """

    text: str
    tokens: int
    finish_reason: FinishReason


class EngineError(RuntimeError):
    """The engine cannot start or can no longer answer; the message says why."""


class ModelError(EngineError):
    """The model directory cannot be served, whatever the engine: no other start would help."""


@dataclass(eq=False)
class Batch:
    """The prompts of one call on their way through an engine.

    prompts: token ids, one list a prompt. max_tokens: longest answer, one number a prompt.
    deadline: `time.monotonic()` value; any thread may bring it forward (`shorten_deadline`,
    `cancel`). call: identifies the HTTP call, which may be handed over in several batches.
    ignore_eos: answers go on to their max_tokens (vLLM only); the warm-up needs exact lengths.
    draw_temperature: these are further draws of prompts that are in another batch, sampled at this
    temperature. They run in what slots and time other batches leave, and end empty rather than be
    tried again. None: the answers themselves.
    ended: called with place and answer, on the engine's thread, when an answer is in and before
    `done` is set; it must not block.
    The engine's thread calls `keep_partial`, `finish` and `fail`; any thread may wait for `done`.
    """

    prompts: Sequence[list[int]]
    max_tokens: Sequence[int]
    deadline: float
    call: object = field(default_factory=object)
    ignore_eos: bool = False
    draw_temperature: float | None = None
    ended: Callable[[int, Answer], None] | None = field(init=False, default=None)
    cancelled: bool = field(init=False, default=False)
    _answers: list[Answer | None] = field(init=False)
    _partial: dict[int, Answer] = field(init=False, default_factory=dict)
    _future: "Future[None]" = field(init=False, default_factory=Future)
    _lock: threading.Lock = field(init=False, default_factory=threading.Lock)
    _missing: int = field(init=False)

    def __post_init__(self) -> None:
        if len(self.prompts) != len(self.max_tokens):
            raise ValueError(f"{len(self.prompts)} prompts but {len(self.max_tokens)} max_tokens")
        self._answers = [None] * len(self.prompts)
        self._missing = len(self.prompts)
        if not self.prompts:
            self._future.set_result(None)

    @property
    def is_draws(self) -> bool:
        """Whether these are further draws, which must cost no other answer anything."""
        return self.draw_temperature is not None

    @property
    def done(self) -> Future[None]:
        """Set when every answer is in, or the batch was closed; carries an EngineError if any."""
        return self._future

    def finish(self, index: int, answer: Answer) -> None:
        """Record the answer of one prompt; the last one completes the batch."""
        with self._lock:
            again = self._answers[index] is not None
            self._missing -= not again
            partial = self._partial.pop(index, None)
            if partial is not None and answer.finish_reason not in WHOLE:
                # Two attempts were cut off: the longer one counts.
                partial = replace(partial, finish_reason=answer.finish_reason)
                answer = max(answer, partial, key=lambda attempt: attempt.tokens)
            self._answers[index] = answer
            if self.ended is not None and not again:
                self.ended(index, answer)
            complete = self._missing == 0 and not self._future.done()
            if complete:
                self._future.set_result(None)

    def keep_partial(self, index: int, answer: Answer) -> None:
        """Remember the text so far of an answer that starts over: it counts unless a later attempt
        gets further."""
        with self._lock:
            known = self._partial.get(index)
            if self._answers[index] is None and answer.tokens > (known.tokens if known else 0):
                self._partial[index] = answer

    def shorten_deadline(self, deadline: float) -> None:
        """Bring the deadline forward; the engine sees it with its next step."""
        self.deadline = min(self.deadline, deadline)

    def cancel(self) -> None:
        """The caller is gone: the engine aborts what is unfinished with its next step."""
        self.cancelled = True
        self.deadline = float("-inf")

    def fail(self, error: EngineError) -> None:
        """End the batch because its engine died. Finished and partial answers still count; without
        any, `answers` raises the error."""
        with self._lock:
            if not self._future.done():
                if self._missing == len(self._answers) and not self._partial:
                    self._future.set_exception(error)
                else:
                    self._future.set_result(None)

    def answers(self) -> list[Answer]:
        """The answers as they stand, one a prompt; unfinished ones partial, with reason `deadline`.

        Raises EngineError when the engine died before there was any text.
        """
        if self._future.done():
            self._future.result()
        nothing = Answer("", 0, "deadline")
        with self._lock:
            return [a or self._partial.get(i, nothing) for i, a in enumerate(self._answers)]


class Engine(Protocol):
    """What the service needs of an engine."""

    name: str
    max_model_len: int  # asked for, until `start`; then what the model allows of it
    warmup_questions: int  # as many as the first real batch will run at once
    recovering: bool  # busy with a failure: nothing is delivered meanwhile

    def start(self) -> None:
        """Load the model; returns when it can answer. Raises EngineError."""

    def submit(self, batch: Batch) -> None:
        """Begin a batch and return at once. Raises EngineError when the engine is dead."""

    def healthy(self) -> bool:
        """Whether the next batch can be answered."""

    def stats(self) -> dict[str, float]:
        """Figures of this moment for `GET /metrics`: requests running and waiting, faults, ..."""

    def info(self) -> dict[str, Any]:
        """Name, versions, device and arguments in force: plain JSON values, no secrets."""

    def stop(self) -> None:
        """Free the device. Unfinished batches fail."""


# A step of the engine cannot be interrupted: this is how long past the deadline its thread may
# take to hand over partial answers before the call returns with the finished ones only.
HANG_GRACE_S = 5.0
