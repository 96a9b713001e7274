"""Methods side by side in sentences: memory, time, and which scored more, question by question."""

import itertools
from collections.abc import Sequence
from typing import Any

from common.language import either
from judging.intervals import difference
from judging.read_report import Report
from judging.run_files import RunFiles
from judging.verdicts import verdict


def methods(
    runs: Sequence[RunFiles], judged: Sequence[Report], rows: Sequence[Sequence[dict[str, Any]]]
) -> list[str]:
    """What the course asks of full fine-tuning, LoRA and QLoRA; none for a single run. rows: of
    the judged reports, on the same questions. What was not measured of every run is not ranked."""
    if len(runs) < 2:
        return []
    memory = [run.training.counts.get("peak_device_bytes") for run in runs]
    seconds = [run.training.seconds for run in runs]
    said = _ranked(
        either("显存峰值", "Peak GPU memory"),
        runs,
        [None if value is None else value / 1e9 for value in memory],
        "GB",
    )
    said += _ranked(
        either("训练时间", "Training time"),
        runs,
        [value / 60 if value else None for value in seconds],
        either("分钟", "minutes"),
    )
    return said + _scores(runs, judged, rows)


def _ranked(
    what: str, runs: Sequence[RunFiles], values: Sequence[float | None], unit: str
) -> list[str]:
    known = [(value, run) for value, run in zip(values, runs, strict=True) if value]
    if len(known) < len(runs):
        return []
    numbers = either("，", ", ").join(f"{_name(run)} {value:.1f}" for value, run in known)
    (least, best), (most, worst) = (
        choose(known, key=lambda each: each[0]) for choose in (min, max)
    )
    share = f"{least / most:.0%}"
    return [
        either(
            f"{what}（{unit}）：{numbers}；最少的 {_name(best)} "
            f"是最多的 {_name(worst)} 的 {share}。",
            f"{what} ({unit}): {numbers}; the least, of {_name(best)}, is {share} of "
            f"{_name(worst)}'s.",
        )
    ]


def _scores(
    runs: Sequence[RunFiles], judged: Sequence[Report], rows: Sequence[Sequence[dict[str, Any]]]
) -> list[str]:
    found = []  # merged models stand before exports
    for run in runs:
        of_it = [
            each
            for report, each in zip(judged, rows, strict=True)
            if report.model_dir and report.model_dir.resolve().parent == run.folder.resolve()
        ]
        found += [(run, of_it[0])] if of_it else []
    said = []
    for (one, first), (other, second) in itertools.combinations(found, 2):
        gap = difference([row["score"] for row in first], [row["score"] for row in second])
        said.append(
            either(
                f"得分，{_name(other)} 与 {_name(one)} 逐题相比：{verdict(gap)}。",
                f"Score, {_name(other)} against {_name(one)}, question by question: "
                f"{verdict(gap)}.",
            )
        )
    if len(said) > 1:
        said.append(
            either(
                f"两两比了 {len(said)} 次：其中一次碰巧显得不同，比 5 % 更可能。",
                f"{len(said)} such comparisons: that one differs by chance is likelier than 5 %.",
            )
        )
    return said


def _name(run: RunFiles) -> str:
    return either(f"{run.method}（{run.folder.name}）", f"{run.method} ({run.folder.name})")
