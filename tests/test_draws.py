"""Further draws of each answer: what takes part in the choice, and that they cost the first answers
nothing, whatever happens to them."""

import asyncio
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from judging.judge import judge
from judging.report import answer_rows, summary, write_report
from judging.testset import read_testset
from serving.answerer import Answerer
from serving.batch_record import BatchRecord
from serving.draws import answers_of, choose, draws_deadline, draws_of
from serving.engine.base import Answer, Batch, EngineError, FinishReason
from serving.engine.transformers_engine import TransformersEngine
from serving.settings import Settings, SettingsError, load_settings
from tests.conftest import TINY_PAIRS
from tests.instant_engine import (
    InstantAnswerer,
    InstantEngine,
    in_seconds,
    instant_app,
    running_app,
    served_app,
)

pytestmark = pytest.mark.clock  # some of these have tenths of a second

ANSWERED = ("warp 32 threads", "warp 32 lanes", "warp 32 threads here", "block")


def finished(texts: list[tuple[str, FinishReason]]) -> Batch:
    """A batch of draws that ended so."""
    batch = Batch([[1]] * len(texts), [9] * len(texts), in_seconds(9), draw_temperature=0.5)
    for index, (text, reason) in enumerate(texts):
        batch.finish(index, Answer(text, len(text), reason))
    return batch


def chosen(first: Answer, *draws: tuple[str, FinishReason], until: float | None = None) -> str:
    made = choose(["q"], [first], [answers_of(finished(list(draws)))], until or in_seconds(9))
    return made.answers[0].text


FIRST = Answer("block", 1, "stop")


def test_the_answer_that_agrees_most_is_given() -> None:
    draws = [(text, "stop") for text in ANSWERED[:3]]
    made = choose(["q"], [FIRST], [answers_of(finished(draws))], in_seconds(9))
    assert made.answers[0].text == "warp 32 threads"
    assert (made.voted, made.changed) == (3, 1)
    assert made.drawn_tokens == sum(len(text) for text, _ in draws)


@pytest.mark.parametrize("reason", ["deadline", "repeat", "error", "cancelled"])
def test_what_did_not_end_neither_votes_nor_is_given(reason: FinishReason) -> None:
    draws = [(text, reason) for text in ANSWERED[:3]]
    assert chosen(FIRST, *draws) == "block"
    # Three of them would outvote the two that ended.
    assert chosen(FIRST, *draws, ("block a", "stop"), ("grid", "length")) == "block"
    assert chosen(Answer("half an ans", 3, reason), ("whole", "stop")) == "whole"
    assert chosen(Answer("half an ans", 3, reason), ("other half", reason)) == "half an ans"


def test_empty_ones_do_not_vote() -> None:
    assert chosen(FIRST, ("", "stop"), ("<think></think> ", "stop"), (" ", "stop")) == "block"
    assert chosen(Answer("", 0, "stop"), ("warp 32", "stop")) == "warp 32"


def test_when_the_time_is_up_the_first_answers_stand() -> None:
    draws = [(text, "stop") for text in ANSWERED[:3]]
    assert chosen(FIRST, *draws, until=in_seconds(-1)) == "block"  # type: ignore[arg-type]


def test_draws_of_a_prompt_stand_together_and_end_in_time_to_choose() -> None:
    batch = Batch([[1], [2]], [7, 8], in_seconds(20))
    drawn = draws_of(batch, 2, 0.5, draws_deadline(batch.deadline))
    assert drawn.prompts == [[1], [1], [2], [2]] and drawn.max_tokens == [7, 7, 8, 8]
    assert drawn.call is batch.call and drawn.is_draws and not batch.is_draws
    assert batch.deadline - drawn.deadline == pytest.approx(1.0)
    soon = in_seconds(0.5)
    assert soon - draws_deadline(soon) == pytest.approx(0.05, rel=0.1)
    assert draws_deadline(past := in_seconds(-5)) == past


# Settings.


@pytest.mark.parametrize(
    ("name", "value", "why"),
    [
        ("ANSWER_DRAWS", "2", "agree with each other equally"),
        ("ANSWER_DRAWS", "0", "greater than or equal to 1"),
        ("ANSWER_DRAWS", "1000", "less than or equal to 64"),
        ("DRAW_TEMPERATURE", "0", "greater than 0"),
        ("DRAW_TEMPERATURE", "50", "less than or equal to 2"),
    ],
)
def test_senseless_settings_are_refused_in_one_line(
    name: str, value: str, why: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "serve.env").write_text(f"{name}={value}\n", "utf-8")
    monkeypatch.setenv("SETTINGS_FILE", str(tmp_path / "serve.env"))
    with pytest.raises(SettingsError) as caught:
        load_settings()
    (line,) = str(caught.value).splitlines()[1:]
    assert name in line and why in line


def test_draws_beside_a_sampled_first_answer_are_refused() -> None:
    with pytest.raises(SettingsError, match="leave TEMPERATURE at 0"):
        load_settings(temperature=0.7, answer_draws=4)
    assert load_settings(answer_draws=4).draw_temperature == 0.5


# The answerer around an engine whose answers are told.


class ToldEngine(InstantEngine):
    """Answers a prompt with a number: first 0, then one up with each draw of it."""

    def __init__(self, draw: Callable[[Batch, int], Answer | None] | None = None):
        self.batches: list[Batch] = []
        self._draw = draw or (lambda batch, index: Answer(ANSWERED[index % 3], 5, "stop"))
        self.refuses_draws = False

    def submit(self, batch: Batch) -> None:
        self.batches.append(batch)
        if batch.is_draws and self.refuses_draws:
            raise EngineError("dead")
        for index in range(len(batch.prompts)):
            answer = self._draw(batch, index) if batch.is_draws else FIRST
            if answer is not None:
                batch.finish(index, answer)


def told(engine: ToldEngine, **given: Any) -> tuple[InstantAnswerer, list[BatchRecord]]:
    answerer = InstantAnswerer(engine, Settings(retrieval_dir=None, **given))
    records: list[BatchRecord] = []
    answerer.observer = records.append
    return answerer, records


def ask(answerer: Answerer, questions: list[str], seconds: float = 9.0) -> list[str]:
    return asyncio.run(answerer.answer(questions, in_seconds(seconds)))


def test_one_draw_asks_the_engine_for_the_answers_and_nothing_else() -> None:
    engine = ToldEngine()
    answerer, records = told(engine)
    assert ask(answerer, ["a", "", "b"]) == ["block", "", "block"]
    (batch,) = engine.batches
    assert not batch.is_draws and len(batch.prompts) == 2
    assert (records[0].draws, records[0].draw_tokens, records[0].changed) == (0, 0, 0)


def test_four_ask_for_three_more_and_give_the_agreeing_one() -> None:
    engine = ToldEngine()
    answerer, records = told(engine, answer_draws=4, draw_temperature=0.7)
    assert ask(answerer, ["a", "", "b"]) == ["warp 32 threads", "", "warp 32 threads"]
    first, draws = engine.batches
    assert not first.is_draws and draws.draw_temperature == 0.7
    assert draws.prompts == [prompt for prompt in first.prompts for _ in range(3)]
    (record,) = records
    assert (record.draws, record.draw_tokens, record.changed) == (6, 30, 2)
    assert (record.questions, record.stop, record.tokens) == (3, 2, 10)


def test_calls_of_many_questions_keep_each_its_own_draws(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("serving.answerer.CHUNK_QUESTIONS", 3)

    def draw(batch: Batch, index: int) -> Answer:
        return Answer(f"of {''.join(map(chr, batch.prompts[index][-2:]))}", 1, "stop")

    answerer, _ = told(ToldEngine(draw), answer_draws=3)
    asked = [f"q{i:02}" for i in range(10)]
    assert ask(answerer, asked) == [f"of {i:02}" for i in range(10)]


@pytest.mark.parametrize("fault", ["refused", "failed", "lost", "hang", "late"])
def test_draws_that_fail_cost_nothing_and_no_time(fault: str) -> None:
    def draw(batch: Batch, index: int) -> Answer | None:
        if fault == "lost":
            batch.fail(EngineError("gone"))
        if fault == "late" and index == 0:
            return Answer("warp", 1, "stop")
        return Answer("", 0, "error") if fault == "failed" else None

    engine = ToldEngine(draw)
    engine.refuses_draws = fault == "refused"
    answerer, records = told(engine, answer_draws=4)
    began = time.monotonic()
    assert ask(answerer, ["a", "b"], seconds=1.0) == ["block", "block"]
    assert time.monotonic() - began < 1.0
    assert records[0].changed == 0
    assert all(batch.cancelled for batch in engine.batches if batch.is_draws)


def test_who_hangs_up_takes_the_draws_along() -> None:
    engine = ToldEngine(lambda batch, index: None)
    answerer, _ = told(engine, answer_draws=4)

    async def leave() -> None:
        call = asyncio.create_task(answerer.answer(["a"], in_seconds(60)))
        while len(engine.batches) < 2:
            await asyncio.sleep(0.01)
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call

    asyncio.run(leave())
    assert all(batch.cancelled for batch in engine.batches)


def test_a_drained_service_answers_with_what_there_is() -> None:
    engine = ToldEngine(lambda batch, index: Answer(ANSWERED[0], 1, "stop") if index < 2 else None)
    answerer, _ = told(engine, answer_draws=4)
    threading.Timer(0.3, answerer.drain, (0.5,)).start()
    began = time.monotonic()
    assert ask(answerer, ["a"], seconds=60) == ["warp 32 threads"]
    assert time.monotonic() - began < 2


# Answers that only repeat their question.

ASKED = "how many threads has a warp"
REPEATED = Answer(ASKED, 6, "stop")


def test_a_repeated_question_neither_votes_nor_is_given() -> None:
    draws = [Answer(text, 3, "stop") for text in (ASKED, "32 threads", ASKED + "?")]
    made = choose([ASKED], [REPEATED], [draws], in_seconds(9))
    assert (made.answers[0].text, made.voted) == ("32 threads", 1)
    stands = choose([ASKED], [REPEATED], [[draws[0], draws[2]]], in_seconds(9))
    assert stands.answers == [REPEATED] and stands.voted == 0


class RepeatingEngine(ToldEngine):
    """Repeats questions of more than one character."""

    def submit(self, batch: Batch) -> None:
        self.batches.append(batch)
        for index, prompt in enumerate(batch.prompts):
            text = "".join(map(chr, prompt))
            first = REPEATED if text.endswith(ASKED) else FIRST
            answer = self._draw(batch, index) if batch.is_draws else first
            if answer is not None:
                batch.finish(index, answer)


def test_only_a_repeated_question_is_drawn_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("serving.answerer.CHUNK_QUESTIONS", 2)
    engine = RepeatingEngine()
    answerer, records = told(engine, repeat_redraws=3, draw_temperature=0.7)
    answers = ask(answerer, ["a", "", ASKED, "b", ASKED])
    assert answers == ["block", "", "warp 32 threads", "block", "warp 32 threads"]
    draws = [batch for batch in engine.batches if batch.is_draws]
    assert [len(batch.prompts) for batch in draws] == [3, 3]
    assert {batch.draw_temperature for batch in draws} == {0.7}
    assert (records[0].draws, records[0].changed) == (6, 2)
    assert not answerer._running


@pytest.mark.parametrize("given", [{"repeat_redraws": 0}, {"answer_draws": 4}])
def test_it_is_drawn_again_neither_when_off_nor_beside_draws(given: dict[str, int]) -> None:
    engine = RepeatingEngine()
    answerer, _ = told(engine, **given)
    ask(answerer, [ASKED, "a"])
    assert len(engine.batches) == (1 if "repeat_redraws" in given else 2)


def test_a_redraw_that_never_ends_costs_no_answer_and_no_time() -> None:
    engine = RepeatingEngine(lambda batch, index: None)
    answerer, _ = told(engine)
    began = time.monotonic()
    assert ask(answerer, ["a", ASKED], seconds=1.0) == ["block", ASKED]
    assert time.monotonic() - began < 1.0
    assert all(batch.cancelled for batch in engine.batches if batch.is_draws)


def test_an_answer_that_the_deadline_cut_is_not_drawn_again() -> None:
    engine = RepeatingEngine(lambda batch, index: None)
    monkey = Answer(ASKED, 6, "deadline")
    engine.submit = lambda batch: (engine.batches.append(batch), batch.finish(0, monkey))  # type: ignore[method-assign]
    answerer, _ = told(engine)
    assert ask(answerer, [ASKED]) == [ASKED]
    assert len(engine.batches) == 1


def test_info_and_metrics_tell_of_draws() -> None:
    async def told() -> tuple[Any, str]:
        given = Settings(retrieval_dir=None, answer_draws=4, draw_temperature=0.7)
        async with running_app(instant_app(given)) as client:
            reply = await client.post("/predict", json={"prompt": ["a", "b"]})
            assert len(reply.json()["response"]) == 2
            return (await client.get("/info")).json(), (await client.get("/metrics")).text

    info, metrics = asyncio.run(told())
    assert info["draws"] == {"answers": 4, "temperature": 0.7}
    assert 'serving_draws_total{result="voted"} 6.0' in metrics
    assert 'serving_draws_total{result="changed the answer"} 0.0' in metrics
    assert 'serving_tokens_total{kind="draw"} 6.0' in metrics


@pytest.mark.parametrize("draws", [1, 4])
def test_the_judge_says_that_one_of_several_answers_was_given(draws: int, tmp_path: Path) -> None:
    asked = tmp_path / "asked.jsonl"
    asked.write_text('{"question": "a?", "reference": "b 1"}\n', "utf-8")
    with served_app(instant_app(Settings(retrieval_dir=None, answer_draws=draws))) as url:
        judgement = judge(url, [read_testset(asked)])
    told = summary(judgement)
    page = write_report(told, list(answer_rows(judgement)), tmp_path / "report") / "report.html"
    assert told["draws"].startswith("of 4 answers to each question") == (draws == 4)
    assert ("that agrees most" in page.read_text("utf-8")) == (draws == 4)


def test_transformers_draws_follow_the_answers(tiny_model: Path) -> None:
    engine = TransformersEngine(Settings(model_dir=tiny_model))
    engine.start()
    order: list[bool] = []
    rows = engine._answer_rows
    engine._answer_rows = lambda these: (order.append(these[0][0].is_draws), rows(these))[1]
    answerer = Answerer(
        engine,
        Settings(model_dir=tiny_model, retrieval_dir=None, answer_draws=4, draw_temperature=0.2),
    )
    records: list[BatchRecord] = []
    answerer.observer = records.append
    try:
        answers = ask(answerer, list(TINY_PAIRS) * 8, seconds=60)
    finally:
        answerer.stop()
    assert answers == list(TINY_PAIRS.values()) * 8
    assert order == sorted(order) and set(order) == {False, True}
    assert records[0].draws == 3 * 48
