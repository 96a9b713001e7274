"""What to do when a step of the engine fails, so that no question loses an answer it could have.

Nothing runs through here until the scheduler's step has raised. Then:

- The first failure counts as transient: everything unfinished is retried.
- Out of memory halves the number of answers at once.
- An engine that is dead, or does not answer a probe, is restarted. When the new one does not answer
  the probe either, the engine is lost.
- When the same requests fail twice on an engine that answers the probe, one of them is at fault:
  the group is bisected until the prompt that fails stands alone. That one answers "" (or what it
  has written); all others are answered.

Deadlines hold all the while. The scheduler runs the retries and holds newcomers apart.
"""

import logging
import time
import traceback
from dataclasses import dataclass
from typing import Any, Literal, Protocol

from serving.engine.base import Answer, EngineError
from serving.engine.requests import Request, RetryGroup
from serving.engine.scheduler import Scheduler

log = logging.getLogger(__name__)

# Restarts in a row whose engine may fail the probe before the engine is lost.
MAX_RESTARTS = 2
# A prompt that failed this often, twice of it alone, is the one at fault.
FAILURES_OF_A_BAD_PROMPT = 3
# Ordinary low ids, which every vocabulary has.
PROBE_PROMPT = list(range(1, 9))

FaultKind = Literal["memory", "dead", "step"]


@dataclass(frozen=True)
class Fault:
    """One failure. memory: out of it; dead: the engine is gone for certain; step: anything else."""

    kind: FaultKind
    reason: str
    trace: str


def fault_of(error: BaseException, alive: bool = True) -> Fault:
    """What an exception of the engine means. Holds no reference to it: its frames would keep a
    dead engine's memory."""
    name = type(error).__name__
    reason = f"{name}: {error}"[:500]
    kind: FaultKind = "step"
    if not alive or name == "EngineDeadError":
        kind = "dead"
    elif "OutOfMemory" in name or "out of memory" in str(error).lower():
        kind = "memory"
    return Fault(kind, reason, "".join(traceback.format_tb(error.__traceback__)))


class EngineOwner(Protocol):
    """What recovery needs of whoever loaded the engine."""

    def restart(self) -> Any:
        """A new `llm_engine` in place of the old one. Raises EngineError."""

    def restart_seconds(self) -> float:
        """How long a restart takes, as far as known."""

    def free_memory(self) -> None:
        """Give unused memory back to the device."""

    def report_crash(self, fault: Fault, unfinished: list[Request], outcome: str) -> None:
        """Write a crash report."""


class Recovery:
    """Restores the engine after a failure and decides how its work is retried. Runs on the
    engine's thread."""

    def __init__(self, scheduler: Scheduler, owner: EngineOwner):
        self._scheduler = scheduler
        self._owner = owner
        self.in_progress = False
        self.faults = 0
        self.restarts = 0
        self.bad_prompts = 0

    def recover(self, fault: Fault) -> None:
        """Restore the engine and put its unfinished work in line for a retry.

        Raises EngineError when the engine is lost; `Scheduler.fail_all` then ends the work.
        """
        scheduler = self._scheduler
        self.faults += 1
        group = scheduler.hold_all()
        log.error("the engine failed (%s) with %d requests", fault.reason, len(group.requests))
        if fault.kind == "memory" and scheduler.halve_slots():
            log.error("out of memory: %d answers at once from now on", scheduler.slots)
        else:
            group.failures += 1
            if fault.kind == "dead" and group.failures > 1:
                scheduler.halve_slots()  # a process that dies gives no reason: it may be memory
        self._restore_engine(fault)
        self._plan_retry(scheduler.held.popleft())
        scheduler.continue_retries()

    def _restore_engine(self, fault: Fault) -> None:
        """Leave an engine that answers, the old one or a new one. Raises EngineError."""
        self.in_progress = True
        try:
            if fault.kind != "dead" and self._answers_probe():
                return
            reason = fault.reason
            for _ in range(MAX_RESTARTS):
                # Nothing is written during a restart: what is due before its end ends now.
                ready = time.monotonic() + self._owner.restart_seconds()
                self._scheduler.cut_held(ready)
                self._owner.report_crash(fault, self._unfinished(), "the engine is restarted")
                self.restarts += 1
                self._scheduler.engine = None  # its memory must be free before the next one loads
                try:
                    self._scheduler.engine = self._owner.restart()
                except EngineError as error:
                    reason = str(error)
                    continue
                if self._answers_probe():
                    return
            self._owner.report_crash(fault, self._unfinished(), "the engine is lost")
            raise EngineError(f"vLLM died: {reason}")
        finally:
            self.in_progress = False

    def _answers_probe(self) -> bool:
        """Whether the engine, empty now, answers a probe."""
        try:
            self._owner.free_memory()
            # A failed step may have left blocks marked as computed that never were.
            if self._scheduler.engine.reset_prefix_cache() is False:
                log.error("the engine's prefix cache cannot be reset: blocks are still in use")
                return False
            self._scheduler.probe(PROBE_PROMPT)
        except Exception as error:  # noqa: BLE001 - whatever it is, this engine is of no use
            log.error("the engine does not answer a probe: %s", error)
            return False
        return True

    def _plan_retry(self, group: RetryGroup) -> None:
        """Put a group that failed back in line: as it is, bisected, or ended."""
        scheduler, count = self._scheduler, len(group.requests)
        if count == 0:
            return
        if group.failures == 0:  # memory: half as many at once may do
            scheduler.enqueue(group.requests)
        elif group.failures == 1 or (count == 1 and group.failures < FAILURES_OF_A_BAD_PROMPT):
            scheduler.held.appendleft(group)
        elif count == 1:
            self.bad_prompts += 1
            request = group.requests[0]
            tokens = len(request.batch.prompts[request.index])
            log.error("a prompt of %d tokens fails whenever it is tried: left out", tokens)
            request.finish(Answer("", 0, "error"))
            # The failures were this prompt's: the others get their slots back.
            scheduler.restore_slots()
        else:
            half = count // 2
            log.error("failed twice: %d requests are tried in two halves", count)
            for part in (group.requests[half:], group.requests[:half]):
                scheduler.held.appendleft(RetryGroup(part, 1))

    def _unfinished(self) -> list[Request]:
        return [request for group in self._scheduler.held for request in group.requests]
