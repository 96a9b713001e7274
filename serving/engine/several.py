"""Several engines on one device behind the interface of one (ENGINES_PER_GPU).

A small model is limited by what the host does in each step, and engines in processes of their own
do that at the same time. Every batch is shared out when it comes, the longest questions first, to
whichever engine has least to do; an engine that has run dry gets questions that have not begun from
one that lags. Each engine keeps deadlines, fair shares and its own recovery (vllm_engine.py). When
one dies its questions go to the others, and it is started again.
One that does not load in time for the start is left out: that is no reason to lose the start.
"""

import heapq
import logging
import threading
import time
from typing import Any

from serving.engine.base import Answer, Batch, EngineError, ModelError
from serving.engine.compile_cache import use_compile_cache
from serving.engine.crash_report import spread, write_crash_report
from serving.engine.members import Member, Question, SentPart
from serving.engine.messages import (
    Deadline,
    Failed,
    GiveBack,
    Go,
    Part,
    Ready,
    Report,
    ResetPrefixCache,
)
from serving.engine.mps import MultiProcessService
from serving.engine.shares import on_processor, shares, takes_cache_bytes
from serving.engine.worker_process import WorkerProcess
from serving.settings import Settings

log = logging.getLogger(__name__)

# How often deadlines that were brought forward are passed on; how long one of several engines that
# load is listened to before the next.
TICK_S = 0.05
# What is unfinished so long after its deadline, on an engine that is busy with a failure, ends.
LATE_S = 0.1
# Engines that may die under a question, before they have answered anything beside it, until it is
# left out as one that may kill them.
DEATHS = 4
# Deaths in a row, without an answer in between, after which an engine is given up.
RESTARTS = 2


class SeveralEngines:
    """`Engine` made of several vLLM engines on one device."""

    name = "vllm"

    def __init__(self, settings: Settings, count: int, ready_by: float | None = None):
        """ready_by: `time.monotonic()` value until which engines are waited for once one of them
        has loaded; None: as long as it takes."""
        self._settings, self._ready_by = settings, ready_by
        self._members = [Member(WorkerProcess(share)) for share in shares(count)]
        self._lock = threading.RLock()
        self._homeless: list[Question] = []
        self._next_part = 0
        self._error: EngineError | None = None
        self._stopping = threading.Event()
        self._restarts = 0
        self._mps = MultiProcessService()
        self._facts: dict[str, Any] = {}
        self.max_model_len = settings.max_model_len
        self.warmup_questions = count

    def start(self) -> None:
        """Load all engines, at the same time where they cannot take each other's memory for their
        own. Raises ModelError or EngineError when none of them starts."""
        if self._settings.compile_cache_dir is not None:  # the processes find it set: one cache
            use_compile_cache(self._settings.compile_cache_dir)
            self._settings = self._settings.model_copy(update={"compile_cache_dir": None})
        asked = {"max_model_len": self.max_model_len}
        self._settings = self._settings.model_copy(update=asked)
        mps = self._settings.cuda_mps and self._mps.start()
        self._facts = {"cuda_mps": mps}
        try:
            self._load_all(together=takes_cache_bytes() or on_processor())
        except EngineError:
            self.stop()
            raise
        for member in self._members:
            if member.ready is not None:
                self._serve(member)
        threading.Thread(target=self._pass_deadlines_on, name="deadlines", daemon=True).start()

    def submit(self, batch: Batch) -> None:
        """Share a batch out. Raises EngineError when all engines are lost."""
        with self._lock:
            if self._error is not None:
                raise self._error
            self._deal([Question(batch, index) for index in range(len(batch.prompts))])

    def healthy(self) -> bool:
        """Whether one engine is up or will be."""
        return self._error is None

    @property
    def recovering(self) -> bool:
        """Whether all engines are busy with a failure: nothing is delivered meanwhile."""
        return all(not member.up or member.report.recovering for member in self._members)

    def stats(self) -> dict[str, float]:
        """The sums of all engines' figures; restarts count those of whole processes, too."""
        with self._lock:
            reports = [member.report.stats for member in self._members if member.up]
            sums = {name: sum(r.get(name, 0) for r in reports) for r in reports for name in r}
            sums["waiting"] = sums.get("waiting", 0) + len(self._homeless)
            sums["restarts"] = sums.get("restarts", 0) + self._restarts
            return sums | {"engines": len(reports)}

    def info(self) -> dict[str, Any]:
        """The first engine's facts, which are all engines', and `stats`."""
        first = next((m.ready.info for m in self._members if m.ready is not None), {})
        return first | {"max_model_len": self.max_model_len} | self._facts | self.stats()

    def reset_prefix_cache(self) -> None:
        """For measurements: no engine remembers a prompt."""
        with self._lock:
            for member in self._members:
                member.process.send(ResetPrefixCache())

    def stop(self) -> None:
        """End all engines; unfinished batches fail."""
        self._stopping.set()
        stopped = EngineError("the engine was stopped")
        with self._lock:
            self._error = self._error or stopped
            open_batches = {q.batch for q in self._homeless}
            for member in self._members:
                open_batches |= {part.batch for part in member.parts.values()}
            for batch in open_batches:
                batch.fail(stopped)
        for member in self._members:
            member.process.ask_to_end()
        for member in self._members:
            member.process.end()
        self._mps.stop()

    # Loading, serving, and starting again.

    def _load_all(self, together: bool) -> None:
        """Load the engines; those that fail, or are not ready in time, are left out. Raises
        ModelError or EngineError, of whichever failed first, when that is all of them."""
        for member in self._members:  # they import their libraries even where they may not load yet
            member.process.start(
                self._settings, hold=not together and member is not self._members[0]
            )
        failed: list[tuple[Member, EngineError]] = []
        for group in [self._members] if together else [[member] for member in self._members]:
            if not together and group[0] is not self._members[0]:
                group[0].process.send(Go())
            failed += self._load(group)
        if len(failed) == len(self._members):
            raise failed[0][1]
        for member, error in failed:
            member.deaths = RESTARTS + 1  # it is not started again
            told = f"engine {member.process.share.index} of {len(self._members)}: {error}"
            log.error("going on without %s", told)
            self._facts.setdefault("left_out", []).append(told)

    def _load(self, members: list[Member]) -> list[tuple[Member, EngineError]]:
        """Wait for engines that load at the same time. Those that did not load, and why.

        All are asked in turns: one that hangs is left out when the time is up and any other has
        loaded, whichever comes first in the list.
        """
        waiting, failed = list(members), []
        while waiting:
            for member in list(waiting):
                some = any(other.ready is not None for other in self._members)
                late = some and self._ready_by is not None and time.monotonic() >= self._ready_by
                try:
                    self._loaded(member, TICK_S)
                except TimeoutError:
                    if not late:
                        continue
                    member.process.end(grace=0)
                    told = "it had not loaded in the time that the start has for it"
                    failed.append((member, EngineError(told)))
                except EngineError as error:
                    member.process.end()  # its memory is the next one's
                    failed.append((member, error))
                waiting.remove(member)
        return failed

    def _loaded(self, member: Member, seconds: float | None = None) -> None:
        """Wait until an engine has loaded. Raises ModelError or EngineError; TimeoutError when it
        has said nothing in that time."""
        message = member.process.receive(seconds)
        if isinstance(message, Ready):
            member.ready = message
            self.max_model_len = min(self.max_model_len, message.max_model_len)
            loaded = [m.ready for m in self._members if m.ready is not None]
            self.warmup_questions = sum(ready.warmup_questions for ready in loaded)
            return
        if isinstance(message, Failed):
            raise (ModelError if message.hopeless else EngineError)(message.reason)
        raise EngineError("an engine's process ended while it loaded")

    def _serve(self, member: Member) -> None:
        """The engine has loaded: it gets questions from now on, and its messages are read."""
        with self._lock:
            member.up, member.report, member.load = True, Report(), 0.0
            member.asked_back = member.nothing_to_give = False
            homeless, self._homeless = self._homeless, []
            self._deal(homeless)
        threading.Thread(target=self._read, args=(member,), name="engine", daemon=True).start()

    def _read(self, member: Member) -> None:
        while (message := member.process.receive()) is not None:
            with self._lock:
                self._take(member, message)
        if not self._stopping.is_set():
            self._died(member)

    def _take(self, member: Member, report: Report) -> None:
        for number, index, answer in report.partial:
            if (part := member.parts.get(number)) and index in part.open:
                question = part.open[index]
                question.batch.keep_partial(question.index, answer)
        for number, index, answer in report.answers:
            if question := member.take_open(number, index):
                question.batch.finish(question.index, answer)
                if not question.batch.is_draws:  # a failure ends those as well
                    member.deaths = 0
                    member.answered += 1
        member.report = report
        if report.given_back is not None:
            member.asked_back = False
            member.nothing_to_give = not report.given_back
            taken = [member.take_open(*place) for place in report.given_back]
            self._deal([question for question in taken if question])
        self._balance()

    def _died(self, member: Member) -> None:
        """An engine is gone: others answer its questions, and it is started again."""
        with self._lock:
            member.up = False
            member.deaths += 1
            left = [question for part in member.parts.values() for question in part.open.values()]
            for part in member.parts.values():
                if part.answered_at == member.answered:
                    for question in part.open.values():
                        question.deaths += 1
            member.parts.clear()
            reason = f"engine {member.process.share.index} of {len(self._members)} is gone"
            log.critical("%s with %d questions", reason, len(left))
            self._report_crash(reason, left)
            for question in left:
                if question.deaths >= DEATHS:
                    log.error("a question was there whenever an engine died: left out")
                # No draw is worth another failure.
                if question.deaths >= DEATHS or question.batch.is_draws:
                    question.batch.finish(question.index, Answer("", 0, "error"))
                else:
                    self._homeless.append(question)
            waits, self._homeless = self._homeless, []
            self._deal(waits)
        while not self._stopping.is_set():
            if member.deaths > RESTARTS:
                self._give_up(member, reason)
                return
            try:
                self._restarts += 1
                member.process.end()
                member.process.start(self._settings)
                self._loaded(member)
            except EngineError as error:
                reason = str(error)
                member.deaths += 1
                log.error("an engine does not start again: %s", reason)
            else:
                self._serve(member)
                return

    def _give_up(self, member: Member, reason: str) -> None:
        log.critical("engine %d is given up: %s", member.process.share.index, reason)
        with self._lock:
            if any(other.up or other.deaths <= RESTARTS for other in self._members):
                return
            self._error = EngineError(f"vLLM died: {reason}")
            for batch in {question.batch for question in self._homeless}:
                batch.fail(self._error)
            self._homeless = []

    def _report_crash(self, reason: str, left: list[Question]) -> None:
        shape = {
            "calls": len({question.batch.call for question in left}),
            "prompt_tokens": spread([len(q.batch.prompts[q.index]) for q in left]),
            "max_tokens": spread([q.batch.max_tokens[q.index] for q in left]),
        }
        info = self.info()
        write_crash_report(self._settings.crash_dir, reason, "", "it is restarted", shape, info)

    # Sharing out. All of it under the lock.

    def _deal(self, questions: list[Question]) -> None:
        """Give each question to the engine that has least to do, the longest ones first."""
        if not questions:
            return
        up = [member for member in self._members if member.up]
        # One that is busy with a failure delivers nothing, if there is another.
        able = [member for member in up if not member.report.recovering] or up
        if not able:
            self._homeless += questions
            return
        heap = [(member.load, place) for place, member in enumerate(able)]
        heapq.heapify(heap)
        dealt: dict[tuple[int, Batch], list[Question]] = {}
        for question in sorted(questions, key=lambda q: -q.load):
            load, place = heap[0]
            heapq.heapreplace(heap, (load + question.load, place))
            dealt.setdefault((place, question.batch), []).append(question)
        for (place, batch), mine in dealt.items():
            # In the order in which they were asked: who came first starts first.
            self._send(able[place], batch, sorted(mine, key=lambda q: q.index))

    def _send(self, member: Member, batch: Batch, questions: list[Question]) -> None:
        number, self._next_part = self._next_part, self._next_part + 1
        part = SentPart(batch, dict(enumerate(questions)), batch.deadline, member.answered)
        member.parts[number] = part
        member.load += sum(question.load for question in questions)
        member.nothing_to_give = False
        member.process.send(
            Part(
                number,
                [batch.prompts[q.index] for q in questions],
                [batch.max_tokens[q.index] for q in questions],
                part.deadline,
                id(batch.call),
                batch.ignore_eos,
                batch.draw_temperature,
            )
        )

    def _balance(self) -> None:
        """An engine with nothing more to begin gets half of what another has not begun; one that
        has only draws left gets what are none."""
        able = [m for m in self._members if m.up and not m.report.recovering]
        for draws in (False, True):
            lagging = max(able, key=lambda m: m.waiting(draws), default=None)
            waiting = lagging.waiting(draws) if lagging else 0
            room = sum(member.room(draws) for member in able if member is not lagging)
            if room and waiting > 1 and not (lagging.asked_back or lagging.nothing_to_give):
                lagging.asked_back = True
                lagging.process.send(GiveBack(min(room, (waiting + 1) // 2)))
                return

    # Deadlines.

    def _pass_deadlines_on(self) -> None:
        while not self._stopping.wait(TICK_S):
            with self._lock:
                now = time.monotonic()
                self._homeless = [q for q in self._homeless if not q.ended(now)]
                for member in self._members:
                    for number, part in member.parts.items():
                        if part.batch.deadline != part.deadline:
                            part.deadline = part.batch.deadline
                            message = Deadline(number, part.deadline, part.batch.cancelled)
                            member.process.send(message)
                    if member.report.recovering:
                        member.end_late(now - LATE_S)
