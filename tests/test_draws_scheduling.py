"""Draws in the engines: they begin last, give way, end at their deadline, whatever fails."""

import time
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from serving.draws import draws_of
from serving.engine.base import Batch
from tests.instant_engine import (
    in_seconds,
)
from tests.test_recovery import FailingEngine, drive, made, prompts

# The scheduler, on an engine that fails in every way.


def draws_beside(batch: Batch, count: int = 3) -> Batch:
    return draws_of(batch, count, 0.5, batch.deadline)


@pytest.mark.vllm
def test_draws_begin_when_nothing_else_waits() -> None:
    engine = FailingEngine(set(), 100, set())
    scheduler, recovery = made(engine, slots=4)
    began: list[bool] = []
    start = scheduler._start
    scheduler._start = lambda request: (began.append(request.batch.is_draws), start(request))[1]
    calls = [Batch(prompts(6, 100 * i), [9] * 6, in_seconds(600)) for i in range(1, 3)]
    for batch in calls:
        scheduler.add(batch)
        scheduler.add(draws_beside(batch))
    assert scheduler.waiting_draws == 36
    drive(scheduler, recovery)
    assert began == [False] * 12 + [True] * 36
    assert scheduler.waiting == scheduler.running == 0


@pytest.mark.vllm
def test_draws_give_way_when_an_answer_may_need_their_time() -> None:
    engine = FailingEngine(set(), 100, set())
    scheduler, recovery = made(engine, slots=8)
    patient = Batch([[100, 8]], [9], in_seconds(600))
    draws = draws_beside(patient, 6)
    scheduler.add(patient)
    scheduler.add(draws)
    scheduler.step()
    assert scheduler.running == 7 and scheduler.waiting == 0
    scheduler._last_steps.extend([1.0] * 16)
    hurried = Batch([[200, 6]], [600], in_seconds(500))  # 600 steps of a second
    scheduler.add(hurried)
    for _ in range(7):
        scheduler.step()
    assert hurried.done.done() and not draws.done.done()
    drive(scheduler, recovery)
    assert [answer.text for answer in draws.answers()] == ["answer 100"] * 6


def notes_begun(scheduler: Any) -> list[bool]:
    """Of each request that is begun from now on: is it a draw?"""
    begun: list[bool] = []
    start = scheduler._start
    scheduler._start = lambda request: (begun.append(request.batch.is_draws), start(request))[1]
    return begun


@pytest.mark.vllm
def test_draws_that_were_put_back_begin_again_once_all_others_have_ended() -> None:
    scheduler, recovery = made(FailingEngine(set(), 100, set()), slots=8)
    batch = Batch([[100, 30]], [400], in_seconds(500))
    draws = draws_beside(batch, 6)
    for one in (batch, draws):
        scheduler.add(one)
    begun = notes_begun(scheduler)
    while not batch.done.done():
        scheduler.step()
        alone = scheduler.running == 1
        scheduler._last_steps.extend([0.5 if alone else 2.0] * 16)  # much slower beside draws
    assert begun == [False] + [True] * 6
    drive(scheduler, recovery)
    assert begun == [False] + [True] * 12 and draws.done.done()


@pytest.mark.vllm
def test_steps_that_compute_prompts_put_no_draws_back() -> None:
    engine = FailingEngine(set(), 100, set())
    scheduler, recovery = made(engine, slots=8)
    batch = Batch([[100, 30]], [400], in_seconds(500))
    draws = draws_beside(batch, 6)
    for one in (batch, draws):
        scheduler.add(one)
    begun = notes_begun(scheduler)
    for _ in range(24):
        scheduler.step()
        scheduler._last_steps.extend([0.7, 0.7, 5.0])  # slow, more so beside draws; prompts
    assert not batch.done.done() and begun == [False] + [True] * 6
    drive(scheduler, recovery)
    assert draws.done.done()


@settings(deadline=None, max_examples=60)
@given(
    count=st.integers(1, 20),
    poison=st.sets(st.integers(100, 119), max_size=2),
    room=st.integers(1, 60),
    stumbles=st.sets(st.integers(1, 60), max_size=2),
    slots=st.sampled_from([1, 4, 32]),
)
@pytest.mark.vllm
def test_whatever_fails_draws_end_and_first_answers_are_right(
    count: int, poison: set[int], room: int, stumbles: set[int], slots: int
) -> None:
    scheduler, recovery = made(FailingEngine(poison, room, stumbles), slots, lives=50)
    batch = Batch(prompts(count), [9] * count, in_seconds(600))
    draws = draws_beside(batch)
    scheduler.add(batch)
    scheduler.add(draws)
    drive(scheduler, recovery)
    for index, answer in enumerate(batch.answers()):
        assert answer.text == ("" if 100 + index in poison else f"answer {100 + index}")
    assert draws.done.done()
    for index, answer in enumerate(draws.answers()):
        assert answer.text in ("", f"answer {100 + index // 3}")


@pytest.mark.vllm
def test_draws_end_at_their_deadline_and_are_no_unfinished_answers(caplog: Any) -> None:
    scheduler, recovery = made(FailingEngine(set(), 100, set()), slots=2)
    batch = Batch(prompts(1), [9], in_seconds(60))
    draws = draws_of(batch, 9, 0.5, in_seconds(0.05))
    scheduler.add(batch)
    scheduler.add(draws)
    time.sleep(0.06)
    drive(scheduler, recovery)
    assert batch.answers()[0].text == "answer 100"
    assert {answer.finish_reason for answer in draws.answers()} == {"deadline"}
    assert "unfinished" not in caplog.text
