"""How far two raters agree."""

from collections import Counter
from collections.abc import Sequence
from math import nan


def cohens_kappa(first: Sequence[int], second: Sequence[int], quadratic: bool = False) -> float:
    """Cohen's kappa of two raters' marks of the same things: 1 for full agreement, 0 for none
    beyond chance; nan where both gave one and the same mark to all.

    1 - (weighted disagreement) / (that of chance). Weights: 1 for unequal marks (J. Cohen, "A
    coefficient of agreement for nominal scales", 1960), or the squared difference of the marks
    ("Weighted kappa", 1968).
    """

    def apart(a: int, b: int) -> float:
        return float((a - b) ** 2 if quadratic else a != b)

    count = len(first)
    seen = sum(apart(a, b) for a, b in zip(first, second, strict=True)) / count
    marks, other = Counter(first), Counter(second)
    chance = sum(n * m * apart(a, b) for a, n in marks.items() for b, m in other.items())
    return 1 - seen * count**2 / chance if chance else nan
