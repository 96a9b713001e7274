"""The engine's boundary: token ids in, answers out, by a deadline. It knows no HTTP and no chat.

`Engine.submit` never blocks: calls that arrive together share the running batch. A `Batch` always
ends: with every answer, or at its deadline with what there is.
"""

import threading
import time
from collections.abc import Sequence
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeoutError  # the builtin one only from 3.11
from dataclasses import dataclass, field, replace
from typing import Any, Literal, Protocol

FinishReason = Literal["stop", "length", "deadline", "error", "cancelled"]


@dataclass(frozen=True)
class Answer:
    """One answer: its text, its length in tokens and why it ended.

    `deadline` marks a text cut off at the deadline, `error` a prompt that the engine rejected or
    fails on, `cancelled` a text that nobody waits for any more.
    """

    text: str
    tokens: int
    finish_reason: FinishReason


class EngineError(RuntimeError):
    """The engine cannot start or can no longer answer; the message says why."""


@dataclass(eq=False)
class Batch:
    """The prompts of one call on their way through an engine.

    prompts: token ids, one list a prompt. max_tokens: longest answer, one number a prompt.
    deadline: `time.monotonic()` value; any thread may bring it forward (`hurry`, `cancel`).
    call: what the batches of one call share, when a call is handed over in several.
    ignore_eos: answers go on to their max_tokens, on vLLM; for warm-up and measurements.
    The engine's thread calls `keep`, `finish` and `fail`; any thread may wait for `done`.
    """

    prompts: Sequence[list[int]]
    max_tokens: Sequence[int]
    deadline: float
    call: object = field(default_factory=object)
    ignore_eos: bool = False
    cancelled: bool = field(init=False, default=False)
    _answers: list[Answer | None] = field(init=False)
    _kept: dict[int, Answer] = field(init=False, default_factory=dict)
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
            kept = self._kept.pop(index, None)
            if kept is not None and answer.finish_reason not in ("stop", "length"):
                # Of two tries that were both cut off, the one that came further.
                answer = max(answer, replace(kept, finish_reason=answer.finish_reason), key=_length)
            self._answers[index] = answer
            complete = self._missing == 0 and not self._future.done()
            if complete:
                self._future.set_result(None)

    def keep(self, index: int, answer: Answer) -> None:
        """Remember what there is of an answer that is about to be tried again: it counts unless
        something better comes."""
        with self._lock:
            known = self._kept.get(index)
            if self._answers[index] is None and answer.tokens > (known.tokens if known else 0):
                self._kept[index] = answer

    def hurry(self, deadline: float) -> None:
        """Bring the deadline forward; the engine sees it with its next step."""
        self.deadline = min(self.deadline, deadline)

    def cancel(self) -> None:
        """Nobody waits any more: the engine drops what is unfinished with its next step."""
        self.cancelled = True
        self.deadline = float("-inf")

    def fail(self, error: EngineError) -> None:
        """End the batch because its engine died. What is finished or kept still counts; with
        nothing of either, whoever waits gets the error."""
        with self._lock:
            if not self._future.done():
                if self._missing == len(self._answers) and not self._kept:
                    self._future.set_exception(error)
                else:
                    self._future.set_result(None)

    def answers(self) -> list[Answer]:
        """The answers as they stand, one a prompt; of missing ones what was kept, with reason
        `deadline`.

        Raises EngineError when the engine died before the first answer.
        """
        if self._future.done():
            self._future.result()
        nothing = Answer("", 0, "deadline")
        with self._lock:
            return [a or self._kept.get(i, nothing) for i, a in enumerate(self._answers)]


def _length(answer: Answer) -> int:
    return answer.tokens


class Engine(Protocol):
    """What the service needs of an engine."""

    name: str
    max_model_len: int
    warmup_questions: int  # a batch that meets what the first real one will
    recovering: bool  # being made again after a fault: nothing is delivered meanwhile

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


def generate(
    engine: Engine,
    prompts: Sequence[list[int]],
    max_tokens: Sequence[int],
    deadline: float,
    ignore_eos: bool = False,
) -> list[Answer]:
    """Answers of one batch, in order, by `deadline` (a `time.monotonic()` value)."""
    batch = Batch(prompts, max_tokens, deadline, ignore_eos=ignore_eos)
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
