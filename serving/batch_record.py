"""What is recorded of each answered call: one JSON line in the log, and figures for metrics."""

import json
import logging
from dataclasses import asdict, dataclass

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class BatchRecord:
    """One answered call: how many questions, tokens, and how the answers ended. draws: finished
    further draws, draw_tokens: of all draws, changed: answers that are not the greedy ones."""

    questions: int
    blank: int
    prompt_tokens: int
    tokens: int
    stop: int
    length: int
    repeat: int
    cut: int
    failed: int
    seconds: float
    tokens_per_second: float
    queue: int
    memory_mb: int
    draws: int = 0
    draw_tokens: int = 0
    changed: int = 0


def log_batch(record: BatchRecord) -> None:
    """One line of JSON a call: what an operator greps for."""
    log.info("batch %s", json.dumps(asdict(record)))
