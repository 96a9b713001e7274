"""Cohen's kappa beside scikit-learn's."""

import random
from math import isnan

import pytest

from common.agreement import cohens_kappa


@pytest.mark.parametrize("quadratic", [False, True])
def test_kappa_is_that_of_scikit_learn(quadratic):
    metrics = pytest.importorskip("sklearn.metrics")
    dice = random.Random(1)
    for highest in (1, 2, 5) * 10:
        first = [0, 1, *(dice.randint(0, highest) for _ in range(30))]
        second = [a if dice.random() < 0.7 else dice.randint(0, highest) for a in first]
        weights = "quadratic" if quadratic else None
        wanted = metrics.cohen_kappa_score(first, second, weights=weights, labels=[*range(6)])
        assert cohens_kappa(first, second, quadratic) == pytest.approx(wanted)


def test_marks_that_do_not_vary_agree_by_chance():
    assert isnan(cohens_kappa([3] * 4, [3] * 4))
    assert cohens_kappa([3] * 4, [3, 3, 2, 3]) == 0
    assert cohens_kappa([True, False], [True, False]) == 1
