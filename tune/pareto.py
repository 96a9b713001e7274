"""Which trials are worth anything: the Pareto front of score and speed, and the one to ship."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

# Two starts of the same settings differ by this much and more (measured: 7 % on two cores that
# others used, too): less is no gain.
MIN_GAIN = 0.02


@dataclass
class Row:
    """One trial. `measured`: score and speed (characters a second) of each start, the same
    settings; `reason`: why it failed, then it counts for nothing."""

    number: int
    settings: dict[str, str]
    measured: list[tuple[float, float]] = field(default_factory=list)
    reason: str = ""
    start_seconds: float | None = None

    @property
    def score(self) -> float:
        """Mean of the judge's scores."""
        return sum(score for score, _ in self.measured) / len(self.measured)

    @property
    def speed(self) -> float:
        """Mean of the judge's speeds."""
        return sum(speed for _, speed in self.measured) / len(self.measured)

    @property
    def ok(self) -> bool:
        """Whether it has a result."""
        return bool(self.measured) and not self.reason


def pareto(rows: Sequence[Row]) -> list[Row]:
    """The rows that no other row beats in one number without losing in the other, fastest first."""
    front: list[Row] = []
    for row in sorted((r for r in rows if r.ok), key=lambda r: (-r.speed, -r.score, r.number)):
        if not front or row.score > front[-1].score:
            front.append(row)
    return front


def choose(rows: Sequence[Row], may_lose: float = 0.0) -> Row:
    """The fastest row whose score is not below that of the defaults (the first row) by more than
    `may_lose`; the defaults themselves where nothing is faster by MIN_GAIN, and in each of its
    starts where both were started again.

    Raises ValueError when the defaults have no result: nothing can be compared then.
    """
    if not rows or not rows[0].ok:
        raise ValueError("the defaults have no result")
    defaults = rows[0]
    least = defaults.score - may_lose - 1e-9
    able = [r for r in rows[1:] if r.ok and r.score >= least]
    for row in sorted(able, key=lambda r: -r.speed):
        if row.speed > defaults.speed * (1 + MIN_GAIN) and not _overlap(row, defaults):
            return row
    return defaults


def _overlap(row: Row, defaults: Row) -> bool:
    """Whether both were started again, and a start of the defaults was as fast as one of it."""
    again = len(row.measured) > 1 and len(defaults.measured) > 1
    return again and min(s for _, s in row.measured) <= max(s for _, s in defaults.measured)


def draw(rows: Sequence[Row], best: Row, path: Path, title: str) -> None:
    """The trials as a PNG: speed to the right, score upwards."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7.2, 4.4), layout="constrained")
    axes: Any = figure.add_subplot()
    good = [row for row in rows if row.ok]
    front = pareto(rows)
    axes.scatter([r.speed for r in good], [r.score for r in good], color="#9aa5b1", label="trials")
    axes.step(
        [r.speed for r in front], [r.score for r in front], where="pre", color="#2a6fbb",
        marker="o", label="Pareto front",
    )  # fmt: skip
    for row, label, color in ((rows[0], "defaults", "#444"), (best, "chosen", "#d9822b")):
        axes.scatter(
            [row.speed], [row.score], s=110, marker="*", color=color, label=label, zorder=3
        )
    failed = sum(not row.ok for row in rows)
    axes.set_title(title + (f", {failed} failed (not shown)" if failed else ""))
    axes.set_xlabel("speed, characters a second")
    axes.set_ylabel("score (ROUGE-L of the judge)")
    axes.grid(color="#e3e8ee")
    axes.set_axisbelow(True)
    axes.legend(frameon=False)
    figure.savefig(path, dpi=120)
