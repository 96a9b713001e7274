"""Intervals and tests: against scipy's where it has them, and against what they promise."""

import numpy as np
import pytest

from common.intervals import difference, interval, predicted


def test_the_interval_is_scipys_percentile_bootstrap() -> None:
    stats = pytest.importorskip("scipy.stats")
    values = np.random.default_rng(1).beta(2, 3, size=80)
    found = interval(values.tolist())
    theirs = stats.bootstrap((values,), np.mean, method="percentile", n_resamples=10_000, rng=1)
    assert found.mean == pytest.approx(values.mean())
    assert found.low == pytest.approx(theirs.confidence_interval.low, abs=0.004)
    assert found.high == pytest.approx(theirs.confidence_interval.high, abs=0.004)


def test_p_is_scipys_permutation_test() -> None:
    stats = pytest.importorskip("scipy.stats")
    rng = np.random.default_rng(2)
    first = rng.random(30)
    second = first + rng.normal(0.08, 0.25, size=30)
    found = difference(first.tolist(), second.tolist())
    theirs = stats.permutation_test(
        (second - first,), np.mean, permutation_type="samples", n_resamples=20_000, rng=3
    )
    assert found.p == pytest.approx(theirs.pvalue, abs=0.015)


def test_a_difference_says_better_worse_or_neither() -> None:
    base = [0.1, 0.5, 0.3, 0.2, 0.4, 0.6, 0.2, 0.3]
    better = difference(base, [each + 0.2 for each in base])
    assert better.side == 1 and better.mean == pytest.approx(0.2) and better.wins == 8
    # All 256 sign patterns are as likely: only two are as extreme as eight gains out of eight.
    assert better.p == pytest.approx(2 / 256, abs=0.003)
    assert difference([each + 0.2 for each in base], base).side == -1
    mixed = difference(base, [x + d for x, d in zip(base, [0.3, -0.3] * 4, strict=True)])
    assert mixed.side == 0 and mixed.p > 0.5 and (mixed.wins, mixed.losses) == (4, 4)
    assert difference(base, base).p == 1.0
    with pytest.raises(ValueError, match="not the same questions"):
        difference(base, base[1:])


def test_a_prediction_covers_another_sample_19_times_of_20() -> None:
    rng = np.random.default_rng(4)
    covered = 0
    for _ in range(400):
        found = predicted(rng.beta(1, 2, size=64).tolist(), 358)
        covered += found.low <= rng.beta(1, 2, size=358).mean() <= found.high
    assert 0.92 <= covered / 400 <= 0.98


@pytest.mark.parametrize("count", [2, 5, 8, 16])
@pytest.mark.parametrize("right", [0.05, 0.5, 0.9])
def test_a_prediction_from_few_questions_promises_no_more_than_it_keeps(count, right) -> None:
    """Scores as they come: most are 0 or 1, so that a few of them are often all alike."""
    rng = np.random.default_rng(5)

    def drawn(size: int) -> "np.ndarray":
        return np.where(rng.random(size) < 0.2, rng.random(size), rng.random(size) < right)

    covered = 0
    for _ in range(400):
        found = predicted(drawn(count).tolist(), 292)
        covered += found.low <= drawn(292).mean() <= found.high
    assert covered / 400 >= 0.92


def test_a_prediction_from_one_score_or_from_equal_ones_is_no_promise() -> None:
    one, same = predicted([0.5], 292), predicted([0.0] * 10, 292)
    assert one.high - one.low > 0.9 and same.mean == 0 and 0.2 < same.high < 0.4
    with pytest.raises(ValueError, match="no values"):
        predicted([], 292)


def test_the_interval_holds_the_mean_and_shrinks_with_more_questions() -> None:
    few, many = interval([0.0, 1.0] * 5), interval([0.0, 1.0] * 200)
    assert few.low <= 0.5 <= few.high and many.low <= 0.5 <= many.high
    assert many.high - many.low < few.high - few.low
    same = interval([0.3] * 9)
    assert (same.low, same.high) == pytest.approx((0.3, 0.3))
    assert few == interval([0.0, 1.0] * 5)
