"""Runs of a sweep that differ in their seed alone, pooled: is it the change, or a seed's luck?

A question's score is its mean over the seeds. Differences are paired question by question, to the
base and to the recipe that nothing was changed of (over its own seeds); their intervals are over
the questions. How far the seeds are apart is told beside them.
"""

from collections.abc import Sequence
from statistics import fmean

from pydantic import BaseModel
from rich.table import Table

from common.intervals import difference
from common.language import either
from train.sweep import Row, Values


class Gain(BaseModel):
    """A mean difference and its 95 % interval over the questions."""

    difference: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.difference:+.3f} ({self.low:+.3f} … {self.high:+.3f})"


class Pool(BaseModel):
    """One change over its seeds. by_seed: each run's score. to_recipe: None of the recipe itself,
    and where the recipe has no finished run."""

    changes: Values
    by_seed: list[float]
    base: float
    tuned: float
    to_base: Gain
    to_recipe: Gain | None = None


def pools(rows: Sequence[Row]) -> list[Pool]:
    """The finished runs by what they change beside the seed, in the sweep's order."""
    groups: dict[str, list[Row]] = {}
    for row in rows:
        if row.verdict:
            groups.setdefault(repr(sorted(_change(row).items())), []).append(row)
    recipe = groups.get(repr([]))
    plain = _mean([row.tuned for row in recipe]) if recipe else []
    found = []
    for runs in groups.values():
        base, tuned = _mean([row.base for row in runs]), _mean([row.tuned for row in runs])
        beside = runs is not recipe and len(plain) == len(tuned)
        pool = Pool(
            changes=_change(runs[0]),
            by_seed=[fmean(row.tuned) for row in runs],
            base=fmean(base),
            tuned=fmean(tuned),
            to_base=_gain(base, tuned),
            to_recipe=_gain(plain, tuned) if beside else None,
        )
        found.append(pool)
    return found


def pool_table(found: Sequence[Pool]) -> Table:
    """A row a change, the best first."""
    table = Table(
        either("改动", "changes"),
        *(either("种子数", "seeds"), either("各种子", "by seed"), either("合计", "pooled")),
        *(either("与基座的差（95 %）", "to base (95 %)"), either("与配方的差", "to the recipe")),
    )
    for pool in sorted(found, key=lambda pool: -pool.tuned):
        table.add_row(
            ", ".join(f"{key}={value}" for key, value in pool.changes.items())
            or either("配方", "recipe"),
            str(len(pool.by_seed)),
            " ".join(f"{score:.3f}" for score in pool.by_seed),
            f"{pool.tuned:.3f}",
            str(pool.to_base),
            str(pool.to_recipe or ""),
        )
    return table


def _change(row: Row) -> Values:
    return {key: value for key, value in row.changes.items() if key != "seed"}


def _mean(scores: Sequence[Sequence[float]]) -> list[float]:
    """The mean of each question over the runs."""
    return [fmean(each) for each in zip(*scores, strict=True)]


def _gain(first: Sequence[float], second: Sequence[float]) -> Gain:
    found = difference(first, second)
    return Gain(difference=found.mean, low=found.low, high=found.high)
