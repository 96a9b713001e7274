"""Further draws of each answer, and the one that is given (ANSWER_DRAWS).

Only answers that ended by themselves or at their longest take part. One that was cut, runs in a
loop, is empty or failed neither votes nor is chosen; where nothing took part the first, greedy
answer stands as it is. The choice itself: common/minimum_bayes_risk.py.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass

from common.minimum_bayes_risk import most_agreeing
from serving.clean_answer import clean
from serving.engine.base import Answer, Batch, EngineError

# What is kept of the time to choose in, and at most this share of it: 16 draws to each of 358
# questions are compared in a third of that.
CHOOSING_S = 1.0
CHOOSING_SHARE = 0.1


@dataclass(frozen=True)
class Chosen:
    """One answer a question. voted: draws that took part beside the first answers; drawn_tokens:
    of all draws; changed: answers that are not the first ones."""

    answers: list[Answer]
    voted: int = 0
    drawn_tokens: int = 0
    changed: int = 0


def draws_deadline(deadline: float) -> float:
    """When draws end, so that there is time to choose."""
    left = max(0.0, deadline - time.monotonic())
    return deadline - min(CHOOSING_S, CHOOSING_SHARE * left)


def draws_of(batch: Batch, count: int, temperature: float, deadline: float) -> Batch:
    """`count` further draws of each prompt of a batch, those of one prompt next to each other, so
    that they find its KV cache."""
    return Batch(
        [prompt for prompt in batch.prompts for _ in range(count)],
        [tokens for tokens in batch.max_tokens for _ in range(count)],
        deadline,
        batch.call,
        batch.ignore_eos,
        temperature,
    )


def choose(
    questions: Sequence[str],
    answers: Sequence[Answer],
    batches: Sequence[Batch],
    until: float,
) -> Chosen:
    """The answers to give. batches: of draws, in the order of the questions, as many to each.

    When `until` (a `time.monotonic()` value) has come, the first answers stand.
    """
    drawn = [answer for batch in batches for answer in _drawn(batch)]
    each = len(drawn) // max(len(answers), 1)
    chosen = list(answers)
    voted = 0
    for index, first in enumerate(answers):
        if time.monotonic() >= until:
            break
        draws = _able(drawn[index * each : (index + 1) * each], questions[index])
        voted += len(draws)
        if draws:
            able = _able([first], questions[index]) + draws
            texts = [text for _, text in able]
            best = most_agreeing(texts, 0 if len(able) > len(draws) else None)
            chosen[index] = able[best][0]
    changed = sum(one is not first for one, first in zip(chosen, answers, strict=True))
    return Chosen(chosen, voted, sum(answer.tokens for answer in drawn), changed)


def _drawn(batch: Batch) -> list[Answer]:
    try:
        return batch.answers()
    except EngineError:
        return [Answer("", 0, "error")] * len(batch.prompts)


def _able(answers: Sequence[Answer], question: str) -> list[tuple[Answer, str]]:
    """Answers that take part, with their text as the judge gets it."""
    ended = [answer for answer in answers if answer.finish_reason in ("stop", "length")]
    texts = [(answer, clean(answer.text, question)) for answer in ended]
    return [(answer, text) for answer, text in texts if text]
