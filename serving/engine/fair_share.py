"""How long an answer may get while other questions have not started and time runs short.

A short answer for each question scores more than long answers for some and nothing for the rest
(measured with bench/deadlines.py). An answer over the limit is preempted: its text so far is kept,
and it starts over once no question of its call is waiting for a first attempt.
"""

from collections.abc import Collection
from dataclasses import dataclass

# Least tokens of a fair share: of 4, 16, 32 and 48 the one that never scored less than first come,
# first served (bench/deadlines.py --policies).
MIN_TOKENS = 16


@dataclass(frozen=True)
class CallLoad:
    """One call's load: questions not started, slots it holds, engine steps until its deadline,
    tokens of its longest allowed answer."""

    waiting: int
    slots: int
    steps_left: float
    max_tokens: int


def fair_token_limit(load: CallLoad, running_tokens: Collection[int]) -> float:
    """Tokens at which a running answer is preempted; infinite when everything will fit.

    running_tokens: lengths so far of the running answers. The limit grows with every answer that
    ends by itself below it.
    """
    # What the slots can still write, and what they have written, in equal parts.
    capacity = load.slots * load.steps_left + sum(running_tokens)
    equal = capacity / max(load.waiting + len(running_tokens), 1)
    if equal >= load.max_tokens:
        return float("inf")
    return max(equal, MIN_TOKENS)
