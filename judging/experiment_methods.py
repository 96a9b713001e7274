"""Methods side by side in sentences: memory, time, and which scored more, question by question."""

import itertools
from collections.abc import Sequence
from typing import Any

from common.intervals import difference
from common.language import either
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
    return said + _scores(runs, judged, rows) + _other_bases(runs)


def _ranked(
    what: str, runs: Sequence[RunFiles], values: Sequence[float | None], unit: str
) -> list[str]:
    known = [(value, run) for value, run in zip(values, runs, strict=True) if value]
    if len(known) < len(runs):
        return []
    numbers = either("，", ", ").join(f"{run.folder.name} {value:.1f}" for value, run in known)
    (least, best), (most, worst) = (
        choose(known, key=lambda each: each[0]) for choose in (min, max)
    )
    share = f"{least / most:.0%}"
    return [
        either(
            f"{what}（{unit}）：{numbers}；最少的 {best.folder.name} "
            f"是最多的 {worst.folder.name} 的 {share}。",
            f"{what} ({unit}): {numbers}; the least, of {best.folder.name}, is {share} of "
            f"{worst.folder.name}'s.",
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
            if run.stage_of(report.model_dir)
        ]
        found += [(run, of_it[0])] if of_it else []
    said = []
    for (one, first), (other, second) in itertools.combinations(found, 2):
        gap = difference([row["score"] for row in first], [row["score"] for row in second])
        said.append(
            either(
                f"得分，{other.folder.name} 与 {one.folder.name} 逐题相比：{verdict(gap)}。",
                f"Score, {other.folder.name} against {one.folder.name}, question by question: "
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


def _other_bases(runs: Sequence[RunFiles]) -> list[str]:
    """Each run asked its base on the dev questions in its own precision: see train/verdict.py."""
    bases = {round(run.verdict["base"], 3) for run in runs if run.verdict}
    if len(bases) < 2 or len({run.base for run in runs}) > 1:
        return []
    return [
        either(
            "dev 集上的“基座”各不相同，是因为每次训练用自己的精度问它（QLoRA 的是 4 位的）："
            "dev 得分只和自己的基座比，方法之间比测试集的得分。",
            "The base has several dev scores because each run asked it in its own precision "
            "(QLoRA's in 4 bit): compare a dev score with its own base alone, and the methods by "
            "their scores on the test set.",
        )
    ]


def seen_before(runs: Sequence[RunFiles], rows: Sequence[dict[str, Any]]) -> list[str]:
    """Judged questions by which a run chose its best step: its score there is flattering."""
    asked: dict[int, list[str]] = {}
    for run in runs:
        known = run.dev_questions()
        if seen := sum(row["question"] in known for row in rows):
            asked.setdefault(seen, []).append(run.folder.name)
    said = []
    for seen, names in asked.items():
        who = either("、", ", ").join(names)
        said.append(
            either(
                f"{who}：评测的 {len(rows)} 题里有 {seen} 题就是训练时的 dev 题（选步数、"
                "选参数时看过）：这个分偏乐观，再用没看过的题评一次。",
                f"{who}: {seen} of the {len(rows)} judged questions are the dev questions of the "
                "training, by which steps and settings are chosen: the score is optimistic; judge "
                "once more on questions that were not looked at.",
            )
        )
    return said
