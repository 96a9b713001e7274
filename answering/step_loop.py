"""The step loop on vLLM's `llm_engine`: requests in, finished or partial answers out.

Uses what every version from 0.10.0 to the newest has: `add_request`, `step`, `abort_request`, and
for partial answers one internal (`partial_texts`). Runs on the engine's thread only.
"""

import logging
import time
from collections.abc import Iterable
from typing import Any

from .engine import Answer, Batch, EngineError

log = logging.getLogger("answering.steps")


class StepLoop:
    """Batches in flight on one `llm_engine`: requests in, finished or partial answers out."""

    def __init__(self, engine: Any, temperature: float, ignore_eos: bool):
        from vllm import SamplingParams
        from vllm.sampling_params import RequestOutputKind

        self._engine = engine
        self._live: dict[str, tuple[Batch, int]] = {}
        self._next_id = 0
        self._params = lambda max_tokens: SamplingParams(
            temperature=temperature,
            max_tokens=max_tokens,
            ignore_eos=ignore_eos,
            # One output an answer, not one a token.
            output_kind=RequestOutputKind.FINAL_ONLY,
        )
        self._deadline = float("inf")
        self._rejections = _rejection_types()

    @property
    def busy(self) -> bool:
        """Whether a step has anything to do."""
        return bool(self._live)

    def add(self, batch: Batch) -> None:
        """Every prompt of the batch enters the scheduler before the next step."""
        for index, (prompt, max_tokens) in enumerate(
            zip(batch.prompts, batch.max_tokens, strict=True)
        ):
            request_id = f"q{self._next_id}"
            self._next_id += 1
            try:
                self._engine.add_request(
                    request_id, {"prompt_token_ids": prompt}, self._params(max_tokens)
                )
            except self._rejections as error:
                # One bad prompt must not sink the others; it answers "" and the log says why.
                log.error("vLLM rejected a prompt of %d tokens: %s", len(prompt), error)
                batch.finish(index, Answer("", 0, "error"))
                continue
            self._live[request_id] = (batch, index)
        self._deadline = min(self._deadline, batch.deadline)

    def step(self) -> None:
        """One step of the engine; deliver what it finished and cut what is past its deadline."""
        for output in self._engine.step():
            if output.finished and output.request_id in self._live:
                batch, index = self._live.pop(output.request_id)
                text = output.outputs[0]
                reason = "length" if text.finish_reason == "length" else "stop"
                batch.finish(index, Answer(text.text, len(text.token_ids), reason))
        if time.monotonic() >= self._deadline:
            self._cut_late()

    def _cut_late(self) -> None:
        now = time.monotonic()
        late = {rid: at for rid, at in self._live.items() if at[0].deadline <= now}
        partial = partial_texts(self._engine, late.keys())
        self._engine.abort_request(list(late))
        for request_id, (batch, index) in late.items():
            del self._live[request_id]
            text, tokens = partial.get(request_id, ("", 0))
            batch.finish(index, Answer(text, tokens, "deadline"))
        if late:
            log.warning("deadline: %d unfinished answers returned as they stand", len(late))
        self._deadline = min((b.deadline for b, _ in self._live.values()), default=float("inf"))

    def fail_all(self, error: EngineError) -> None:
        """Nothing will finish any more."""
        for batch, _ in self._live.values():
            batch.fail(error)
        self._live.clear()


def partial_texts(engine: Any, request_ids: Iterable[str]) -> dict[str, tuple[str, int]]:
    """Text and token count so far of unfinished requests; call it before aborting them.

    The only place that reads vLLM's internals: `output_processor.request_states` is the same in
    0.10.0 and 0.32.0, but newer versions keep the caller's id as `external_req_id`. A test runs
    it on each version.
    """
    wanted = set(request_ids)
    texts = {}
    for state in list(engine.output_processor.request_states.values()):
        request_id = getattr(state, "external_req_id", None) or state.request_id
        if request_id in wanted and state.detokenizer is not None:
            text = state.detokenizer.get_next_output_text(True, False)
            texts[request_id] = (text, len(state.detokenizer.output_token_ids))
    return texts


def _rejection_types() -> tuple[type[Exception], ...]:
    """What `add_request` raises for a prompt it refuses: newer versions have their own class."""
    try:
        from vllm.exceptions import VLLMValidationError
    except ImportError:
        return (ValueError,)
    return (ValueError, VLLMValidationError)
