"""The service's engine and answerer with what only measurements need; the service has none of it.

`MeasuredEngine` runs a function between two steps; `MeasuredAnswerer` gives answers an exact
length. `build_measured` puts them in the place of the service's own:
`start_answerer(settings, build=build_measured)`.
"""

import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from typing import Any

from serving.answerer import Answerer, TokensOf
from serving.book_context import serves_book
from serving.engine.base import EngineError
from serving.engine.several import SeveralEngines
from serving.engine.shares import engine_count
from serving.engine.vllm_engine import VllmEngine
from serving.settings import Settings


class _Call:
    """A function on its way to the engine's thread, in the same queue as batches."""

    def __init__(self, function: Callable[[Any], Any]):
        self._function = function
        self.result: Future[Any] = Future()

    def run(self, llm: Any) -> None:
        try:
            self.result.set_result(self._function(llm))
        except Exception as error:  # noqa: BLE001 - it belongs to the caller, not the engine
            self.result.set_exception(error)

    def fail(self, error: EngineError) -> None:
        self.result.set_exception(error)


class MeasuredEngine(VllmEngine):
    """vLLM's engine as the service runs it, with access to the `LLM` object."""

    def call(self, function: Callable[[Any], Any]) -> Any:
        """What `function(llm)` returns, run by the engine's thread between two steps: no other
        thread may touch vLLM's `LLM` object."""
        call = _Call(function)
        self.submit(call)
        return call.result.result()

    def reset_prefix_cache(self) -> None:
        """Forget the prompts that were answered."""
        self.call(lambda llm: llm.llm_engine.reset_prefix_cache())

    def _accept(self, batch: Any) -> None:
        if isinstance(batch, _Call):
            batch.run(self._llm)
        else:
            super()._accept(batch)


class MeasuredAnswerer(Answerer):
    """Answers whose length `tokens_of` decides, whatever the model would do; None: the model."""

    tokens_of: TokensOf | None = None

    async def answer(
        self,
        questions: Sequence[str],
        deadline: float,
        tokens_of: TokensOf | None = None,
        draws: int | None = None,
    ) -> list[str]:
        """As the service's; `tokens_of` of the call, the warm-up's, wins."""
        return await super().answer(questions, deadline, tokens_of or self.tokens_of, draws)

    def prompts(self, questions: Sequence[str]) -> list[list[int]]:
        """The token ids that the engine gets for them: passages and worked examples included."""
        return self._tokenizing.submit(self._prepare, questions).result()


def build_measured(engine: str, settings: Settings) -> MeasuredAnswerer:
    """An answerer on vLLM for measurements, not started. Raises ValueError for another engine."""
    if engine != "vllm":
        raise ValueError(f"ENGINE={engine}: only vLLM's engine is measured here")
    count = engine_count(settings, serves_book(settings))
    several = SeveralEngines(settings, count) if count > 1 else None
    return MeasuredAnswerer(several or MeasuredEngine(settings), settings)


def generate_seconds(llm: Any, ids: Sequence[list[int]], tokens: Sequence[int]) -> float:
    """Seconds of one `LLM.generate` call whose answers have these lengths."""
    from vllm import SamplingParams

    params = [SamplingParams(temperature=0, max_tokens=n, ignore_eos=True) for n in tokens]
    began = time.monotonic()
    llm.generate([{"prompt_token_ids": prompt} for prompt in ids], params, use_tqdm=False)
    return time.monotonic() - began
