"""How long an answer may get while others have not begun and time runs short.

A short answer for each question scores more than long answers for some and nothing for the rest
(measured: bench/deadlines.py). Whoever is stopped by this keeps what it has and gets a second
try when nobody waits for a first one any more.
"""

from collections.abc import Collection
from dataclasses import dataclass

# Shorter answers hold too little that scores. Of 4, 16, 32 and 48 the one that was never behind
# first come, first served (bench/deadlines.py: 87 questions, 8 at once, 0.5 s to 3 s).
SHORTEST = 16


@dataclass(frozen=True)
class Call:
    """One call's standing: questions not begun, slots it holds, engine steps until its deadline,
    tokens of its longest allowed answer."""

    waiting: int
    slots: int
    steps_left: float
    longest: int


def longest_fair_answer(call: Call, running_tokens: Collection[int]) -> float:
    """Tokens that a running answer may reach before it makes room; infinite when all will fit.

    running_tokens: how far the running answers are. Asked again and again, it grows with every
    answer that ends by itself before that.
    """
    # What the slots can still write, with what they have written, shared by everyone alike.
    capacity = call.slots * call.steps_left + sum(running_tokens)
    equal = capacity / max(call.waiting + len(running_tokens), 1)
    if equal >= call.longest:
        return float("inf")
    return max(equal, SHORTEST)
