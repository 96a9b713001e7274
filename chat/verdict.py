"""What the reports chosen on the page say in sentences, in both of its languages."""

import shlex
from collections.abc import Sequence

from chat.reports import Asked, Report
from common.intervals import VERDICTS, difference
from judging.conclusion import standing_of
from judging.scoring import rouge_l

Told = tuple[str, str]  # Chinese, English


def verdict(reports: Sequence[Report], found: Sequence[Asked]) -> Told:
    """Where each model stands, better or worse than the first on the questions that both were
    asked, and the next command; a line each.

    found: the questions of the first report, with the second one's answers (`beside`).
    """
    # The same question twice is not more evidence.
    once = {(each.question, each.reference): each for each in found if each.reference.strip()}
    asked = list(once.values())
    if not asked:
        return (
            "没有一题有参考答案：算不出分",
            "no question has a reference: there is no score",
        )
    lines = [_alone(reports[0])] if len(reports) == 1 and reports[0].conclusion else []
    models = list(dict.fromkeys(model for each in asked for model in each.scores))
    if not lines:
        lines += [_standing(model, asked) for model in models]
    for report in reports:
        if report.failures and len(reports) > 1:
            zh, en = "评测机会判失败，得 0 分", "the judge would fail it, score 0"
            told = report.failures[0]
            lines.append((f"{report.id}：{zh}（{told}）", f"{report.id}: {en} ({told})"))
    lines += [_against(models[0], model, asked) for model in models[1:]]
    if len(reports) > 1 and len(models) == len(reports[0].models):
        lines.append(("两份报告没有共同的题，不能比较", "the reports have no question in common"))
    elif len(reports) > 1:
        folders = " ".join(shlex.quote(report.id) for report in reports)
        command = f"bash run.sh judging compare {folders}"
        lines.append((f"别的指标：{command}", f"Other metrics: {command}"))
    if any(report.demo for report in reports):
        lines.append(("演示模型，分数不代表质量", "a demo model, whose score is no quality"))
    return "\n".join(zh for zh, _ in lines), "\n".join(en for _, en in lines)


def _alone(report: Report) -> Told:
    """What the local judge wrote, a line that ends in the next command."""
    said, command = report.conclusion, report.conclusion.get("command", "")
    return f"{said.get('zh', '')}{command}", f"{said.get('en', '')} {command}"


def _standing(model: str, asked: Sequence[Asked]) -> Told:
    mine = [each for each in asked if model in each.scores]
    stands = standing_of(
        [each.scores[model] for each in mine],
        [rouge_l(each.reference, each.question) for each in mine],
    )
    return f"{model}：{stands.chinese}", f"{model}: {stands.english}"


def _against(first: str, model: str, asked: Sequence[Asked]) -> Told:
    both = [each.scores for each in asked if first in each.scores and model in each.scores]
    if not both:
        return f"{model} 与 {first} 没有共同的题", f"{model} and {first}: no question in common"
    gap = difference([each[first] for each in both], [each[model] for each in both])
    zh, en = VERDICTS[gap.side]
    numbers = f"{gap.mean:+.3f} [{gap.low:+.3f}, {gap.high:+.3f}], {gap.chance}"
    return (
        f"{model} 与 {first} 相比（{len(both)} 题）：{zh}，{numbers}",
        f"{model} against {first} ({len(both)} questions): {en}, {numbers}",
    )
