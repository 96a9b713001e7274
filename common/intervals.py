"""Is a difference real? Intervals and a test over the questions of a test set.

Two models are compared question by question: most of the spread between questions is theirs in
common, so the paired difference tells far more than two intervals side by side.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

RESAMPLES = 10_000
CHANCE = 0.05  # of calling two alike different
VERDICTS = {  # of a difference's side, in Chinese and in English
    1: ("有提升", "better"),
    0: ("看不出差别", "no difference shown"),
    -1: ("变差", "worse"),
}
FEWEST = 6  # questions: even five that all lie on one side may do so by chance (p = 0.06)


@dataclass(frozen=True)
class Interval:
    """A mean over questions and its 95 % interval, in the units of the values."""

    mean: float
    low: float
    high: float


@dataclass(frozen=True)
class Difference(Interval):
    """Mean of `second - first` over the same questions; `p` of the hypothesis that it is 0."""

    p: float
    wins: int
    losses: int

    @property
    def side(self) -> int:
        """1 better, -1 worse, 0 where the interval or the test leaves a doubt: resampling a few
        questions that all gained never finds one that did not."""
        return ((self.low > 0) - (self.high < 0)) if self.p < CHANCE else 0

    @property
    def chance(self) -> str:
        """p in words; never 0."""
        return "p < 0.001" if self.p < 0.0005 else f"p = {self.p:.3f}"


def interval(values: Sequence[float], seed: int = 0) -> Interval:
    """The mean and its interval by resampling questions (Efron 1979, percentile method).

    Raises ValueError for no values.
    """
    given = _array(values)
    means = _resampled_means(given, seed)
    low, high = np.percentile(means, [2.5, 97.5])
    return Interval(float(given.mean()), float(low), float(high))


def difference(first: Sequence[float], second: Sequence[float], seed: int = 0) -> Difference:
    """How much better `second` is, question by question.

    `p` is the two-sided permutation test of the mean: under "no difference" the sign of each
    difference is a coin's (Fisher 1935; RESAMPLES random signs, and the observed one, so that p is
    never 0). Raises ValueError for no values or for two lengths.
    """
    left, right = _array(first), _array(second)
    if len(left) != len(right):
        raise ValueError(f"{len(left)} and {len(right)} values: not the same questions")
    gains = right - left
    around = interval(gains.tolist(), seed)
    rng = np.random.default_rng(seed)
    extreme = 1
    for _ in range(RESAMPLES // 1000):
        signs = rng.choice((-1.0, 1.0), size=(1000, len(gains)))
        extreme += int((np.abs(signs @ gains) >= abs(gains.sum()) - 1e-9).sum())
    return Difference(
        around.mean,
        around.low,
        around.high,
        p=extreme / (RESAMPLES + 1),
        wins=int((gains > 1e-9).sum()),
        losses=int((gains < -1e-9).sum()),
    )


def predicted(values: Sequence[float], questions: int) -> Interval:
    """The mean to expect on `questions` new questions of the same kind.

    Both samples are random: the spread is 1.96 * s * sqrt(1/n + 1/m) with n questions here and m
    there. Two questions are supposed beside the n, one that scored 0 and one that scored 1, as
    Agresti & Coull (1998) do for shares: without them few questions, or many of one score, promise
    far too much. Within [0, 1]. It knows nothing of a test set of another kind. Raises ValueError
    for no values.
    """
    return predicted_together([(values, questions)])


def predicted_together(parts: Sequence[tuple[Sequence[float], int]]) -> Interval:
    """`predicted` over several kinds of questions, each with its sample and so many new ones."""
    whole = sum(questions for _, questions in parts)
    mean = middle = variance = 0.0
    for values, questions in parts:
        given = _array(values)
        supposed = np.concatenate([given, [0.0, 1.0]])
        weight = questions / whole
        mean += weight * float(given.mean())
        middle += weight * float(supposed.mean())
        spread = float(supposed.var(ddof=1)) * (1 / len(supposed) + 1 / questions)
        variance += weight**2 * spread
    half = 1.96 * variance**0.5
    return Interval(mean, max(0.0, middle - half), min(1.0, middle + half))


def _array(values: Sequence[float]) -> "np.ndarray":
    if not len(values):
        raise ValueError("no values")
    return np.asarray(values, dtype=float)


def _resampled_means(values: "np.ndarray", seed: int) -> "np.ndarray":
    rng = np.random.default_rng(seed)
    size = len(values)
    # In slices: 10,000 resamplings of 358 questions at once would be 29 MB, of 100,000 8 GB.
    rows = max(1, 2_000_000 // size)
    parts = []
    done = 0
    while done < RESAMPLES:
        count = min(rows, RESAMPLES - done)
        parts.append(values[rng.integers(0, size, size=(count, size))].mean(axis=1))
        done += count
    return np.concatenate(parts)
