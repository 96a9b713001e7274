"""How long an answer may get while other questions have not started and time runs short; and when
there is time for further draws.

A short answer for each question scores more than long answers for some and nothing for the rest
(measured on the demo model). An answer over the limit is preempted: its text so far is kept,
and it starts over once no question of its call is waiting for a first attempt.
"""

import math
import time
from collections.abc import Collection
from dataclasses import dataclass

from serving.engine.requests import Request

# Least tokens of a fair share: of 4, 16, 32 and 48 the one that never scored less than first come,
# first served (the demo model on the sample's test sets).
MIN_TOKENS = 16
# Once draws run beside them a step may take so many times as long: on a processor the time grows
# with the answers that run.
SLOWER_BESIDE_DRAWS = 2.0


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


def time_for_draws(
    answers: Collection[Request], slots: int, step_seconds: float, beside: bool
) -> bool:
    """Whether all answers, running and waiting, would end before the first of their deadlines, were
    each as long as it may be.

    step_seconds: of a step that computes no prompt. beside: draws ran in it already; where they did
    not, it will be slower. So draws are put back later than they begin, and not back and forth:
    each time costs their prompts again.
    """
    if not answers:
        return True
    rounds = math.ceil(len(answers) / slots)
    steps = rounds * max(request.longest for request in answers)
    left = min(request.batch.deadline for request in answers) - time.monotonic()
    return steps * step_seconds * (1.0 if beside else SLOWER_BESIDE_DRAWS) <= left
