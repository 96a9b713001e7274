"""The warm-up meets every graph that the first real call will, on the real vLLM."""

import asyncio
import itertools
import time
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from serving.batch_record import BatchRecord
from serving.engine.base import Batch
from serving.engine.devices import GRAPH_SIZES
from serving.settings import Settings
from serving.warmup import warm_up, warm_up_lengths, warm_up_questions
from tests.instant_engine import InstantAnswerer, InstantEngine

# What vLLM chooses by itself, up to 512 tokens: 1, 2, 4, then every eighth, then every sixteenth.
VLLMS_OWN = (1, 2, 4, *range(8, 256, 8), *range(256, 513, 16))


@given(count=st.integers(1, 600), sizes=st.sampled_from([GRAPH_SIZES, VLLMS_OWN]))
def test_every_graph_size_has_its_step(count: int, sizes: tuple[int, ...]) -> None:
    lengths = warm_up_lengths(count)
    assert len(lengths) == count
    running = {sum(length > step for length in lengths) for step in range(max(lengths))}
    reachable = [(low, high) for low, high in itertools.pairwise((0, *sizes)) if high <= count]
    for low, high in reachable:
        assert any(low < each <= high for each in running), f"no step with a graph of {high}"


@pytest.mark.parametrize(("settings", "drawn"), [({}, 1), ({"repeat_redraws": 0}, 0)])
def test_sampling_is_warm_where_a_call_may_draw(
    tmp_path: Path, settings: dict[str, int], drawn: int
) -> None:
    """Else its kernels compile in the judge's only call, at the first answer that is drawn."""
    is_draw: list[bool] = []

    class Noting(InstantEngine):
        warmup_questions = 3

        def submit(self, batch: Batch) -> None:
            is_draw.extend([batch.is_draws] * len(batch.prompts))
            super().submit(batch)

    answerer = InstantAnswerer(Noting(), Settings(model_dir=tmp_path, **settings))
    answerer.start()
    asyncio.run(warm_up(answerer, 60))
    assert is_draw.count(True) == drawn and is_draw.count(False) == 1 + 3


@pytest.mark.vllm
def test_answers_end_one_after_another_whatever_the_model_would_do(tiny_model: Path) -> None:
    from bench.measured_engine import build_measured

    answerer = build_measured("vllm", Settings(model_dir=tiny_model))
    records: list[BatchRecord] = []
    answerer.observer = records.append
    answerer.start()
    running: list[int] = []
    answerer.engine.warmup_questions = 40

    def watch(llm: Any) -> None:
        step = llm.llm_engine.step

        def counted() -> Any:
            running.append(llm.llm_engine.get_num_unfinished_requests())
            return step()

        llm.llm_engine.step = counted

    try:
        answerer.engine.call(watch)
        spent = asyncio.run(warm_up(answerer, 60))
        assert spent < 60
        assert [(r.questions, r.tokens, r.stop) for r in records] == [
            (count, sum(warm_up_lengths(count)), 0) for count in (1, 40)
        ]
        # Not exactly as planned: prompts that do not fit into one step begin one step later.
        falls = [high - low for high, low in itertools.pairwise(running[20:]) if low < high]
        assert len(falls) >= 7 and max(falls) <= 8 and running[-1] == 1
        # A real call afterwards ends by itself again.
        asyncio.run(answerer.answer(warm_up_questions(3), time.monotonic() + 60))
        assert records[-1].stop == 3
    finally:
        answerer.stop()
