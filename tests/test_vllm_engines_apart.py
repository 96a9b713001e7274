"""Engines with settings, or an end, of their own: each test starts and stops one.

Not beside the shared engine of test_vllm_engine.py: the end of one takes what the others in this
process share.
"""

import json
from pathlib import Path
from typing import Any

import pytest

from serving.engine.base import Batch, EngineError
from serving.engine.vllm_engine import VllmEngine
from serving.settings import Settings
from tests.batches import generate
from tests.instant_engine import in_seconds
from tests.test_vllm_engine import PROMPT, prompts


@pytest.mark.vllm
def test_arguments_of_another_version_are_dropped_with_a_log_line(
    untrained_model: Path, caplog: pytest.LogCaptureFixture
) -> None:
    pytest.importorskip("vllm")
    # The first is an argument of 0.10.0 alone, the second of newer versions alone.
    only_one_knows = {"max_seq_len_to_capture": 2048, "kv_cache_memory_bytes": 1 << 28}
    it = VllmEngine(
        Settings(model_dir=untrained_model, max_model_len=256, engine_args=only_one_knows)
    )
    with caplog.at_level("WARNING", logger="serving.engine.vllm_engine"):
        it.start()
    try:
        assert generate(it, [PROMPT], [3], in_seconds(60))[0].tokens > 0
    finally:
        it.stop()
    dropped = [name for name in only_one_knows if f"does not know {name}" in caplog.text]
    assert dropped


def test_what_0_10_cannot_do_in_one_process_is_said(untrained_model: Path) -> None:
    vllm = pytest.importorskip("vllm")
    if not vllm.__version__.startswith("0.10."):
        pytest.skip("newer versions can")
    ahead = {"async_scheduling": True}
    it = VllmEngine(Settings(model_dir=untrained_model, engine_args=ahead, engine_in_process=True))
    with pytest.raises(EngineError, match="leave ENGINE_IN_PROCESS unset"):
        it.start()


@pytest.mark.vllm
def test_what_vllm_writes_into_its_arguments_stays_out_of_info(
    untrained_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before 0.26 vLLM put its model's configuration into the speculative_config it was given."""
    vllm = pytest.importorskip("vllm")
    real = vllm.LLM

    def writing(**arguments: Any) -> Any:
        llm = real(**arguments)
        arguments["additional_config"]["target_model_config"] = llm.model_config
        return llm

    monkeypatch.setattr(vllm, "LLM", writing)
    given = {"additional_config": {"given": 1}}
    it = VllmEngine(Settings(model_dir=untrained_model, max_model_len=512, engine_args=given))
    it.start()
    try:
        assert json.loads(json.dumps(it.info()))["arguments"]["additional_config"] == {"given": 1}
    finally:
        it.stop()


@pytest.mark.vllm
def test_a_dead_engine_fails_its_batches_instead_of_hanging(
    untrained_model: Path, tmp_path: Path
) -> None:
    pytest.importorskip("vllm")
    it = VllmEngine(Settings(model_dir=untrained_model, max_model_len=512, crash_dir=tmp_path))
    it.start()
    batch = Batch([PROMPT], [400], in_seconds(60))
    broken = "the device is gone"

    def step_that_fails() -> list[object]:
        raise RuntimeError(broken)

    import vllm.v1.engine.llm_engine as module

    original = module.LLMEngine.step
    module.LLMEngine.step = lambda self: step_that_fails()
    try:
        it.submit(batch)
        with pytest.raises(EngineError, match=broken):
            batch.done.result(30)
            batch.answers()
    finally:
        module.LLMEngine.step = original
    assert not it.healthy()
    assert any(tmp_path.glob("crash-*.json"))


@pytest.mark.vllm
@pytest.mark.parametrize("refill", [1, 4])
def test_when_time_is_short_everyone_gets_a_share(untrained_model: Path, refill: int) -> None:
    pytest.importorskip("vllm")
    few = {"max_num_seqs": 4, "end_repetition": False}
    it = VllmEngine(Settings(model_dir=untrained_model, max_model_len=1024, **few))
    it.start()
    if refill > 1:  # as with graphs
        it._scheduler.refill, it._scheduler._ahead = refill, 0
    try:
        generate(it, prompts(4), [20] * 4, in_seconds(60))  # the first steps are slow ones
        answers = generate(it, prompts(24), [900] * 24, in_seconds(3))
        assert min(a.tokens for a in answers) >= 4
        assert it.stats()["running"] == it.stats()["waiting"] == 0
    finally:
        it.stop()
