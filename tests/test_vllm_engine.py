"""Engine and scheduler on the real vLLM: shared batches, deadlines that hold, failures that end."""

import time
from pathlib import Path
from typing import Any

import pytest

from bench.measured_engine import MeasuredEngine
from serving.draws import draws_deadline, draws_of
from serving.engine.base import Answer, Batch, EngineError
from serving.engine.detokenize import answer_text
from serving.engine.repetition import token_kinds
from serving.engine.several import SeveralEngines
from serving.engine.vllm_engine import VllmEngine
from serving.settings import Settings
from tests.batches import generate, wait
from tests.instant_engine import in_seconds

PROMPT = list(range(300, 340))


@pytest.fixture(scope="module")
def engine(untrained_model: Path):
    pytest.importorskip("vllm")
    # Noise runs in loops, which most of these tests need.
    endless = Settings(model_dir=untrained_model, max_model_len=1024, end_repetition=False)
    it = MeasuredEngine(endless)
    it.start()
    yield it
    it.stop()
    assert not it.healthy()
    with pytest.raises(EngineError, match="stopped"):
        it.submit(Batch([PROMPT], [1], time.monotonic() + 1))


def prompts(count: int) -> list[list[int]]:
    """Different ones, of tokens that a model made of few pairs knows."""
    return [[300 + i % 40, 300 + i // 40, *PROMPT] for i in range(count)]


@pytest.mark.vllm
def test_one_answer_a_prompt_in_order_whatever_shares_the_batch(engine: VllmEngine) -> None:
    lengths = list(range(3, 23))
    answers = generate(engine, prompts(20), lengths, in_seconds(60))
    for answer, length in zip(answers, lengths, strict=True):
        assert answer.tokens == length or answer.finish_reason == "stop"
    assert sum(answer.finish_reason == "length" for answer in answers) > 10


@pytest.mark.vllm
def test_texts_are_those_that_vllm_writes_itself(engine: MeasuredEngine) -> None:
    def as_vllm_does(llm: Any) -> list[str]:
        from vllm import SamplingParams

        inputs = [{"prompt_token_ids": ids} for ids in prompts(20)]
        outputs = llm.generate(inputs, SamplingParams(temperature=0, max_tokens=60), use_tqdm=False)
        return [output.outputs[0].text for output in outputs]

    ours = generate(engine, prompts(20), [60] * 20, in_seconds(60))
    theirs = engine.call(as_vllm_does)
    # vLLM leaves half a character at the end as the mark of a broken one.
    assert [answer.text for answer in ours] == [text.rstrip("\ufffd") for text in theirs]


def test_half_a_character_at_the_end_is_left_out(untrained_model: Path) -> None:
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(untrained_model)
    text = "a warp has 32 threads 𠮷"
    ids = tokenizer(text, add_special_tokens=False)["input_ids"]
    assert answer_text(tokenizer, [*ids, tokenizer.eos_token_id]) == text
    assert answer_text(tokenizer, ids[:-1]) == text[:-1]
    assert answer_text(tokenizer, []) == ""


@pytest.mark.vllm
def test_at_the_deadline_there_are_prefixes_and_the_engine_goes_on(engine: VllmEngine) -> None:
    full = generate(engine, prompts(16), [400] * 16, in_seconds(120))
    deadline = in_seconds(0.4)
    cut = generate(engine, prompts(16), [400] * 16, deadline)
    assert time.monotonic() - deadline < 1.0
    assert "deadline" in {a.finish_reason for a in cut}
    for whole, part in zip(full, cut, strict=True):
        assert 0 < part.tokens <= whole.tokens
        assert whole.text.startswith(part.text)
    again = generate(engine, prompts(16), [400] * 16, in_seconds(120))
    assert [a.text for a in again] == [a.text for a in full]


@pytest.mark.vllm
def test_a_late_call_joins_the_running_batch(engine: VllmEngine) -> None:
    long = Batch(prompts(8), [900] * 8, in_seconds(120))
    engine.submit(long)
    short = generate(engine, [PROMPT], [4], in_seconds(60))
    assert short[0].tokens == 4
    assert not long.done.done(), "the short call waited for the long one"
    assert wait(long)


@pytest.mark.vllm
def test_each_call_keeps_its_own_deadline(engine: VllmEngine) -> None:
    patient = Batch(prompts(4), [300] * 4, in_seconds(60))
    engine.submit(patient)
    hurried = generate(engine, prompts(4), [900] * 4, in_seconds(0.3))
    assert "deadline" in {a.finish_reason for a in hurried}
    assert wait(patient)
    assert "deadline" not in {a.finish_reason for a in patient.answers()}


@pytest.mark.vllm
def test_freed_slots_are_filled_several_at_a_time(engine: VllmEngine, monkeypatch: Any) -> None:
    scheduler, entered = engine._scheduler, []
    monkeypatch.setattr(scheduler, "slots", 32)
    monkeypatch.setattr(scheduler, "refill", 4)  # as with graphs, which a processor has none of
    monkeypatch.setattr(scheduler, "_ahead", 0)
    start = scheduler._start

    def watched(request: Any) -> int:
        entered.append(scheduler._steps)
        return start(request)

    monkeypatch.setattr(scheduler, "_start", watched)
    answers = generate(engine, prompts(90), [5 + i for i in range(90)], in_seconds(120))
    assert all(answer.tokens for answer in answers)
    sizes = [entered.count(step) for step in dict.fromkeys(entered)]
    assert sizes[0] == 32 and sum(sizes) == 90
    assert min(sizes[:-1]) >= 4  # the last ones enter as soon as there is a slot for each


@pytest.mark.vllm
def test_slots_freed_by_preemption_are_filled_at_once(engine: VllmEngine, monkeypatch: Any) -> None:
    scheduler, filled = engine._scheduler, []
    monkeypatch.setattr(scheduler, "slots", 4)
    monkeypatch.setattr(scheduler, "_ahead", 0)
    fill = scheduler._fill_slots

    def watched() -> None:
        preempted, free = scheduler._just_preempted, scheduler.slots - scheduler.running
        fill()
        if preempted:
            filled.append((free, scheduler.running == scheduler.slots or not scheduler.waiting))

    monkeypatch.setattr(scheduler, "_fill_slots", watched)
    call, deadline = object(), in_seconds(4)
    # Two begin before the others, so that the two have had their share while the others have not.
    first = Batch(prompts(2), [900] * 2, deadline, call)
    engine.submit(first)
    time.sleep(0.3)
    engine.submit(Batch(prompts(14)[2:], [900] * 12, deadline, call))
    time.sleep(0.1)
    monkeypatch.setattr(scheduler, "refill", 4)
    first.done.result(30)
    assert any(free < 4 for free, _ in filled), "nothing to see: all four slots were freed at once"
    assert all(full for _, full in filled)


@pytest.mark.vllm
def test_a_rejected_prompt_does_not_sink_the_others(engine: VllmEngine) -> None:
    answers = generate(engine, [PROMPT, [7] * 5000, PROMPT], [5] * 3, in_seconds(60))
    assert [(a.tokens, a.finish_reason) for a in answers] == [
        (5, "length"),
        (0, "error"),
        (5, "length"),
    ]


def test_a_batch_ends_once_and_keeps_what_was_finished() -> None:
    batch = Batch([PROMPT, PROMPT], [1, 1], in_seconds(1))
    batch.finish(0, Answer("a", 1, "stop"))
    batch.fail(EngineError("gone"))
    assert [a.text for a in batch.answers()] == ["a", ""]
    nothing = Batch([PROMPT], [1], in_seconds(1))
    nothing.fail(EngineError("gone"))
    with pytest.raises(EngineError, match="gone"):
        nothing.answers()
    assert Batch([], [], in_seconds(1)).answers() == []


@pytest.mark.vllm
@pytest.mark.parametrize("budget", [0.2, 1.0])  # longer ones: tests/test_deadlines.py
def test_any_budget_is_kept_with_more_than_fits(engine: VllmEngine, budget: float) -> None:
    for _ in range(3):  # another process may take the cores for a moment
        deadline = in_seconds(budget)
        answers = generate(engine, prompts(600), [900] * 600, deadline)
        late = time.monotonic() - deadline
        if late < 0.5:
            break
    assert late < 0.5
    assert len(answers) == 600
    assert {a.finish_reason for a in answers} <= {"deadline", "stop", "length"}
    # How many is up to the machine; that they begin with prefixes is not.
    assert sum(a.tokens > 0 for a in answers) >= (1 if budget > 0.5 else 0)


@pytest.mark.vllm
def test_answers_in_a_loop_end_and_the_others_are_as_before(
    engine: VllmEngine, monkeypatch: Any
) -> None:
    whole = generate(engine, prompts(24), [700] * 24, in_seconds(120))
    kinds = token_kinds(engine._llm.get_tokenizer())
    monkeypatch.setattr(engine._scheduler, "_kinds", kinds)
    ended = generate(engine, prompts(24), [700] * 24, in_seconds(120))
    looped = [answer for answer in ended if answer.finish_reason == "repeat"]
    assert len(looped) > 5, "nothing to see: noise ran in no loop"
    assert max(answer.tokens for answer in looped) < 700
    for before, after in zip(whole, ended, strict=True):
        assert before.text.startswith(after.text)
        assert after == before or after.finish_reason == "repeat"
    # Cut at its deadline in the middle of a loop, an answer is trimmed, too.
    cut = generate(engine, prompts(4), [700] * 4, in_seconds(0.6))
    assert {a.finish_reason for a in cut} <= {"repeat", "deadline", "stop"}
    # Lengths that are asked for are kept whatever the answer says.
    exact = Batch(prompts(4), [500] * 4, in_seconds(60), ignore_eos=True)
    engine.submit(exact)
    assert wait(exact)
    assert [(a.tokens, a.finish_reason) for a in exact.answers()] == [(500, "length")] * 4


@pytest.mark.vllm
def test_a_cancelled_call_leaves_the_engine(engine: VllmEngine) -> None:
    nobody = Batch(prompts(600), [900] * 600, in_seconds(120))
    engine.submit(nobody)
    assert generate(engine, [PROMPT], [4], in_seconds(60))[0].tokens == 4
    nobody.cancel()
    nobody.done.result(5)
    assert {a.finish_reason for a in nobody.answers()} <= {"cancelled", "stop"}
    assert engine.stats()["running"] == 0


# With whole blocks of the prefix cache, whatever their size.
LONGER = [[300 + i, *([*range(300, 340)] * 8)] for i in range(8)]


@pytest.mark.vllm
def test_draws_differ_find_their_prompts_and_change_no_answer(engine: MeasuredEngine) -> None:
    alone = generate(engine, LONGER, [40] * 8, in_seconds(60))
    engine.reset_prefix_cache()
    cached: list[int] = []

    def watch(llm: Any) -> None:
        step = llm.llm_engine.step

        def counted() -> Any:
            outputs = step()
            cached.extend(output.num_cached_tokens or 0 for output in outputs)
            return outputs

        llm.llm_engine.step = counted

    engine.call(watch)
    batch = Batch(LONGER, [40] * 8, in_seconds(60))
    draws = draws_of(batch, 3, 0.9, batch.deadline)
    engine.submit(batch)
    engine.submit(draws)
    assert wait(batch) and wait(draws)
    assert batch.answers() == alone
    texts = [answer.text for answer in draws.answers()]
    assert len(set(texts)) > 12, "sampled from noise, they are all different"
    # All whole blocks (of 128 tokens at most) but perhaps the last of 321 tokens.
    assert sum(tokens >= 192 for tokens in cached) >= len(texts)


@pytest.mark.vllm
def test_draws_end_apart_from_the_answers_and_keep_deadlines(engine: MeasuredEngine) -> None:
    batch = Batch(LONGER, [300] * 8, in_seconds(60))
    draws = draws_of(batch, 40, 0.9, batch.deadline)
    engine.submit(batch)
    engine.submit(draws)
    time.sleep(0.3)
    draws.cancel()
    draws.done.result(5)
    assert "cancelled" in {answer.finish_reason for answer in draws.answers()}
    assert wait(batch)
    assert {answer.finish_reason for answer in batch.answers()} <= {"stop", "length"}
    assert engine.stats()["running"] == engine.stats()["waiting_draws"] == 0
    deadline = in_seconds(0.5)
    batch = Batch(LONGER, [400] * 8, deadline)
    draws = draws_of(batch, 20, 0.9, draws_deadline(deadline))
    engine.submit(batch)
    engine.submit(draws)
    assert wait(batch) and wait(draws)
    assert time.monotonic() - deadline < 0.5
    assert min(answer.tokens for answer in batch.answers()) > 0


@pytest.mark.vllm
def test_drafts_change_no_answer_end_loops_and_keep_deadlines(
    engine: VllmEngine, untrained_model: Path
) -> None:
    if engine.info()["version"].startswith("0.10."):
        pytest.skip("its CPU build has no speculative decoding")
    plain = generate(engine, prompts(12), [500] * 12, in_seconds(120))
    # In a process of its own: drafts load numba, and beside that vLLM 0.32.0's CPU build starts no
    # further engine in the same process.
    drafting = Settings(model_dir=untrained_model, max_model_len=1024, draft_tokens=4)
    it = SeveralEngines(drafting, 1)
    it.start()
    try:
        assert it.info()["arguments"]["speculative_config"]["num_speculative_tokens"] == 4
        ended = generate(it, prompts(12), [500] * 12, in_seconds(120))
        assert "repeat" in {answer.finish_reason for answer in ended}
        batch = Batch(prompts(12), [500] * 12, in_seconds(120))
        draws = draws_of(batch, 2, 0.9, batch.deadline)
        it.submit(batch)
        it.submit(draws)
        assert wait(batch) and batch.answers() == ended, "sampled answers spoil no greedy one"
        assert wait(draws)
        cut = generate(it, prompts(12), [500] * 12, in_seconds(0.3))
        for whole, whole_or_loop, part in zip(plain, ended, cut, strict=True):
            assert whole_or_loop == whole or whole_or_loop.finish_reason == "repeat"
            assert whole.text.startswith(whole_or_loop.text)
            assert whole.text.startswith(part.text)
    finally:
        it.stop()
