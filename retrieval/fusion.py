"""Several rankings of the same passages as one."""

from collections import defaultdict
from collections.abc import Sequence

# Cormack, Clarke and Büttcher (SIGIR 2009) take 60 for lists of a thousand; ours are short, and a
# first place must outweigh two places in the middle.
RANK_CONSTANT = 20


def reciprocal_rank_fusion(rankings: Sequence[Sequence[int]]) -> list[tuple[int, float]]:
    """(passage, score) of all passages ranked anywhere, best first.

    A passage scores the sum of 1 / (RANK_CONSTANT + place) over the rankings, places from 1.
    """
    scores: dict[int, float] = defaultdict(float)
    for ranking in rankings:
        for place, passage in enumerate(ranking, 1):
            scores[passage] += 1 / (RANK_CONSTANT + place)
    return sorted(scores.items(), key=lambda item: (-item[1], item[0]))
