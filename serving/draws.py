"""Further draws of an answer, and the one that is given (ANSWER_DRAWS, REPEAT_REDRAWS).

Only answers that ended by themselves or at their longest take part. One that was cut, runs in a
loop, is empty, failed or only repeats its question neither votes nor is chosen; where nothing took
part the first, greedy answer stands as it is. The choice itself: common/minimum_bayes_risk.py.
"""

import asyncio
import contextlib
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from common.minimum_bayes_risk import most_agreeing
from serving.clean_answer import clean
from serving.engine.base import WHOLE, Answer, Batch, EngineError
from serving.question_repeats import only_repeats

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


class Redraws:
    """Further draws of the answers of one call that only repeat their questions, begun as soon as
    such an answer ends: alone, the call hardly takes longer, and never twice as long.

    Made and asked on the event loop's thread. submit: begins a batch of draws.
    """

    def __init__(
        self, submit: Callable[[Batch], None], count: int, temperature: float, deadline: float
    ):
        self.batches: list[Batch] = []
        self._submit = submit
        self._count, self._temperature, self._deadline = count, temperature, deadline
        self._places: list[Batch | None] = []  # of all questions of the call
        self._loop = asyncio.get_running_loop()
        self._closed = False

    def watch(self, batch: Batch, questions: Sequence[str]) -> None:
        """Look at each answer of the call's next batch when it ends."""
        first = len(self._places)
        self._places += [None] * len(questions)

        def look(index: int, answer: Answer) -> None:
            whole = not self._closed and answer.finish_reason in WHOLE
            question = questions[index]
            if whole and only_repeats(question, clean(answer.text, question)):
                self._redraw(batch, index, first + index)

        def ended(index: int, answer: Answer) -> None:  # on the engine's thread
            with contextlib.suppress(RuntimeError):  # the loop has ended, and the call with it
                self._loop.call_soon_threadsafe(look, index, answer)

        batch.ended = ended

    def drawn(self) -> list[list[Answer]]:
        """The draws of each question of the call, none of most."""
        return [answers_of(batch) if batch is not None else [] for batch in self._places]

    def close(self) -> None:
        """Begin no more."""
        self._closed = True

    def _redraw(self, batch: Batch, index: int, place: int) -> None:
        one = Batch([batch.prompts[index]], [batch.max_tokens[index]], 0.0, batch.call)
        draws = draws_of(one, self._count, self._temperature, self._deadline)
        self._places[place] = draws
        self.batches.append(draws)
        self._submit(draws)


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


def drawn_to_each(batches: Sequence[Batch], count: int) -> list[list[Answer]]:
    """The draws of each question, `count` to each, of batches in the order of the questions."""
    drawn = [answer for batch in batches for answer in answers_of(batch)]
    return [drawn[start : start + count] for start in range(0, len(drawn), count or 1)]


def answers_of(batch: Batch) -> list[Answer]:
    """The answers of a batch of draws, whatever has become of it."""
    try:
        return batch.answers()
    except EngineError:
        return [Answer("", 0, "error")] * len(batch.prompts)


def choose(
    questions: Sequence[str],
    answers: Sequence[Answer],
    drawn: Sequence[Sequence[Answer]],
    until: float,
) -> Chosen:
    """The answers to give. drawn: the further draws of each question; of the last ones, whose
    tokenizing came too late, there may be none.

    When `until` (a `time.monotonic()` value) has come, the first answers stand.
    """
    chosen = list(answers)
    voted = 0
    for index, draws in enumerate(drawn):
        if time.monotonic() >= until:
            break
        first, question = answers[index], questions[index]
        able = _able(draws, question)
        voted += len(able)
        if able:
            firsts = _able([first], question)
            all_able = firsts + able
            best = most_agreeing([text for _, text in all_able], 0 if firsts else None)
            chosen[index] = all_able[best][0]
    changed = sum(one is not first for one, first in zip(chosen, answers, strict=True))
    return Chosen(chosen, voted, sum(one.tokens for draws in drawn for one in draws), changed)


def _able(answers: Sequence[Answer], question: str) -> list[tuple[Answer, str]]:
    """Answers that take part, with their text as the judge gets it."""
    ended = [answer for answer in answers if answer.finish_reason in ("stop", "length")]
    texts = [(answer, clean(answer.text, question)) for answer in ended]
    return [(answer, text) for answer, text in texts if text and not only_repeats(question, text)]
