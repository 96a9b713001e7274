"""The Pareto front of score and speed over the trials, and the settings to ship."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from common.chart_words import chart_words

# Two runs of the same settings differ by that and more: a smaller gain is noise.
MIN_GAIN = 0.02


@dataclass
class TrialResult:
    """One trial. measured: score and speed (characters a second) of each run of its settings, a
    service start each; reason: why it failed, which excludes it from front and selection."""

    number: int
    settings: dict[str, str]
    measured: list[tuple[float, float]] = field(default_factory=list)
    reason: str = ""
    start_seconds: float | None = None

    @property
    def score(self) -> float:
        """Mean score of its runs."""
        return sum(score for score, _ in self.measured) / len(self.measured)

    @property
    def speed(self) -> float:
        """Mean speed of its runs."""
        return sum(speed for _, speed in self.measured) / len(self.measured)

    @property
    def ok(self) -> bool:
        """Whether it was measured and did not fail."""
        return bool(self.measured) and not self.reason


def pareto_front(rows: Sequence[TrialResult]) -> list[TrialResult]:
    """The trials that no other dominates, which means at least as good in score and speed and
    better in one; fastest first."""
    front: list[TrialResult] = []
    for row in sorted((r for r in rows if r.ok), key=lambda r: (-r.speed, -r.score, r.number)):
        if not front or row.score > front[-1].score:
            front.append(row)
    return front


def select(
    rows: Sequence[TrialResult], may_lose: float = 0.0, at_least: float = 0.0
) -> TrialResult:
    """The fastest trial whose score is at most `may_lose` below that of the defaults (the first
    row). The defaults win over a gain under MIN_GAIN, and, once both were run again, over a trial
    whose slowest run is not faster than the defaults' fastest.

    Where the defaults score less than `at_least`: the fastest trial that reaches it, however slow;
    where none does, the one with the highest score.

    Raises ValueError when the defaults have no result to compare with.
    """
    if not rows or not rows[0].ok:
        raise ValueError("the defaults have no result")
    defaults = rows[0]
    if defaults.score < at_least:
        done = [row for row in rows if row.ok]
        enough = [row for row in done if row.score >= at_least]
        if enough:
            return max(enough, key=lambda row: row.speed)
        return max(done, key=lambda row: (row.score, row.speed))
    least = defaults.score - may_lose - 1e-9
    able = [r for r in rows[1:] if r.ok and r.score >= least]
    for row in sorted(able, key=lambda r: -r.speed):
        if row.speed > defaults.speed * (1 + MIN_GAIN) and not _overlap(row, defaults):
            return row
    return defaults


def _overlap(row: TrialResult, defaults: TrialResult) -> bool:
    """Whether both were run again and the ranges of their speeds overlap."""
    again = len(row.measured) > 1 and len(defaults.measured) > 1
    return again and min(s for _, s in row.measured) <= max(s for _, s in defaults.measured)


def plot(rows: Sequence[TrialResult], best: TrialResult, path: Path, title: str) -> None:
    """The trials and their Pareto front as a PNG: speed on the x axis, score on the y axis."""
    from matplotlib.figure import Figure

    with chart_words() as say:
        figure = Figure(figsize=(7.2, 4.4), layout="constrained")
        axes: Any = figure.add_subplot()
        good = [row for row in rows if row.ok]
        front = pareto_front(rows)
        axes.scatter(
            [r.speed for r in good],
            [r.score for r in good],
            color="#9aa5b1",
            label=say("试验", "trials"),
        )
        axes.step(
            [r.speed for r in front], [r.score for r in front], where="pre", color="#2a6fbb",
            marker="o", label=say("帕累托前沿", "Pareto front"),
        )  # fmt: skip
        for row, label, color in (
            (rows[0], say("默认", "defaults"), "#444"),
            (best, say("选定", "chosen"), "#d9822b"),
        ):
            axes.scatter(
                [row.speed], [row.score], s=110, marker="*", color=color, label=label, zorder=3
            )
        failed = sum(not row.ok for row in rows)
        axes.set_title(
            title
            + (
                say(f"，{failed} 次失败（未画）", f", {failed} failed (not shown)")
                if failed
                else ""
            )
        )
        axes.set_xlabel(say("速度，字符/秒", "speed, characters a second"))
        axes.set_ylabel(say("得分（评测机的 ROUGE-L）", "score (ROUGE-L of the judge)"))
        axes.grid(color="#e3e8ee")
        axes.set_axisbelow(True)
        axes.legend(frameon=False)
        figure.savefig(path, dpi=120)
