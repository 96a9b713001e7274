"""A batch as a test asks for it: submitted, and waited for."""

import time
from collections.abc import Sequence
from concurrent.futures import TimeoutError as FutureTimeoutError

from serving.engine.base import HANG_GRACE_S, Answer, Batch, Engine


def generate(
    engine: Engine, prompts: Sequence[list[int]], max_tokens: Sequence[int], deadline: float
) -> list[Answer]:
    """Answers of one batch, in order, by `deadline` (a `time.monotonic()` value)."""
    batch = Batch(prompts, max_tokens, deadline)
    engine.submit(batch)
    wait(batch)
    return batch.answers()


def wait(batch: Batch) -> bool:
    """Block until the batch ends, at most HANG_GRACE_S past its deadline. False: it did not."""
    try:
        batch.done.exception(timeout=max(0.0, batch.deadline - time.monotonic()) + HANG_GRACE_S)
    except FutureTimeoutError:
        return False
    return True
