"""Continuous batching on vLLM's `llm_engine`: which requests run, wait, are cut or tried again.

Uses `add_request`, `step` and `abort_request`, which every version has, and vllm_versions.py. Runs
on the engine's thread only. vLLM returns token ids: with `detokenize=True` it would decode every
token of every answer as it comes.

The engine gets as many requests as it can run, or a few more. The others wait here: they can be
dropped at no cost, and calls take turns. With CUDA graphs, freed slots are refilled several at a
time, because a step that computes prompts beside answers can hold more tokens than the largest
graph, and a step without a graph costs several with one.

Further draws (`Batch.is_draws`) begin when nothing else waits, and are put back when a running
answer may need their time. After a failure (recovery.py) the unfinished requests are retried in
groups, one group at a time, but for draws, which end; until the last group has ended, new batches
are held in a group of their own.
"""

import logging
import statistics
import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any

from serving.engine.base import Answer, Batch, EngineError, FinishReason
from serving.engine.fair_share import CallLoad, fair_token_limit, time_for_draws
from serving.engine.repetition import RepetitionWatch, TokenKinds
from serving.engine.requests import Queues, Request, RetryGroup
from serving.engine.vllm_versions import (
    engine_input,
    partial_tokens,
    rejection_types,
    sampling_params,
)

log = logging.getLogger(__name__)

# Steps between two checks of fair shares: a check costs less than a step, but not nothing.
FAIR_SHARE_STEPS = 4
# Steps between two looks for answers that run in a loop.
REPETITION_STEPS = 16
# Longest time for handing requests to the engine in one go: a deadline may be near.
FILL_S = 0.1
# Weight of the newest step in the running mean of their seconds.
STEP_WEIGHT = 0.1
# Steps whose median is the time of one that computes no prompt: a prompt takes many times as long,
# and the few of a batch of draws must not look like slow answers.
USUAL_STEPS = 16


class Scheduler:
    """Batches in flight on one `llm_engine`: requests in, finished or partial answers out.

    decode: token ids to text. slots: answers at once. refill: free slots that are filled together,
    unless fewer requests than that wait. kinds: of the tokens, when answers that run in a loop are
    to be ended. ends: tokens that end an answer beside those that the model's files name.
    """

    def __init__(
        self,
        engine: Any,
        decode: Callable[[list[int]], str],
        temperature: float,
        slots: int,
        refill: int = 1,
        kinds: TokenKinds | None = None,
        ends: Sequence[int] = (),
    ):
        self.engine = engine
        self.decode = decode
        self.slots = slots
        self.refill = refill
        self._kinds = kinds
        # Refilled one by one, no slot stays empty for a step when vLLM's own queue holds some.
        self._ahead = max(8, slots // 8) if refill == 1 else 0
        self._running: dict[str, Request] = {}
        self._queues = Queues()
        # Preempted requests, queued for another attempt.
        self._preempted = Queues()
        self._draws = Queues()
        self._ever_drew = False  # spares those who do not the look for running draws
        self._draws_wait = False  # put back once: until all other answers have ended
        # Slots were just freed by preemption: fill them whatever `refill` says.
        self._just_preempted = False
        # After a failure: the group that is being retried, and the groups that wait for their turn.
        self._retried: RetryGroup | None = None
        self.held: deque[RetryGroup] = deque()
        self._slots_before: int | None = None
        self._next_id = 0
        self._params = sampling_params(temperature, ends)
        self._rejections = rejection_types()
        # When the current step began (`time.monotonic()`); None between steps.
        self.in_step_since: float | None = None
        self._steps = 0
        self._step_seconds = 0.0
        self._last_steps: deque[float] = deque(maxlen=USUAL_STEPS)

    @property
    def busy(self) -> bool:
        """Whether a step has anything to do."""
        return bool(self._running or self._queues or self._preempted or self._draws)

    @property
    def running(self) -> int:
        """Requests that the engine has."""
        return len(self._running)

    @property
    def waiting(self) -> int:
        """Requests that wait here, those held after a failure among them."""
        return self._queued + sum(len(group.requests) for group in self.held)

    @property
    def waiting_draws(self) -> int:
        """Those of the waiting that are further draws."""
        return len(self._draws)

    @property
    def retrying(self) -> bool:
        """Whether requests of a failed step are not all through yet."""
        return self._retried is not None or bool(self.held)

    @property
    def _queued(self) -> int:
        return len(self._queues) + len(self._preempted) + len(self._draws)

    def add(self, batch: Batch) -> None:
        """Take a batch; it enters the engine before the next step, or after the retries: a new
        batch must not fail together with a prompt that is at fault."""
        requests = [Request(batch, index) for index in range(len(batch.prompts))]
        if not self.retrying:
            self.enqueue(requests)
            return
        if not self.held or self.held[-1].failures:
            self.held.append(RetryGroup([]))
        self.held[-1].requests.extend(requests)

    def enqueue(self, requests: Sequence[Request]) -> None:
        """Queue requests behind those of their call."""
        for request in requests:
            (self._draws if request.batch.is_draws else self._queues).add(request)
            self._ever_drew |= request.batch.is_draws

    def release(self, count: int) -> list[Request]:
        """Give up to `count` requests away that have not begun, the last ones first."""
        released = self._queues.release(count)
        released += self._draws.release(count - len(released))
        self.continue_retries()  # it may have been all of a group, and no step would come
        return released

    def halve_slots(self) -> bool:
        """Run half as many requests at once from now on, and none ahead of them. False: it is one
        at a time already."""
        smaller = self.slots > 1 or self._ahead > 0
        self.slots = max(1, self.slots // 2)
        self._ahead = 0
        return smaller

    def restore_slots(self) -> None:
        """Run as many at once as before the failures that are being retried."""
        self.slots = self._slots_before or self.slots

    def step(self) -> None:
        """One step of the engine; deliver what it finished and cut what is past its deadline."""
        # A request due in the middle of a step gains nothing by it and would be late after it.
        self._cut_late(self._step_seconds / 2)
        self._fill_slots()
        if self._running:
            began = self.in_step_since = time.monotonic()
            try:
                outputs = self.engine.step()
            finally:
                self.in_step_since = None
            for output in outputs:
                if output.finished and output.request_id in self._running:
                    request = self._running.pop(output.request_id)
                    ended = output.outputs[0]
                    reason = "length" if ended.finish_reason == "length" else "stop"
                    request.finish(self._ended(request, ended.token_ids, reason))
            seconds = time.monotonic() - began
            self._steps += 1
            weight = STEP_WEIGHT if self._step_seconds else 1.0
            self._step_seconds += weight * (seconds - self._step_seconds)
            self._last_steps.append(seconds)
        self._cut_late()
        if self._kinds is not None and self._steps % REPETITION_STEPS == 0:
            self._end_loops()
        waits = self._queues or len(self._running) > self.slots
        if self._steps % FAIR_SHARE_STEPS == 0:
            if self._ever_drew:
                self._put_draws_back()
            if waits:
                self._preempt_for_fair_shares()
        self.continue_retries()

    def hold_all(self) -> RetryGroup:
        """Abort everything in flight, keeping partial answers. It becomes the first held group: the
        one that was being retried, or a new one. Draws end: none is worth a failure."""
        if self._slots_before is None:
            self._slots_before = self.slots
        group, self._retried = self._retried or RetryGroup([]), None
        group.requests = self._abort_all()
        self.held.appendleft(group)
        return group

    def continue_retries(self) -> None:
        """Cut held requests past their deadline; when nothing runs, start the next group."""
        if not self.retrying:
            return
        self.cut_held(time.monotonic())
        while not self.busy:
            self._retried = self.held.popleft() if self.held else None
            if self._retried is None:
                self._slots_before = None
                return
            self.enqueue(self._retried.requests)

    def cut_held(self, until: float) -> None:
        """End held requests whose deadline is not after `until`."""
        for group in self.held:
            in_time = []
            for request in group.requests:
                if request.batch.deadline > until:
                    in_time.append(request)
                else:
                    request.finish(Answer("", 0, request.cut_reason))
            group.requests = in_time

    def fail_all(self, error: EngineError) -> None:
        """The engine is lost: every batch ends with what it has."""
        self.hold_all()
        for batch in {request.batch for group in self.held for request in group.requests}:
            batch.fail(error)
        self.held.clear()

    def probe(self, prompt: list[int]) -> None:
        """Generate one token for a prompt, with nothing else in the engine. Raises what the engine
        raises, EngineError when no answer comes."""
        request_id = f"probe{self._next_id}"
        self._next_id += 1
        self.engine.add_request(request_id, engine_input(prompt), self._params(1))
        for _ in range(50):
            if any(output.finished for output in self.engine.step()):
                return
        raise EngineError("no answer to a probe within 50 steps")

    def _abort_all(self) -> list[Request]:
        if self._running:
            try:
                for request_id, tokens in partial_tokens(self.engine, self._running).items():
                    if not self._running[request_id].batch.is_draws:
                        self._keep_partial(self._running[request_id], tokens)
            except Exception:  # noqa: BLE001 - a broken engine may break anywhere
                log.warning("the partial answers cannot be read", exc_info=True)
            try:
                self.engine.abort_request(list(self._running))
            except Exception:  # noqa: BLE001 - the probe that follows shows whether it matters
                log.warning("the engine does not take the abort", exc_info=True)
        requests = [*self._running.values(), *self._queues, *self._preempted, *self._draws]
        for waits in (self._running, self._queues, self._preempted, self._draws):
            waits.clear()
        for request in requests:
            if request.batch.is_draws:
                request.finish(Answer("", 0, "error"))
        return [request for request in requests if not request.batch.is_draws]

    def _fill_slots(self) -> None:
        room = self.slots + self._ahead - len(self._running)
        few = room < self.refill and room < min(self.slots, self._queued)
        if few and not self._just_preempted:
            return
        self._just_preempted = False
        until = time.monotonic() + FILL_S
        while room > 0 and self._queues and time.monotonic() < until:
            room -= self._start(self._queues.next())
        # A second attempt never waits in the engine in front of a first one.
        while self._preempted and not self._queues and len(self._running) < self.slots:
            self._start(self._preempted.next())
        if self._draws and not self._queues and self._time_for_draws():
            while self._draws and len(self._running) < self.slots and time.monotonic() < until:
                self._start(self._draws.next())

    def _start(self, request: Request) -> int:
        """Hand a request to the engine; returns how many it took, 0 when it rejected the prompt."""
        batch, index = request.batch, request.index
        request_id = f"q{self._next_id}"
        self._next_id += 1
        prompt = batch.prompts[index]
        params = self._params(request.longest, batch.ignore_eos, batch.draw_temperature)
        # Answers of a given length are meant to go on, whatever they say.
        watched = self._kinds is not None and not batch.ignore_eos
        request.watch = RepetitionWatch(self._kinds) if watched else None
        self._running[request_id] = request  # before the call: whatever it raises, it is not lost
        try:
            self.engine.add_request(request_id, engine_input(prompt), params)
        except self._rejections as error:
            # One bad prompt must not fail the others; it answers "" and the log says why.
            del self._running[request_id]
            log.error("vLLM rejected a prompt of %d tokens: %s", len(prompt), error)
            request.finish(Answer("", 0, "error"))
            return 0
        return 1

    def _cut_late(self, margin: float = 0.0) -> None:
        now = time.monotonic() + margin
        late = {rid: r for rid, r in self._running.items() if r.batch.deadline <= now}
        if late:
            tokens = partial_tokens(self.engine, late.keys())
            self.engine.abort_request(list(late))
            for request_id, request in late.items():
                del self._running[request_id]
                written = tokens.get(request_id, [])
                request.finish(self._ended(request, written, request.cut_reason))
        waiting = self._queues.take_late(now) + self._preempted.take_late(now)
        for request in waiting + self._draws.take_late(now):
            request.finish(Answer("", 0, request.cut_reason))
        unfinished = sum(not request.batch.is_draws for request in late.values())
        if unfinished or waiting:
            log.warning(
                "%d unfinished answers returned as they stand, %d waiting ones dropped",
                unfinished,
                len(waiting),
            )

    def _time_for_draws(self) -> bool:
        """Whether every other answer would be in time, were it as long as it may be."""
        others = [request for request in self._running.values() if not request.batch.is_draws]
        usual = statistics.median(self._last_steps) if self._last_steps else 0.0
        beside = len(others) < len(self._running)
        others += [*self._queues, *self._preempted]
        self._draws_wait &= bool(others)
        return not self._draws_wait and time_for_draws(others, self.slots, usual, beside)

    def _put_draws_back(self) -> None:
        """When a running answer may need the time that draws take, they begin again later."""
        draws = {rid: r for rid, r in self._running.items() if r.batch.is_draws}
        if draws and not self._time_for_draws():
            self.engine.abort_request(list(draws))
            self._just_preempted = self._draws_wait = True
            for request_id in reversed(draws):
                self._draws.add_first(self._running.pop(request_id))

    def _preempt_for_fair_shares(self) -> None:
        """When not everything can finish in time, preempt answers that are over their fair share
        (fair_share.py), as many as wait."""
        running: dict[object, list[str]] = {}
        for request_id, request in self._running.items():
            if not request.batch.is_draws:
                running.setdefault(request.batch.call, []).append(request_id)
        now = time.monotonic()
        for call, ids in running.items():
            queued = self._queues.of(call)
            request = self._running[ids[0]]
            slots = min(self.slots, len(ids))
            steps_left = (request.batch.deadline - now) / max(self._step_seconds, 1e-6)
            longest = max(request.longest, 1)
            if steps_left * slots >= (queued + len(ids)) * longest:
                continue  # time for everything: spare the reading of the engine's states
            tokens = partial_tokens(self.engine, ids)
            begun = [rid for rid in ids if tokens.get(rid)]
            waiting = queued + len(ids) - len(begun)  # in the engine's own queue, too
            load = CallLoad(waiting, slots, steps_left, longest)
            limit = fair_token_limit(load, [len(tokens[rid]) for rid in begun])
            over = [rid for rid in begun if len(tokens[rid]) >= limit][:waiting]
            if not over:
                continue
            for request_id in over:
                self._keep_partial(self._running[request_id], tokens[request_id])
            self.engine.abort_request(over)
            self._just_preempted = True
            for request_id in over:
                self._preempted.add(self._running.pop(request_id))

    def _end_loops(self) -> None:
        """End the answers that have come to run in a loop (repetition.py)."""
        watches = {rid: r.watch for rid, r in self._running.items() if r.watch is not None}
        tokens = partial_tokens(self.engine, watches)
        looks = {rid: watches[rid].look(written) for rid, written in tokens.items()}
        looped = {rid: kept for rid, kept in looks.items() if kept is not None}
        if looped:
            self.engine.abort_request(list(looped))
            log.info("%d answers repeat themselves: ended", len(looped))
        for request_id, kept in looped.items():
            answer = self._answer(tokens[request_id][:kept], "repeat")
            self._running.pop(request_id).finish(answer)

    def _ended(self, request: Request, tokens: Sequence[int], reason: FinishReason) -> Answer:
        """The answer of ended tokens; a loop at their end is cut."""
        watch = request.watch if reason in ("length", "deadline") else None
        kept = watch.look(tokens, at_once=True) if watch is not None else None
        return self._answer(tokens[:kept], reason if kept is None else "repeat")

    def _answer(self, tokens: Sequence[int], reason: FinishReason) -> Answer:
        return Answer(self.decode(list(tokens)), len(tokens), reason)

    def _keep_partial(self, request: Request, tokens: Sequence[int]) -> None:
        request.batch.keep_partial(request.index, self._answer(tokens, "deadline"))
