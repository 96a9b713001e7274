"""How far to trust a model that judges: what it does whatever the answers say.

Does its mark follow the length of the answer, does the answer shown first win, does the longer one,
does its verdict turn with the order? Each is told with its interval or p.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any

from common.intervals import CHANCE, FEWEST, Difference
from common.language import either
from judging.model_judge import (
    Chosen,
    Marked,
    length_habit,
    position_bias,
    position_habit,
    rank_correlation,
)
from judging.read_report import Report
from judging.scoring import repeats_question

FEW = 3  # answers that answer nothing: fewer say little of the judge
UNSTEADY = 1 / 3  # of the verdicts turn with the order: a coin's would turn half of the time


@dataclass(frozen=True)
class Habit:
    """What a judging model does whatever the answers say. `bad`: shown beyond chance."""

    text: str
    bad: bool

    def __str__(self) -> str:
        return ("! " if self.bad else "") + self.text


def headline(trust: Sequence[Habit], agreements: Sequence[str]) -> str:
    """How far to trust the marks, in a sentence."""
    bad = [each for each in trust if each.bad]
    if bad:
        return either(
            f"当心：这个评委有 {len(bad)} 处不可信（下面标 ! 的），它的分不能单独当作结论",
            f"beware: {len(bad)} things speak against this judge (marked ! below); its marks alone "
            "are no conclusion",
        )
    if not agreements:
        return either(
            "没有看出评委的偏向，但也没有与人对照过（--people）：分数只作参考",
            "no habit was shown, but the judge was not compared with people either (--people): "
            "take its marks as a hint",
        )
    return either(
        "没有看出评委的偏向；与人一致的程度见下",
        "no habit was shown; its agreement with people below",
    )


def habits_of_marks(
    reports: Sequence[Report],
    rows: Sequence[Sequence[dict[str, Any]]],
    marks: Sequence[Sequence[Marked | None]],
) -> list[Habit]:
    """Of each report: do marks follow the length of the answer, do they follow the contest's score;
    and are they all alike."""
    said = []
    for report, answers, given in zip(reports, rows, marks, strict=True):
        rated = [(row, mark.mean) for row, mark in zip(answers, given, strict=True) if mark]
        means = [mean for _, mean in rated]
        by_length = rank_correlation([len(row["answer"]) for row, _ in rated], means)
        by_score = rank_correlation([row["score"] for row, _ in rated], means)
        text = either(
            f"{report.name}：{len(rated)} 个分数，与回答长度的秩相关 {_correlation(by_length)}，"
            f"与评测机得分的秩相关 {_correlation(by_score)}",
            f"{report.name}: {len(rated)} marks, rank correlation with length "
            f"{_correlation(by_length)}, with the contest's score {_correlation(by_score)}",
        )
        # Where the contest's score follows the marks as well, the longer ones may be the better.
        by_score_rho = by_score[0] if by_score else 0.0
        bad = by_length is not None and by_length[1] < CHANCE and by_length[0] > by_score_rho
        said.append(Habit(text, bad))
    said += _of_no_answers(rows, marks)
    everything = [mark.marks for given in marks for mark in given if mark]
    if len(everything) >= FEWEST and all(each == everything[0] for each in everything):
        same = either(
            "每个回答的分都一样，分不出好坏",
            "every answer got the same marks: it tells nothing apart",
        )
        said.append(Habit(same, bad=True))
    return said


def _of_no_answers(
    rows: Sequence[Sequence[dict[str, Any]]], marks: Sequence[Sequence[Marked | None]]
) -> list[Habit]:
    """What "correct" an answer gets that answers nothing: empty, or the question again."""
    nothing, others = [], []
    for answers, given in zip(rows, marks, strict=True):
        for row, mark in zip(answers, given, strict=True):
            if mark:
                texts = row["question"], row["reference"], row["answer"]
                idle = not row["answer"].strip() or repeats_question(*texts)
                (nothing if idle else others).append(mark.marks["correct"])
    if not nothing or not others:
        return []
    idle, real = fmean(nothing), fmean(others)
    text = either(
        f"没有回答什么的回答（空的、只是重说问题的）{len(nothing)} 个，“正确”平均得 {idle:.2f}，"
        f"其余 {len(others)} 个平均 {real:.2f}",
        f"{len(nothing)} answers that answer nothing (empty, or the question again) got "
        f'"correct" {idle:.2f} on average, the other {len(others)} got {real:.2f}',
    )
    return [Habit(text, idle >= real and len(nothing) >= FEW)]


def habits_of_choices(
    rows: Sequence[Sequence[dict[str, Any]]], verdicts: Sequence[Chosen | None]
) -> list[Habit]:
    """Does the answer shown first win, and does the longer one?"""
    pairs = [
        (first["answer"], second["answer"], each)
        for first, second, each in zip(*rows, verdicts, strict=True)
        if each and first["answer"].strip() != second["answer"].strip()
    ] if verdicts else []  # fmt: skip
    if not pairs:
        return []
    asked = [each.verdicts for *_, each in pairs]
    place, (first, turned) = position_habit(asked), position_bias(asked)
    wins = "–" if math.isnan(first) else f"{first:.0%}"
    said = [
        Habit(
            either(
                f"位置：先看到的回答胜出 {wins}（没有偏好是 50 %），{turned:.0%} 的题随先后改变；"
                f"偏好 {_leaning(place)}（+1 总选先看到的，−1 总选后看到的；{len(asked)} 题）",
                f"position: the answer shown first wins {wins} (50 % without a habit), "
                f"{turned:.0%} of the questions turn with the order; preference {_leaning(place)} "
                f"(+1 always the first, -1 always the second; {len(asked)} questions)",
            ),
            place.side != 0 or (turned > UNSTEADY and len(asked) >= FEWEST),
        )
    ]
    lengths = [(len(first), len(second)) for first, second, _ in pairs]
    if by_length := length_habit(lengths, [each.winner for *_, each in pairs]):
        said.append(
            Habit(
                either(
                    f"长度：偏爱长的 {_leaning(by_length)}（+1 总选长的，−1 总选短的；"
                    "长的也可能真的更好）",
                    f"length: preference for the longer {_leaning(by_length)} (+1 always the "
                    "longer, -1 always the shorter; which may be the better one)",
                ),
                by_length.side != 0,
            )
        )
    return said


def _correlation(found: tuple[float, float] | None) -> str:
    if found is None:
        return either("算不出", "unknown")
    rho, p = found
    return f"{rho:+.2f} ({'p < 0.001' if p < 0.0005 else f'p = {p:.3f}'})"


def _leaning(found: Difference) -> str:
    return f"{found.mean:+.2f} [{found.low:+.2f}, {found.high:+.2f}], {found.chance}"
