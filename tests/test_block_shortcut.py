"""The shortcut past vLLM's block requests: the same answers, and really a shortcut."""

import time
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from serving.engine.base import generate
from serving.engine.block_shortcut import shorten_block_requests
from serving.engine.vllm_engine import VllmEngine
from serving.settings import Settings

# Growing answers meet block ends at different steps, and some prompts end at one.
PROMPTS = [[300 + i % 40, 300 + i // 40, *range(300, 320 + i % 17)] for i in range(70)]
LENGTHS = [1 + i % 50 for i in range(70)]
BLOCK = 32


@dataclass
class Run:
    """Texts of two batches; questions for blocks, those refused; free blocks at the end."""

    texts: list[str]
    asked: int
    refused: int
    free: int


def run(model: Path, arguments: dict[str, Any], shortcut: bool) -> Run:
    """The same batch twice, since the second time its prompts come from the prefix cache."""
    engine = VllmEngine(
        Settings(
            model_dir=model,
            max_model_len=256,
            engine_in_process=True,
            engine_args={"block_size": BLOCK, **arguments},
            block_shortcut=False,
        )
    )
    engine.start()
    try:
        manager = engine.call(_manager)
        given: list[Any] = []
        usual = manager.allocate_slots

        def watched(*call: Any, **named: Any) -> Any:
            given.append(usual(*call, **named))
            return given[-1]

        manager.allocate_slots = watched
        if shortcut:
            assert engine.call(shorten_block_requests)
        texts: list[str] = []
        for _ in range(2):
            answers = generate(engine, PROMPTS, LENGTHS, time.monotonic() + 120, ignore_eos=True)
            assert [answer.tokens for answer in answers] == LENGTHS
            texts += [answer.text for answer in answers]
        free = manager.block_pool.get_num_free_blocks()
    finally:
        engine.stop()
    return Run(texts, len(given), sum(blocks is None for blocks in given), free)


def _manager(llm: Any) -> Any:
    return llm.llm_engine.engine_core.engine_core.scheduler.kv_cache_manager


@pytest.mark.vllm
@pytest.mark.parametrize("blocks", [None, 60], ids=["room", "tight"])
@pytest.mark.parametrize("ahead", [False, True], ids=["one step", "a step ahead"])
def test_answers_are_the_same_with_and_without(
    untrained_model: Path, blocks: int | None, ahead: bool
) -> None:
    """tight: so little room that vLLM takes blocks away from answers and begins them again. ahead:
    the next step is scheduled while one runs, as newer versions do on a GPU."""
    vllm = pytest.importorskip("vllm")
    if ahead and vllm.__version__.startswith("0.10."):
        pytest.skip("0.10 does that between processes only, where there is no shortcut")
    arguments: dict[str, Any] = {"async_scheduling": ahead}
    arguments |= {"num_gpu_blocks_override": blocks} if blocks else {}
    with_it = run(untrained_model, arguments, shortcut=True)
    without = run(untrained_model, arguments, shortcut=False)
    assert with_it.texts == without.texts
    assert with_it.asked < without.asked / 4
    assert bool(with_it.refused) == bool(without.refused) == bool(blocks)
    assert with_it.free == without.free, "blocks were lost"


@pytest.mark.vllm
def test_the_service_uses_it_unless_told(untrained_model: Path) -> None:
    pytest.importorskip("vllm")
    for wanted in (True, False):
        engine = VllmEngine(
            Settings(model_dir=untrained_model, max_model_len=256, block_shortcut=wanted)
        )
        engine.start()
        assert engine.info()["block_shortcut"] == wanted
        engine.stop()


def test_a_vllm_built_otherwise_goes_on_without() -> None:
    class Spec:
        block_size = 16

    class SlidingWindowSpec(Spec):
        pass

    class KVCacheManager:
        def __init__(self, spec: Any) -> None:
            groups = [SimpleNamespace(kv_cache_spec=spec)]
            self.kv_cache_config = SimpleNamespace(kv_cache_groups=groups)

        def allocate_slots(self) -> None:
            """As it was."""

    def llm(manager: Any) -> Any:
        core = SimpleNamespace(scheduler=SimpleNamespace(kv_cache_manager=manager))
        return SimpleNamespace(
            llm_engine=SimpleNamespace(engine_core=SimpleNamespace(engine_core=core))
        )

    assert not shorten_block_requests(SimpleNamespace())
    assert not shorten_block_requests(llm(SimpleNamespace()))
    manager = KVCacheManager(SlidingWindowSpec())
    assert not shorten_block_requests(llm(manager))
    assert manager.allocate_slots.__doc__ == "As it was."
