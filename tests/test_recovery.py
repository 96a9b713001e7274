"""Recovery against an engine that fails in every way at once: nothing is lost, and it ends.

The real vLLM's faults are in test_faults.py; here the combinations are, by the hundred.
"""

import time
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from serving.engine.base import Answer, Batch, EngineError
from serving.engine.recovery import Fault, Recovery, fault_of
from serving.engine.scheduler import Scheduler

pytestmark = pytest.mark.vllm


class FailingEngine:
    """What the scheduler uses of `llm_engine`; an answer takes as many steps as its prompt says.

    poison: first tokens of prompts that fail every step they are in. room: more requests than this
    are out of memory. stumbles: numbers of steps that fail once.
    """

    def __init__(self, poison: set[int], room: int, stumbles: set[int]):
        self.poison, self.room, self.stumbles = poison, room, stumbles
        self.output_processor = SimpleNamespace(request_states={})
        self.steps = 0
        self.dead = False

    def add_request(self, request_id: str, prompt: dict[str, list[int]], params: Any) -> None:
        if len(self.output_processor.request_states) >= self.room:
            raise RuntimeError("HIP out of memory")
        ids = prompt["prompt_token_ids"]
        tokens: list[int] = []
        state = SimpleNamespace(
            request_id=request_id,
            left=1 if params.max_tokens == 1 else ids[1],
            ids=ids,
            detokenizer=SimpleNamespace(output_token_ids=tokens),
        )
        self.output_processor.request_states[request_id] = state

    def abort_request(self, request_ids: list[str]) -> None:
        for request_id in request_ids:
            self.output_processor.request_states.pop(request_id, None)

    def reset_prefix_cache(self) -> bool:
        return not self.output_processor.request_states

    def step(self) -> list[Any]:
        self.steps += 1
        if self.dead:
            raise RuntimeError("dead")
        states = self.output_processor.request_states
        if any(state.ids[0] in self.poison for state in states.values()):
            raise RuntimeError("illegal access")
        if self.steps in self.stumbles:
            raise RuntimeError("once")
        done = []
        for request_id, state in list(states.items()):
            state.detokenizer.output_token_ids.append(7)
            state.left -= 1
            if state.left <= 0:
                del states[request_id]
                output = SimpleNamespace(token_ids=[1000 + state.ids[0]], finish_reason="stop")
                done.append(SimpleNamespace(request_id=request_id, finished=True, outputs=[output]))
        return done


def decode(token_ids: list[int]) -> str:
    """The engine's last token tells whose answer it is."""
    return f"answer {token_ids[-1] - 1000}" if token_ids[-1] >= 1000 else "x" * len(token_ids)


class Owner:
    """Restarts the same engine, so many times."""

    def __init__(self, engine: FailingEngine, lives: int = 0):
        self.engine, self.lives, self.reports = engine, lives, 0

    def restart(self) -> Any:
        if self.lives <= 0:
            raise EngineError("no more engines")
        self.lives -= 1
        return FailingEngine(self.engine.poison, self.engine.room, set())

    def restart_seconds(self) -> float:
        return 0.0

    def free_memory(self) -> None:
        pass

    def report_crash(self, fault: Fault, unfinished: list[Any], outcome: str) -> None:
        self.reports += 1


def prompts(count: int, first: int = 100) -> list[list[int]]:
    return [[first + i, 1 + i % 5] for i in range(count)]


def drive(scheduler: Scheduler, recovery: Recovery, limit: int = 20_000) -> None:
    """The engine thread's loop, until there is nothing to do."""
    for _ in range(limit):
        if not scheduler.busy:
            return
        fault = None
        try:
            scheduler.step()
        except Exception as error:  # noqa: BLE001 - as the engine's thread does
            fault = fault_of(error)
        if fault is not None:
            recovery.recover(fault)
    raise AssertionError("it does not end")


def made(engine: FailingEngine, slots: int, lives: int = 0) -> tuple[Scheduler, Recovery]:
    scheduler = Scheduler(engine, decode, 0.0, slots)
    return scheduler, Recovery(scheduler, Owner(engine, lives))


@settings(deadline=None, max_examples=100)
@given(
    count=st.integers(1, 40),
    poison=st.sets(st.integers(100, 139), max_size=3),
    room=st.integers(1, 60),
    stumbles=st.sets(st.integers(1, 60), max_size=1),
    slots=st.sampled_from([1, 4, 32]),
    late=st.integers(0, 5),
)
def test_whatever_fails_every_other_answer_is_right(
    count: int, poison: set[int], room: int, stumbles: set[int], slots: int, late: int
) -> None:
    engine = FailingEngine(poison, room, stumbles)
    scheduler, recovery = made(engine, slots, lives=50)
    end = time.monotonic() + 600
    first = Batch(prompts(count), [9] * count, end)
    scheduler.add(first)
    for _ in range(late):
        if scheduler.busy:
            try:
                scheduler.step()
            except RuntimeError as error:
                recovery.recover(fault_of(error))
    second = Batch(prompts(3, 500), [9] * 3, end)
    scheduler.add(second)
    drive(scheduler, recovery)
    assert first.done.done() and second.done.done()
    assert [a.text for a in second.answers()] == [f"answer {500 + i}" for i in range(3)]
    wrong = [100 + i for i, a in enumerate(first.answers()) if a.text != f"answer {100 + i}"]
    assert wrong == sorted(poison & set(range(100, 100 + count)))
    assert recovery.bad_prompts == len(wrong)
    assert not recovery.in_progress and not scheduler.retrying


def test_a_dead_engine_without_another_ends_with_what_there_is() -> None:
    engine = FailingEngine(set(), 99, set())
    scheduler, recovery = made(engine, 8)
    begun = Batch([[100, 9], [101, 1]], [9, 9], time.monotonic() + 60)
    late = Batch([[1, 9]], [9], time.monotonic() + 60)
    scheduler.add(begun)
    scheduler.step()
    scheduler.step()
    scheduler.add(late)
    engine.dead = True
    with pytest.raises(EngineError, match="no more engines") as caught:
        drive(scheduler, recovery)
    scheduler.fail_all(EngineError(str(caught.value)))
    assert [a.text for a in begun.answers()] == ["xx", "answer 101"]
    with pytest.raises(EngineError, match="no more engines"):
        late.answers()


def test_deadlines_hold_while_a_bad_prompt_is_looked_for() -> None:
    engine = FailingEngine({100}, 99, set())
    scheduler, recovery = made(engine, 8)
    scheduler.add(
        Batch([[100, 1], *[[n, 10**9] for n in range(200, 203)]], [9] * 4, time.monotonic() + 1)
    )
    began = time.monotonic()
    drive(scheduler, recovery, 10**9)
    assert 0.9 < time.monotonic() - began < 1.5


def test_what_is_due_before_a_new_engine_is_there_is_answered_at_once() -> None:
    engine = FailingEngine(set(), 99, set())
    scheduler, recovery = made(engine, 8, lives=1)
    recovery._owner.restart_seconds = lambda: 30.0
    soon = Batch([[100, 9]], [9], time.monotonic() + 20)
    later = Batch([[101, 2]], [9], time.monotonic() + 90)
    scheduler.add(soon)
    scheduler.add(later)
    scheduler.step()
    engine.dead = True
    drive(scheduler, recovery)
    assert (soon.answers()[0].text, soon.answers()[0].finish_reason) == ("x", "deadline")
    assert later.answers()[0].text == "answer 101"


def test_nothing_goes_through_recovery_until_a_step_fails() -> None:
    engine = FailingEngine(set(), 99, set())
    scheduler, recovery = made(engine, 8)
    batch = Batch(prompts(20), [9] * 20, time.monotonic() + 60)
    scheduler.add(batch)
    recovery.recover = None  # a call would raise
    drive(scheduler, recovery)
    assert [a.text for a in batch.answers()] == [f"answer {100 + i}" for i in range(20)]
    assert not scheduler.retrying


def test_newcomers_are_held_apart_until_the_retries_are_done() -> None:
    engine = FailingEngine({100}, 99, set())
    scheduler, recovery = made(engine, 8)
    end = time.monotonic() + 60
    failing = Batch([[100, 1], [101, 3]], [9] * 2, end)
    scheduler.add(failing)
    with pytest.raises(RuntimeError) as caught:
        scheduler.step()
    recovery.recover(fault_of(caught.value))
    assert scheduler.retrying
    newcomer = Batch([[200, 1]], [9], end)
    scheduler.add(newcomer)
    assert scheduler.waiting == 3  # two retried, not in the engine yet, and the newcomer
    while scheduler.retrying and not failing.done.done():
        assert not newcomer.done.done()
        try:
            scheduler.step()
        except RuntimeError as error:
            recovery.recover(fault_of(error))
    drive(scheduler, recovery)
    assert [a.text for a in failing.answers()] == ["", "answer 101"]
    assert newcomer.answers()[0].text == "answer 200"
    assert not scheduler.retrying


def test_a_prompt_that_runs_out_of_memory_alone_gives_the_others_their_slots_back() -> None:
    class Greedy(FailingEngine):
        def step(self) -> list[Any]:
            if any(s.ids[0] == 100 for s in self.output_processor.request_states.values()):
                raise RuntimeError("CUDA out of memory")
            return super().step()

    scheduler, recovery = made(Greedy(set(), 99, set()), 32)
    batch = Batch(prompts(10), [9] * 10, time.monotonic() + 60)
    scheduler.add(batch)
    drive(scheduler, recovery)
    assert [a.text for a in batch.answers()] == ["", *(f"answer {101 + i}" for i in range(9))]
    assert scheduler.slots == 32


def test_a_fault_keeps_no_frame_and_knows_its_kind() -> None:
    for error, alive, kind in [
        (RuntimeError("CUDA out of memory. Tried"), True, "memory"),
        (type("OutOfMemoryError", (RuntimeError,), {})("x"), True, "memory"),
        (type("EngineDeadError", (Exception,), {})("x"), True, "dead"),
        (RuntimeError("anything"), False, "dead"),
        (RuntimeError("anything"), True, "step"),
    ]:
        assert fault_of(error, alive).kind == kind


def test_what_is_given_away_of_a_retried_group_leaves_no_other_group_behind() -> None:
    scheduler, recovery = made(FailingEngine({107}, 60, set()), slots=1)
    batch = Batch(prompts(12), [9] * 12, time.monotonic() + 600)
    scheduler.add(batch)
    while not scheduler.held:
        try:
            scheduler.step()
        except RuntimeError as error:
            recovery.recover(fault_of(error))
    given: list[int] = []
    while scheduler.held:
        assert scheduler.busy, "the held ones would wait for a step that does not come"
        given += [request.index for request in scheduler.release(100)]
    drive(scheduler, recovery)
    for index in given:
        batch.finish(index, Answer("elsewhere", 1, "stop"))
    assert batch.done.done()
