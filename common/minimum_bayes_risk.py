"""Which of several answers to a question agrees most with the others.

Minimum Bayes risk decoding (Kumar and Byrne 2004; Eikema and Aziz 2020, arXiv:2005.10283): of N
draws the one is given whose mean utility against the other draws is highest. The utility here is
ROUGE-L F1 = 2 * L / (m + n), with L the length of the longest common subsequence of m and n tokens.

Compared are the judge's own tokens, runs of [a-z0-9] (`words`). The judge cuts the text with jieba
first, which splits such a run after the decimals of a number (1.5GB), as is done here, and where
its dictionary has a word with Latin letters (abc and T恤 in abcT恤, a and C++ in aC++), which is
not.
"""

import re
from collections import Counter
from collections.abc import Hashable, Sequence

# A run, or a number with decimals, which jieba keeps together and parts from what follows.
_WORD = re.compile(r"[a-z0-9]+(?:\.[0-9]+)?")
# Sums of the same scores in another order differ by less, different scores by more.
_DIGITS = 9


def words(text: str) -> tuple[str, ...]:
    """The words that the judge counts in a text."""
    return tuple(" ".join(_WORD.findall(text.lower())).replace(".", " ").split())


def most_agreeing(texts: Sequence[str], preferred: int | None = None) -> int:
    """The index of the text whose mean F1 against all others is highest, by the judge's words.

    Where no text has a word that counts, single characters are compared instead, without
    whitespace. Among equals `preferred` wins, then the shorter text. Raises ValueError without any.
    """
    tokens: list[tuple[str, ...]] = [words(text) for text in texts]
    if not any(tokens):
        tokens = [tuple("".join(text.split())) for text in texts]
    means = agreements(tokens)

    def rank(index: int) -> tuple[float, bool, int]:
        return means[index], index == preferred, -len(texts[index])

    return max(range(len(texts)), key=rank)


def agreements(texts: Sequence[Sequence[Hashable]]) -> list[float]:
    """The mean F1 of each token sequence against all others, in [0, 1]; 0 for an empty one.

    Rounded, so that equal sequences, and equal scores summed in another order, are equal.
    """
    sequences = [tuple(text) for text in texts]
    counts = Counter(sequences)  # equal ones are compared once
    different = list(counts)
    sums = {one: float(counts[one] - 1) if one else 0.0 for one in different}
    for index, left in enumerate(different):
        places = _places(left)
        for right in different[index + 1 :]:
            score = _f1(places, len(left), right)
            sums[left] += counts[right] * score
            sums[right] += counts[left] * score
    others = max(len(texts) - 1, 1)
    return [round(sums[one] / others, _DIGITS) for one in sequences]


def f1(left: Sequence[Hashable], right: Sequence[Hashable]) -> float:
    """ROUGE-L F1 of two token sequences, in [0, 1]; 0 when either is empty."""
    return _f1(_places(left), len(left), right)


def _places(tokens: Sequence[Hashable]) -> dict[Hashable, int]:
    """Where each token stands: bit i for place i."""
    places: dict[Hashable, int] = {}
    for index, token in enumerate(tokens):
        places[token] = places.get(token, 0) | 1 << index
    return places


def _f1(places: dict[Hashable, int], size: int, other: Sequence[Hashable]) -> float:
    """Bit-parallel LCS (Hyyrö 2004): a row of the table is one integer, in which a 0 bit stands for
    a place where the length grows. Carries beyond `size` bits do no harm."""
    every = row = (1 << size) - 1
    for token in other:
        if found := places.get(token):
            same = row & found
            row = (row + same) | (row - same)
    common = size - (row & every).bit_count()
    return 2 * common / (size + len(other)) if common else 0.0
