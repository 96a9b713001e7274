"""Where vLLM's versions differ, or only internals will do: all of that in one place.

Written against 0.10.0 (the judge's image), 0.25.1 and 0.32.0; tests/test_vllm_engine.py runs on
each version that is installed, tests/test_old_vllm.py on 0.10.0.
"""

from collections.abc import Callable, Iterable, Sequence
from typing import Any


def sampling_params(temperature: float, ends: Sequence[int] = ()) -> Callable[..., Any]:
    """Makes `SamplingParams` of a request from its max_tokens and ignore_eos, and its own
    temperature if it has one. ends: tokens that end an answer beside those that the model's files
    name. None has a seed: vLLM 0.32.0's CPU build dies of seeds beside chunked
    prefill."""
    from vllm import SamplingParams
    from vllm.sampling_params import RequestOutputKind

    # Parameters are not shared, so newer versions need not copy them for each request.
    unshared = {"skip_clone": True} if "skip_clone" in SamplingParams.__struct_fields__ else {}

    def make(max_tokens: int, ignore_eos: bool = False, own: float | None = None) -> Any:
        return SamplingParams(
            temperature=temperature if own is None else own,
            max_tokens=max_tokens,
            ignore_eos=ignore_eos,
            stop_token_ids=None if ignore_eos else list(ends),
            # One output an answer, not one a token.
            output_kind=RequestOutputKind.FINAL_ONLY,
            detokenize=False,
            **unshared,
        )

    return make


def engine_input(prompt: list[int]) -> dict[str, Any]:
    """Token ids as `add_request` takes them."""
    # With `type` newer versions take it as it is, without conversion; 0.10.0 ignores the key.
    return {"type": "token", "prompt_token_ids": prompt}


def rejection_types() -> tuple[type[Exception], ...]:
    """What `add_request` raises for a prompt it refuses: newer versions have their own class."""
    try:
        from vllm.exceptions import VLLMValidationError
    except ImportError:
        return (ValueError,)
    return (ValueError, VLLMValidationError)


def partial_tokens(engine: Any, request_ids: Iterable[str]) -> dict[str, list[int]]:
    """Token ids so far of unfinished requests; call it before aborting them.

    `output_processor.request_states` is there in all versions, but newer ones keep the caller's id
    as `external_req_id`.
    """
    wanted = set(request_ids)
    found = {}
    for state in list(engine.output_processor.request_states.values()):
        request_id = getattr(state, "external_req_id", None) or state.request_id
        if request_id in wanted and state.detokenizer is not None:
            found[request_id] = state.detokenizer.output_token_ids
    return found


def step_waker(engine: Any) -> Callable[[Exception], None]:
    """Makes a step raise an error when it waits for an engine process that is gone: vLLM's
    synchronous client would wait without end (0.10.0 and 0.32.0 alike). Does not refer to the
    engine, whose memory must be free for the next one."""
    outputs = getattr(getattr(engine, "engine_core", None), "outputs_queue", None)
    return outputs.put_nowait if outputs is not None else lambda error: None


def shut_down(engine: Any) -> None:
    """Free the device. `LLM` has a method for it in newer versions only, its engine core in all."""
    core = getattr(engine, "engine_core", None)
    if core is not None:
        core.shutdown()
