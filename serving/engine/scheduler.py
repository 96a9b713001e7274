"""The step loop on vLLM's `llm_engine`: requests in, finished or partial answers out.

Uses what every version from 0.10.0 to the newest has: `add_request`, `step`, `abort_request`, and
for partial answers one internal (`partial_tokens`). Runs on the engine's thread only. vLLM is asked
for token ids: as text it would write every token by itself, once a step for each running answer.

The engine gets as many requests as it can run, or a few more; the others wait here, where they
cost nothing, can be dropped at once, and calls take turns. With graphs, freed slots are filled
several at a time: a step that computes a prompt beside answers may hold more tokens than there is
a graph for, and then costs several others.
"""

import logging
import time
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from serving.engine.base import Answer, Batch, EngineError, FinishReason
from serving.engine.fair_share import Call, longest_fair_answer

log = logging.getLogger("serving.steps")

# Steps between two looks at who should make room: a look costs less than a step, but not nothing.
LOOK_EVERY = 4
# Longest time for handing requests to the engine in one go: a deadline may be near.
FEED_S = 0.1
# Weight of the newest step in the running mean of their seconds.
STEP_WEIGHT = 0.1


@dataclass(eq=False)
class Request:
    """One prompt of a batch on its way through the engine."""

    batch: Batch
    index: int

    def finish(self, answer: Answer) -> None:
        """Record its answer."""
        self.batch.finish(self.index, answer)


class StepLoop:
    """Batches in flight on one `llm_engine`: requests in, finished or partial answers out.

    decode: the text of an answer's token ids. slots: answers at once. refill: freed slots are
    filled when there are so many, or one for each that waits.
    """

    # Only for measurements: first come, first served, whatever the deadline does to the last.
    fair = True

    def __init__(
        self,
        engine: Any,
        decode: Callable[[list[int]], str],
        temperature: float,
        slots: int,
        refill: int = 1,
    ):
        from vllm import SamplingParams
        from vllm.sampling_params import RequestOutputKind

        self.engine = engine
        self.decode = decode
        self.slots = slots
        self.refill = refill
        # Filled one by one, no slot stays empty for a step when vLLM's own queue holds some.
        self._ahead = max(8, slots // 8) if refill == 1 else 0
        # Somebody has just made room for others: they enter whatever `refill` says.
        self._room_made = False
        self._live: dict[str, Request] = {}
        # One line a call, so that calls take turns; a dict keeps their order.
        self._lines: dict[object, deque[Request]] = {}
        # Who has had a share and made room for others; what they had is kept.
        self._again: dict[object, deque[Request]] = {}
        self._next_id = 0
        # Each request has its own: without vLLM's deep copy of them, and as an input of vLLM's own
        # kind (`_engine_input`), adding one takes 0.06 ms instead of 0.10 (0.32.0, 2 cores).
        own = {"skip_clone": True} if "skip_clone" in SamplingParams.__struct_fields__ else {}
        self._params = lambda max_tokens, ignore_eos=False: SamplingParams(
            temperature=temperature,
            max_tokens=max_tokens,
            ignore_eos=ignore_eos,
            # One output an answer, not one a token.
            output_kind=RequestOutputKind.FINAL_ONLY,
            detokenize=False,
            **own,
        )
        self._rejections = _rejection_types()
        # When the step that runs now began (`time.monotonic()`); None between steps.
        self.in_step_since: float | None = None
        self._steps = 0
        self._step_seconds = 0.0

    @property
    def busy(self) -> bool:
        """Whether a step has anything to do."""
        return bool(self._live or self._lines or self._again)

    @property
    def running(self) -> int:
        """Requests that the engine has."""
        return len(self._live)

    @property
    def waiting(self) -> int:
        """Requests that wait here."""
        return sum(len(line) for lines in (self._lines, self._again) for line in lines.values())

    def add(self, batch: Batch) -> None:
        """Take a batch's prompts; they enter the engine's scheduler before the next step."""
        self.put_back([Request(batch, index) for index in range(len(batch.prompts))])

    def put_back(self, requests: Sequence[Request]) -> None:
        """Take requests that have not finished elsewhere."""
        for request in requests:
            self._lines.setdefault(request.batch.call, deque()).append(request)

    def halve(self) -> bool:
        """Run half as many requests at once from now on, and none ahead of them. False: it is one
        at a time already."""
        smaller = self.slots > 1 or self._ahead > 0
        self.slots = max(1, self.slots // 2)
        self._ahead = 0
        return smaller

    def step(self) -> None:
        """One step of the engine; deliver what it finished and cut what is past its deadline."""
        # What is due before half a step has passed gains nothing by it, and is late after it.
        self._cut_late(self._step_seconds / 2)
        self._feed()
        if self._live:
            began = self.in_step_since = time.monotonic()
            try:
                outputs = self.engine.step()
            finally:
                self.in_step_since = None
            for output in outputs:
                if output.finished and output.request_id in self._live:
                    request = self._live.pop(output.request_id)
                    ended = output.outputs[0]
                    reason = "length" if ended.finish_reason == "length" else "stop"
                    request.finish(self._answer(ended.token_ids, reason))
            seconds = time.monotonic() - began
            self._steps += 1
            weight = STEP_WEIGHT if self._step_seconds else 1.0
            self._step_seconds += weight * (seconds - self._step_seconds)
        self._cut_late()
        waits = self._lines or len(self._live) > self.slots
        if self.fair and waits and self._steps % LOOK_EVERY == 0:
            self._make_room()

    def take_back(self) -> list[Request]:
        """Everything unfinished, out of the engine; what there is of each answer is kept."""
        try:
            for request_id, tokens in partial_tokens(self.engine, self._live).items():
                self._keep(self._live[request_id], tokens)
        except Exception:  # noqa: BLE001 - a broken engine may break anywhere; prefixes are extra
            log.warning("the prefixes cannot be read", exc_info=True)
        try:
            self.engine.abort_request(list(self._live))
        except Exception:  # noqa: BLE001 - likewise: whoever takes them back decides what it means
            log.warning("the engine does not take the abort", exc_info=True)
        requests = list(self._live.values())
        for lines in (self._lines, self._again):
            requests += [request for line in lines.values() for request in line]
        self._live.clear()
        self._lines.clear()
        self._again.clear()
        return requests

    def try_out(self, prompt: list[int], steps: int = 50) -> None:
        """Answer one token of a prompt, with nothing else in the engine. Raises what that raises,
        EngineError when no answer comes."""
        request_id = f"try{self._next_id}"
        self._next_id += 1
        self.engine.add_request(request_id, _engine_input(prompt), self._params(1))
        for _ in range(steps):
            if any(output.finished for output in self.engine.step()):
                return
        raise EngineError(f"no answer to a trial prompt within {steps} steps")

    def _feed(self) -> None:
        room = self.slots + self._ahead - len(self._live)
        few = room < self.refill and room < min(self.slots, self.waiting)
        if few and not self._room_made:
            return
        self._room_made = False
        until = time.monotonic() + FEED_S
        while room > 0 and self._lines and time.monotonic() < until:
            room -= self._enter(_next_in_turn(self._lines))
        # A second try never stands in the engine in front of a newcomer's first.
        while self._again and not self._lines and len(self._live) < self.slots:
            self._enter(_next_in_turn(self._again))

    def _enter(self, request: Request) -> int:
        batch, index = request.batch, request.index
        request_id = f"q{self._next_id}"
        self._next_id += 1
        prompt = batch.prompts[index]
        params = self._params(batch.max_tokens[index], batch.ignore_eos)
        self._live[request_id] = request  # before the call: whatever it raises, it is not lost
        try:
            self.engine.add_request(request_id, _engine_input(prompt), params)
        except self._rejections as error:
            # One bad prompt must not sink the others; it answers "" and the log says why.
            del self._live[request_id]
            log.error("vLLM rejected a prompt of %d tokens: %s", len(prompt), error)
            request.finish(Answer("", 0, "error"))
            return 0
        return 1

    def _cut_late(self, margin: float = 0.0) -> None:
        now = time.monotonic() + margin
        late = {rid: r for rid, r in self._live.items() if r.batch.deadline <= now}
        if late:
            tokens = partial_tokens(self.engine, late.keys())
            self.engine.abort_request(list(late))
            for request_id, request in late.items():
                del self._live[request_id]
                request.finish(self._answer(tokens.get(request_id, []), _why(request)))
        unstarted = 0
        for lines in (self._lines, self._again):
            # All of a call have one deadline, so the first in line tells.
            for call in [c for c, line in lines.items() if line[0].batch.deadline <= now]:
                line = lines.pop(call)
                unstarted += len(line)
                for request in line:
                    request.finish(Answer("", 0, _why(request)))
        if late or unstarted:
            log.warning(
                "%d unfinished answers returned as they stand, %d waiting ones dropped",
                len(late),
                unstarted,
            )

    def _make_room(self) -> None:
        """When not everything can finish in time, who has had a share makes room for others."""
        running: dict[object, list[str]] = {}
        for request_id, request in self._live.items():
            running.setdefault(request.batch.call, []).append(request_id)
        now = time.monotonic()
        for call, ids in running.items():
            line = self._lines.get(call, ())
            request = self._live[ids[0]]
            slots = min(self.slots, len(ids))
            steps_left = (request.batch.deadline - now) / max(self._step_seconds, 1e-6)
            longest = max(request.batch.max_tokens[request.index], 1)
            if steps_left * slots >= (len(line) + len(ids)) * longest:
                continue  # time for everything: not worth a look at the engine's states
            tokens = partial_tokens(self.engine, ids)
            begun = [rid for rid in ids if tokens.get(rid)]
            waiting = len(line) + len(ids) - len(begun)  # in the engine's own queue, too
            facts = Call(waiting, slots, steps_left, longest)
            limit = longest_fair_answer(facts, [len(tokens[rid]) for rid in begun])
            over = [rid for rid in begun if len(tokens[rid]) >= limit][:waiting]
            if not over:
                continue
            for request_id in over:
                self._keep(self._live[request_id], tokens[request_id])
            self.engine.abort_request(over)
            self._room_made = True
            again = self._again.setdefault(call, deque())
            again.extend(self._live.pop(request_id) for request_id in over)

    def _answer(self, tokens: Sequence[int], reason: FinishReason) -> Answer:
        return Answer(self.decode(list(tokens)), len(tokens), reason)

    def _keep(self, request: Request, tokens: Sequence[int]) -> None:
        request.batch.keep(request.index, self._answer(tokens, "deadline"))


def _engine_input(prompt: list[int]) -> dict[str, Any]:
    # The type makes it vLLM's own kind of input, which newer versions want; 0.10.0 ignores it.
    return {"type": "token", "prompt_token_ids": prompt}


def _next_in_turn(lines: dict[object, deque[Request]]) -> Request:
    """The first of the first line, which then stands last: the next turn is another call's."""
    call = next(iter(lines))
    line = lines.pop(call)
    request = line.popleft()
    if line:
        lines[call] = line
    return request


def _why(request: Request) -> FinishReason:
    return "cancelled" if request.batch.cancelled else "deadline"


def partial_tokens(engine: Any, request_ids: Iterable[str]) -> dict[str, list[int]]:
    """Token ids so far of unfinished requests; call it before aborting them.

    It and `_states` read vLLM's internals: `output_processor.request_states` is the same in 0.10.0
    and 0.32.0, but newer versions keep the caller's id as `external_req_id`. A test runs it on each
    version.
    """
    return {
        request_id: state.detokenizer.output_token_ids
        for request_id, state in _states(engine, request_ids)
    }


def _states(engine: Any, request_ids: Iterable[str]) -> Iterable[tuple[str, Any]]:
    wanted = set(request_ids)
    for state in list(engine.output_processor.request_states.values()):
        request_id = getattr(state, "external_req_id", None) or state.request_id
        if request_id in wanted and state.detokenizer is not None:
            yield request_id, state


def _rejection_types() -> tuple[type[Exception], ...]:
    """What `add_request` raises for a prompt it refuses: newer versions have their own class."""
    try:
        from vllm.exceptions import VLLMValidationError
    except ImportError:
        return (ValueError,)
    return (ValueError, VLLMValidationError)
