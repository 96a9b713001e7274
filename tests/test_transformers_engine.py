"""The Transformers engine answers as vLLM's contract asks, slower."""

import time
from pathlib import Path

import pytest

from common.prompting import render_prompts, system_prompt_for, tokenize_prompts
from serving.engine.base import EngineError
from serving.engine.transformers_engine import TransformersEngine
from serving.settings import Settings
from tests.batches import generate
from tests.conftest import TINY_PAIRS

pytestmark = pytest.mark.clock  # one of these has three seconds


@pytest.fixture(scope="module")
def engine(tiny_model: Path):
    it = TransformersEngine(Settings(model_dir=tiny_model))
    it.start()
    yield it
    it.stop()


def ask(engine: TransformersEngine, model: Path, questions: list[str], seconds: float):
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(model)
    texts = render_prompts(tokenizer, questions, system_prompt_for(model))
    ids = tokenize_prompts(tokenizer, texts)
    return generate(engine, ids, [60] * len(ids), time.monotonic() + seconds)


def test_rows_of_all_lengths_keep_their_order(engine, tiny_model: Path) -> None:
    questions = list(TINY_PAIRS) * 12
    answers = ask(engine, tiny_model, questions, 100)
    assert [a.text for a in answers] == [TINY_PAIRS[q] for q in questions]
    assert {a.finish_reason for a in answers} == {"stop"}


def test_nothing_runs_past_its_deadline(engine, tiny_model: Path) -> None:
    began = time.monotonic()
    answers = ask(engine, tiny_model, list(TINY_PAIRS) * 40, 0.3)
    assert time.monotonic() - began < 3
    assert "deadline" in {a.finish_reason for a in answers}


def test_a_missing_model_is_named(tmp_path: Path) -> None:
    with pytest.raises(EngineError, match="MODEL_DIR"):
        TransformersEngine(Settings(model_dir=tmp_path)).start()
