"""Several engines behind the interface of one: who gets what, who dies, and nothing is lost."""

import queue
import threading
import time
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from serving.draws import draws_of
from serving.engine import several as module
from serving.engine.base import Answer, Batch, EngineError, ModelError
from serving.engine.members import Member, Question, SentPart
from serving.engine.messages import Deadline, Failed, GiveBack, Go, Part, Ready, Report
from serving.engine.several import SeveralEngines
from serving.engine.shares import Share
from serving.engine.vllm_engine import VllmEngine
from serving.settings import Settings
from tests.batches import generate, wait
from tests.instant_engine import in_seconds

pytestmark = pytest.mark.clock  # some of these have tenths of a second

SLOTS = 4


class PretendProcess:
    """An engine's process in a thread: answers SLOTS questions at a time, each with its prompt.

    plan: how many answers each of its lives gives before it dies; after the last it lives on.
    """

    def __init__(self, share: Share, plan: list[int], answer_s: float = 0.0):
        self.share, self.plan, self.answer_s = share, plan, answer_s
        self.answered = 0
        self.ended = False

    def start(self, settings: Settings, hold: bool = False) -> None:
        self.inbox: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self.outbox: queue.SimpleQueue[Any] = queue.SimpleQueue()
        if not hold:
            self.outbox.put(self.loads())
        left = self.plan.pop(0) if self.plan else None
        threading.Thread(target=self._live, args=(self.inbox, self.outbox, left)).start()

    def loads(self) -> Any:
        return Ready({"version": "0"}, 100, SLOTS)

    def send(self, message: Any) -> None:
        if isinstance(message, Go):
            self.outbox.put(self.loads())
        else:
            self.inbox.put(message)

    def receive(self, seconds: float | None = None) -> Any:
        try:
            return self.outbox.get(timeout=seconds)
        except queue.Empty:
            raise TimeoutError from None

    def ask_to_end(self) -> None:
        self.inbox.put(None)

    def end(self, grace: float = 0.0) -> None:
        self.ended = True
        self.inbox.put(None)

    def _live(self, inbox: Any, outbox: Any, left: int | None) -> None:
        waiting: list[tuple[int, int, list[int]]] = []
        ended: set[int] = set()

        def figures() -> dict[str, float]:
            running = min(SLOTS, len(waiting))
            return {"running": running, "waiting": len(waiting) - running, "slots": SLOTS}

        while True:
            while not inbox.empty() or not waiting:
                message = inbox.get()
                if message is None:
                    outbox.put(None)
                    return
                if isinstance(message, Part):
                    waiting += [(message.number, i, p) for i, p in enumerate(message.prompts)]
                elif isinstance(message, Deadline):
                    ended.add(message.number)
                elif isinstance(message, GiveBack):
                    given = [waiting.pop() for _ in range(min(message.count, len(waiting) - SLOTS))]
                    outbox.put(Report(given_back=[(n, i) for n, i, _ in given], stats=figures()))
            if left == 0:
                outbox.put(None)
                return
            if waiting:
                time.sleep(self.answer_s)
                number, index, prompt = waiting.pop(0)
                reason = "cancelled" if number in ended else "stop"
                answers = [(number, index, Answer(str(prompt[0]), 1, reason))]
                self.answered += 1
                left = left - 1 if left is not None else None
                outbox.put(Report(answers, stats=figures()))


def pretend(monkeypatch: Any, plans: list[list[int]], answer_s: tuple[float, ...] = ()) -> Any:
    """Engines of those plans, started."""
    speeds = dict(enumerate(answer_s))
    monkeypatch.setattr(
        module,
        "WorkerProcess",
        lambda share: PretendProcess(share, [*plans[share.index]], speeds.get(share.index, 0.0)),
    )
    it = SeveralEngines(Settings(crash_dir=Path("/dev/null/no")), len(plans))
    it.start()
    return it


def numbered(count: int, first: int = 0) -> list[list[int]]:
    return [[first + i] * (1 + i % 7) for i in range(count)]


@settings(deadline=None, max_examples=30)
@given(
    sizes=st.lists(st.integers(1, 40), min_size=1, max_size=4),
    plans=st.lists(st.lists(st.integers(1, 12), max_size=1), min_size=2, max_size=3),
)
def test_whoever_dies_every_question_is_answered_once(
    sizes: list[int], plans: list[list[int]]
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        it = pretend(patch, plans)
        batches = [
            Batch(numbered(n, 1000 * i), [9] * n, in_seconds(20)) for i, n in enumerate(sizes)
        ]
        for batch in batches:
            it.submit(batch)
        for i, batch in enumerate(batches):
            batch.done.result(20)
            expected = [str(1000 * i + k) for k in range(len(batch.prompts))]
            assert [answer.text for answer in batch.answers()] == expected
        assert it.healthy() and it.stats()["waiting"] == 0
        assert it.stats()["restarts"] <= sum(map(len, plans))
        it.stop()


def test_a_question_that_kills_every_engine_is_left_out_and_all_lost_is_told(
    monkeypatch: Any,
) -> None:
    it = pretend(monkeypatch, [[0] * 9, [0] * 9])
    batch = Batch(numbered(6), [9] * 6, in_seconds(20))
    it.submit(batch)
    assert {answer.finish_reason for answer in _ended(batch)} <= {"error", "deadline"}
    end = in_seconds(5)
    while it.healthy() and time.monotonic() < end:
        try:
            it.submit(Batch(numbered(2), [9] * 2, in_seconds(5)))
        except EngineError:
            break
        time.sleep(0.01)
    assert not it.healthy() and it.recovering
    with pytest.raises(EngineError, match="vLLM died"):
        it.submit(Batch(numbered(2), [9] * 2, in_seconds(5)))


def _ended(batch: Batch) -> list[Answer]:
    try:
        batch.done.result(10)
        return batch.answers()
    except EngineError:
        return []


def test_one_that_lags_gives_questions_to_one_that_has_run_dry(monkeypatch: Any) -> None:
    it = pretend(monkeypatch, [[], []], answer_s=(0.001, 0.02))
    answers = generate(it, numbered(80), [9] * 80, in_seconds(20))
    assert [answer.text for answer in answers] == [str(i) for i in range(80)]
    fast, slow = (member.process.answered for member in it._members)
    assert fast + slow == 80
    assert fast > 50, "half and half, whoever was slow"
    it.stop()


def test_draws_end_with_the_engine_that_had_them_and_answers_do_not(monkeypatch: Any) -> None:
    it = pretend(monkeypatch, [[15], []], answer_s=(0.001, 0.001))
    batch = Batch(numbered(20), [9] * 20, in_seconds(20))
    draws = draws_of(batch, 3, 0.5, batch.deadline)
    it.submit(batch)
    it.submit(draws)
    assert wait(batch) and wait(draws)
    assert [answer.text for answer in batch.answers()] == [str(i) for i in range(20)]
    ended = [(a.text, a.finish_reason) for a in draws.answers()]
    lost = ("", "error")
    assert all(end in ((str(i // 3), "stop"), lost) for i, end in enumerate(ended))
    assert 0 < ended.count(lost) < 60
    it.stop()


def test_an_engine_with_draws_alone_has_room_for_questions() -> None:
    batch = Batch(numbered(20), [9] * 20, in_seconds(20))
    draws = draws_of(batch, 1, 0.5, batch.deadline)
    member = Member(None, report=Report(stats={"slots": 4, "waiting": 16, "waiting_draws": 16}))
    questions = {i: Question(draws, i) for i in range(20)}
    member.parts[0] = SentPart(draws, questions, draws.deadline, 0)
    assert (member.room(draws=False), member.room(draws=True)) == (4, 0)
    assert (member.waiting(draws=False), member.waiting(draws=True)) == (0, 16)


def test_the_longest_questions_are_spread_first(monkeypatch: Any) -> None:
    it = pretend(monkeypatch, [[], []], answer_s=(0.05, 0.05))
    batch = Batch([[i] for i in range(10)], [500, 500, *[10] * 8], in_seconds(20))
    it.submit(batch)
    loads = [member.load for member in it._members]
    assert abs(loads[0] - loads[1]) < 20
    it.stop()
    assert batch.done.done()


def test_without_any_engine_questions_end_at_their_deadline(monkeypatch: Any) -> None:
    it = pretend(monkeypatch, [[], []])
    for member in it._members:  # as between a death and the next start
        member.up = False
    deadline = in_seconds(0.3)
    batch = Batch(numbered(3), [9] * 3, deadline)
    it.submit(batch)
    assert it.recovering
    batch.done.result(5)
    assert abs(time.monotonic() - deadline) < 0.5
    assert [a.finish_reason for a in batch.answers()] == ["deadline"] * 3
    gone = Batch(numbered(3), [9] * 3, in_seconds(60))
    it.submit(gone)
    gone.cancel()
    gone.done.result(5)
    assert [a.finish_reason for a in gone.answers()] == ["cancelled"] * 3
    it.stop()


class Odd(PretendProcess):
    """One that does not load: fails, hangs, or is gone."""

    def __init__(self, share: Share, faults: dict[int, str]):
        super().__init__(share, [])
        self.fault = faults.get(share.index)

    def start(self, settings: Settings, hold: bool = False) -> None:
        super().start(settings, hold or self.fault == "hangs")

    def loads(self) -> Any:
        if self.fault == "fails":
            return Failed("no such model", hopeless=True)
        return None if self.fault == "is gone" else super().loads()

    def send(self, message: Any) -> None:
        if not (isinstance(message, Go) and self.fault == "hangs"):
            super().send(message)


def test_what_does_not_start_is_told(monkeypatch: Any) -> None:
    broken = {0: "fails", 1: "is gone"}
    monkeypatch.setattr(module, "WorkerProcess", lambda share: Odd(share, broken))
    with pytest.raises(ModelError, match="no such model"):
        SeveralEngines(Settings(), 2).start()


@pytest.mark.parametrize("together", [True, False])
@pytest.mark.parametrize("fault", ["fails", "hangs", "is gone"])
@pytest.mark.parametrize("which", [0, 1])
def test_an_engine_that_does_not_load_costs_the_start_nothing(
    monkeypatch: Any, together: bool, fault: str, which: int
) -> None:
    if fault == "hangs" and which == 0 and not together:
        pytest.skip("the start's own limit ends that: there is nothing yet to go on with")
    monkeypatch.setattr(module, "takes_cache_bytes", lambda: together)
    monkeypatch.setattr(module, "on_processor", lambda: False)
    monkeypatch.setattr(module, "WorkerProcess", lambda share: Odd(share, {which: fault}))
    it = SeveralEngines(Settings(), 2, ready_by=in_seconds(0.3))
    it.start()
    batch = Batch(numbered(20), [9] * 20, in_seconds(20))
    it.submit(batch)
    batch.done.result(20)
    assert [answer.text for answer in batch.answers()] == [str(i) for i in range(20)]
    (told,) = it.info()["left_out"]
    assert told.startswith(f"engine {which} of 2: ")
    assert it.stats()["engines"] == 1 and it.warmup_questions == SLOTS
    assert it.healthy() and not it.recovering
    assert it._members[which].process.ended
    it.stop()


@pytest.fixture(scope="module")
def two(untrained_model: Path):
    pytest.importorskip("vllm")
    endless = Settings(model_dir=untrained_model, max_model_len=1024, end_repetition=False)
    it = SeveralEngines(endless, 2)
    it.start()
    yield it
    it.stop()
    assert not it.healthy()


def real_prompts(count: int) -> list[list[int]]:
    return [[300 + i % 40, 300 + i // 40, *range(300, 340)] for i in range(count)]


@pytest.mark.vllm
def test_two_real_engines_answer_as_one_does(two: SeveralEngines, untrained_model: Path) -> None:
    ours = generate(two, real_prompts(40), [60] * 40, in_seconds(60))
    one = VllmEngine(Settings(model_dir=untrained_model, max_model_len=1024, end_repetition=False))
    one.start()
    try:
        assert ours == generate(one, real_prompts(40), [60] * 40, in_seconds(60))
    finally:
        one.stop()
    info = two.info()
    assert (info["engines"], info["slots"], info["running"]) == (2, 256, 0)
    assert info["arguments"]["max_num_seqs"] == 128
    assert two.warmup_questions == 32


@pytest.mark.vllm
def test_two_real_engines_keep_deadlines_and_let_callers_go(two: SeveralEngines) -> None:
    deadline = in_seconds(1.5)
    answers = generate(two, real_prompts(600), [900] * 600, deadline)
    assert time.monotonic() - deadline < 0.6
    assert len(answers) == 600 and sum(a.tokens > 0 for a in answers) > 100
    assert {a.finish_reason for a in answers} <= {"deadline", "stop", "length"}
    nobody = Batch(real_prompts(600), [900] * 600, in_seconds(120))
    two.submit(nobody)
    assert generate(two, real_prompts(1), [4], in_seconds(60))[0].tokens == 4
    nobody.cancel()
    nobody.done.result(5)
    assert {a.finish_reason for a in nobody.answers()} <= {"cancelled", "stop", "length"}
    end = in_seconds(5)
    while two.stats()["running"] and time.monotonic() < end:
        time.sleep(0.05)
    assert two.stats()["running"] == two.stats()["waiting"] == 0


@pytest.mark.vllm
def test_when_a_real_engine_is_killed_the_other_answers(two: SeveralEngines) -> None:
    whole = generate(two, real_prompts(60), [200] * 60, in_seconds(60))
    batch = Batch(real_prompts(60), [200] * 60, in_seconds(60))
    two.submit(batch)
    time.sleep(0.3)
    two._members[0].process._process.kill()
    assert wait(batch)
    assert batch.answers() == whole
    assert two.healthy() and not two.recovering


@pytest.mark.vllm
@pytest.mark.slow
def test_real_engines_that_load_one_after_the_other(
    untrained_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As vLLM 0.10.0 must on a GPU, where it takes no KV cache in bytes."""
    pytest.importorskip("vllm")
    monkeypatch.setattr(module, "takes_cache_bytes", lambda: False)
    monkeypatch.setattr(module, "on_processor", lambda: False)
    it = SeveralEngines(Settings(model_dir=untrained_model, max_model_len=1024), 2, in_seconds(300))
    it.start()
    try:
        assert it.info()["engines"] == 2 and "left_out" not in it.info()
        answers = generate(it, real_prompts(20), [30] * 20, in_seconds(60))
        assert len(answers) == 20 and all(answer.tokens for answer in answers)
        assert all(member.answered for member in it._members)
    finally:
        it.stop()
