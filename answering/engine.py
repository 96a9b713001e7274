"""The engine's boundary: token ids in, answers out, by a deadline. It knows no HTTP and no chat.

`Engine.submit` never blocks: calls that arrive together share the running batch. A `Batch` always
ends: with every answer, or at its deadline with what there is.
"""

import threading
import time
from collections.abc import Sequence
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeoutError  # the builtin one only from 3.11
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

FinishReason = Literal["stop", "length", "deadline", "error"]


@dataclass(frozen=True)
class Answer:
    """One answer: its text, its length in tokens and why it ended.

    `deadline` marks a text cut off at the deadline, `error` a prompt that the engine rejected.
    """

    text: str
    tokens: int
    finish_reason: FinishReason


class EngineError(RuntimeError):
    """The engine cannot start or can no longer answer; the message says why."""


@dataclass
class Batch:
    """The prompts of one call on their way through an engine.

    prompts: token ids, one list a prompt. max_tokens: longest answer, one number a prompt.
    deadline: `time.monotonic()` value. The engine's thread calls `finish` and `close`; any thread
    may wait for `result`.
    """

    prompts: Sequence[list[int]]
    max_tokens: Sequence[int]
    deadline: float
    _answers: list[Answer | None] = field(init=False)
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
    def done(self) -> Future[None]:
        """Set when every answer is in, or the batch was closed; carries an EngineError if any."""
        return self._future

    def finish(self, index: int, answer: Answer) -> None:
        """Record the answer of one prompt; the last one completes the batch."""
        with self._lock:
            if self._answers[index] is None:
                self._missing -= 1
            self._answers[index] = answer
            complete = self._missing == 0 and not self._future.done()
            if complete:
                self._future.set_result(None)

    def fail(self, error: EngineError) -> None:
        """End the batch because its engine died. What is finished still counts; with nothing
        finished, whoever waits gets the error."""
        with self._lock:
            if not self._future.done():
                if self._missing == len(self._answers):
                    self._future.set_exception(error)
                else:
                    self._future.set_result(None)

    def answers(self) -> list[Answer]:
        """The answers as they stand, one a prompt; missing ones are empty with reason `deadline`.

        Raises EngineError when the engine died before the first answer.
        """
        if self._future.done():
            self._future.result()
        with self._lock:
            return [a or Answer("", 0, "deadline") for a in self._answers]


class Engine(Protocol):
    """What the service needs of an engine."""

    name: str
    max_model_len: int
    warmup_questions: int  # a batch that meets what the first real one will

    def start(self) -> None:
        """Load the model; returns when it can answer. Raises EngineError."""

    def submit(self, batch: Batch) -> None:
        """Begin a batch and return at once. Raises EngineError when the engine is dead."""

    def healthy(self) -> bool:
        """Whether the next batch can be answered."""

    def info(self) -> dict[str, Any]:
        """Name, versions, device and arguments in force: plain JSON values, no secrets."""

    def stop(self) -> None:
        """Free the device. Unfinished batches fail."""


def generate(
    engine: Engine,
    prompts: Sequence[list[int]],
    max_tokens: Sequence[int],
    deadline: float,
) -> list[Answer]:
    """Answers of one batch, in order, by `deadline` (a `time.monotonic()` value)."""
    batch = Batch(prompts, max_tokens, deadline)
    engine.submit(batch)
    wait(batch)
    return batch.answers()


# A step of the engine cannot be interrupted: this is how long past the deadline its thread may
# take to hand over partial answers before the call goes back with the finished ones only.
HANG_GRACE_S = 5.0


def wait(batch: Batch, grace: float = HANG_GRACE_S) -> bool:
    """Block until the batch ends, at most `grace` seconds past its deadline. False: it did not."""
    try:
        batch.done.exception(timeout=max(0.0, batch.deadline - time.monotonic()) + grace)
    except FutureTimeoutError:
        return False
    return True
