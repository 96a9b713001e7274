"""What to do when the engine fails in the middle of its work, so that nothing answerable is lost.

A fault is first held to be passing: everything unfinished is tried again. Out of memory halves the
number of answers at once. An engine that is dead, or cannot answer a trial prompt, is made again.
When the same work fails twice on an engine that answers the trial prompt, the work is at fault: it
is halved until the prompt that fails stands alone; that one answers "" (or the prefix it reached)
and all others are kept. When a new engine cannot answer the trial prompt either, it is over.

Deadlines hold all the while: every group that waits here is cut at its own.
"""

import logging
import time
import traceback
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Literal, Protocol

from serving.engine.base import Answer, Batch, EngineError
from serving.engine.scheduler import Request, StepLoop

log = logging.getLogger("serving.engine.recovery")

# Engines made in a row that may fail the trial before it is over.
REMAKES = 2
# A prompt that failed this often, twice of it alone, is the one at fault.
BLAMED_AFTER = 3
# Ordinary low ids, which every vocabulary has.
TRIAL_PROMPT = list(range(1, 9))


@dataclass(frozen=True)
class Fault:
    """One failure. memory: out of it; dead: the engine is gone for certain; step: anything else."""

    kind: Literal["memory", "dead", "step"]
    reason: str
    trace: str


def fault_of(error: BaseException, alive: bool = True) -> Fault:
    """What an exception of the engine means. Holds no reference to it: its frames would keep a
    dead engine's memory."""
    name = type(error).__name__
    reason = f"{name}: {error}"[:500]
    if not alive or name == "EngineDeadError":
        kind: Literal["memory", "dead", "step"] = "dead"
    elif "OutOfMemory" in name or "out of memory" in str(error).lower():
        kind = "memory"
    else:
        kind = "step"
    return Fault(kind, reason, "".join(traceback.format_tb(error.__traceback__)))


class Mender(Protocol):
    """What recovery needs of the engine that owns the loop."""

    def remake(self) -> Any:
        """A new `llm_engine` in place of the old one. Raises EngineError."""

    def remake_seconds(self) -> float:
        """How long that takes, as far as known."""

    def free_memory(self) -> None:
        """Give the device back what nobody uses."""

    def report(self, fault: Fault, held: list[Request], outcome: str) -> None:
        """Write down what happened, for whoever looks later."""


@dataclass
class Group:
    """Requests that are tried together, and how often they have failed."""

    requests: list[Request]
    failures: int = 0


class Recovery:
    """Decides, on the engine's thread, what a loop does after a fault."""

    def __init__(self, loop: StepLoop, mender: Mender):
        self._loop = loop
        self._mender = mender
        self._trying: Group | None = None
        self._later: deque[Group] = deque()
        self._slots_before: int | None = None
        self.mending = False
        self.faults = 0
        self.remakes = 0
        self.blamed = 0

    @property
    def waiting(self) -> int:
        """Requests held back while others are tried."""
        return sum(len(group.requests) for group in self._later)

    def accept(self, batch: Batch) -> None:
        """A new batch: into the loop, or behind what is being tried, whose fate it must not
        share."""
        if self._trying is None and not self._later:
            self._loop.add(batch)
            return
        if not self._later or self._later[-1].failures:
            self._later.append(Group([]))
        requests = [Request(batch, index) for index in range(len(batch.prompts))]
        self._later[-1].requests.extend(requests)

    def advance(self) -> None:
        """After a good step: cut what waits here and is late; try the next group when there is
        room."""
        if not self._later and self._trying is None:
            return
        now = time.monotonic()
        for group in self._later:
            group.requests = self._cut(group.requests, now)
        while not self._loop.busy:
            self._trying = self._later.popleft() if self._later else None
            if self._trying is None:
                self._slots_before = None
                return
            self._loop.put_back(self._trying.requests)

    def failed(self, fault: Fault) -> None:
        """After a fault: mend the engine, decide how its work is tried again.

        Raises EngineError when there is nothing left to try; `give_up` then ends the work.
        """
        self.faults += 1
        group = self._trying or Group([])
        group.requests = self._loop.take_back()
        self._trying = None
        self._later.appendleft(group)  # nothing is anywhere else while the engine is mended
        log.error("the engine failed (%s) with %d requests", fault.reason, len(group.requests))
        if self._slots_before is None:
            self._slots_before = self._loop.slots
        if fault.kind == "memory" and self._loop.halve():
            log.error("out of memory: %d answers at once from now on", self._loop.slots)
        else:
            group.failures += 1
            if fault.kind == "dead" and group.failures > 1:
                self._loop.halve()  # a process that dies says nothing: it may be the memory
        self._mend(fault)
        self._plan(self._later.popleft())
        self.advance()

    def give_up(self, error: EngineError) -> None:
        """Nothing will finish any more: every batch ends with what it has."""
        held = [*self._loop.take_back(), *(r for group in self._later for r in group.requests)]
        self._later.clear()
        for batch in {request.batch for request in held}:
            batch.fail(error)

    def _mend(self, fault: Fault) -> None:
        """Leave an engine that answers, the old one or a new one. Raises EngineError."""
        self.mending = True
        try:
            if fault.kind != "dead" and self._sound():
                return
            reason = fault.reason
            for _ in range(REMAKES):
                self._answer_who_cannot_wait()
                held = [request for group in self._later for request in group.requests]
                self._mender.report(fault, held, "the engine is made again")
                self.remakes += 1
                self._loop.engine = None  # its memory must be free before the next one loads
                try:
                    self._loop.engine = self._mender.remake()
                except EngineError as error:
                    reason = str(error)
                    continue
                if self._sound():
                    return
            held = [request for group in self._later for request in group.requests]
            self._mender.report(fault, held, "given up")
            raise EngineError(f"vLLM died: {reason}")
        finally:
            self.mending = False

    def _sound(self) -> bool:
        """Whether the engine, empty now, answers a trial prompt."""
        try:
            self._mender.free_memory()
            # A failed step may have left blocks marked as computed that never were.
            if self._loop.engine.reset_prefix_cache() is False:
                log.error("the engine's cache cannot be reset: blocks are still in use")
                return False
            self._loop.try_out(TRIAL_PROMPT)
        except Exception as error:  # noqa: BLE001 - whatever it is, this engine is of no use
            log.error("the engine does not answer a trial prompt: %s", error)
            return False
        return True

    def _plan(self, group: Group) -> None:
        """Put a group that failed back in line: as it is, halved, or ended."""
        count = len(group.requests)
        if count == 0:
            return
        if group.failures == 0:  # memory: half as many at once may do
            self._loop.put_back(group.requests)
        elif group.failures == 1 or (count == 1 and group.failures < BLAMED_AFTER):
            self._later.appendleft(group)
        elif count == 1:
            self.blamed += 1
            request = group.requests[0]
            tokens = len(request.batch.prompts[request.index])
            log.error("a prompt of %d tokens fails whenever it is tried: left out", tokens)
            request.finish(Answer("", 0, "error"))
            # What it did to the number of answers at once is not the others' fault.
            self._loop.slots = self._slots_before or self._loop.slots
        else:
            half = count // 2
            log.error("failed twice: %d requests are tried in two halves", count)
            for part in (group.requests[half:], group.requests[:half]):
                self._later.appendleft(Group(part, 1))

    def _answer_who_cannot_wait(self) -> None:
        """What is due before a new engine is there gets what it has now: waiting gains nothing."""
        ready = time.monotonic() + self._mender.remake_seconds()
        for group in self._later:
            group.requests = self._cut(group.requests, ready)

    @staticmethod
    def _cut(requests: Iterable[Request], until: float) -> list[Request]:
        """Ends requests whose deadline is not after `until`; returns the others."""
        left = []
        for request in requests:
            if request.batch.deadline > until:
                left.append(request)
            else:
                reason = "cancelled" if request.batch.cancelled else "deadline"
                request.finish(Answer("", 0, reason))
        return left
