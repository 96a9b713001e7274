"""A comparison's numbers as text, as blocks of a report, and as a page of their own."""

from collections.abc import Sequence
from typing import Any

from common.intervals import FEWEST, Difference, Interval
from common.language import either
from judging.compare_chart import difference_chart
from judging.document import Block, Code, Document, Grid, Heading, Paragraph, Picture
from judging.read_report import Report
from judging.verdicts import next_step, verdicts

FEW = FEWEST  # questions; fewer make no group of their own


def page(
    told: dict[str, Any], reports: Sequence[Report], rows: Sequence[Sequence[dict[str, Any]]]
) -> Document:
    """The comparison to read and to hand in: verdicts, what is next, charts, tables."""
    document = Document()
    document.add(Heading(1, either("几份评测的比较", "Judgements compared")))
    document.add(*map(Paragraph, verdicts(told, reports, rows)))
    words, command = next_step(told, reports, rows)
    if command:
        label = either("接下来：", "Next: ")
        document.add(Paragraph(label + words), Code(command))
    document.add(*score_blocks(told, reports))
    return document


def score_blocks(told: dict[str, Any], reports: Sequence[Report]) -> list[Block]:
    """What `compared` found: all metrics, a chart of each difference, the score by kind of question
    and by section."""
    blocks: list[Block] = [
        Paragraph(
            either(
                f"{told['questions']} 道共同的题，95 % 区间由对题目重抽样得到；差是逐题配对的，"
                "p 由置换检验得到。",
                f"{told['questions']} questions in common; 95 % intervals by resampling them, "
                "differences paired, p by a permutation test.",
            ),
            note=True,
        )
    ]
    names = [report.name for report in reports]
    rows = [
        [f"{each['label']}\n{each['what']}", *_with_differences(each)]
        for each in told["metrics"].values()
    ]
    totals = [report.summary.get("total", {}) for report in reports]
    for key, zh, en, form in (
        ("ceiling", "上限", "ceiling", ".3f"),
        ("echo", "复述问题", "echo of the question", ".3f"),
        ("speed", "字符/秒（评测机）", "characters/s (judge)", ",.0f"),
    ):
        values = [total.get(key) for total in totals]
        rows.append([either(zh, en), *("–" if v is None else format(v, form) for v in values)])
    memory = [_memory(report) for report in reports]
    if any(memory):
        zh, en = "评测时显卡已用显存 GB（不止这个服务）", "GPU memory in use, by everyone, GB"
        label = either(zh, en)
        rows.append([label, *(each or "–" for each in memory)])
    blocks.append(Grid(["", *names], rows))
    kinds = told["by"]["kind"]
    for index, gains in enumerate(told["gains"]):
        whole = told["metrics"]["judge"]["differences"][index]
        shown = {
            name: (each["questions"], each["differences"][index])
            for name, each in kinds.items()
            if each["questions"] >= FEW
        }
        caption = either(
            f"评测机的得分：{names[index + 1]} 减 {names[0]}",
            f"the judge's score: {names[index + 1]} minus {names[0]}",
        )
        blocks.append(Picture(difference_chart(whole, shown, gains), caption))
    for by, zh, en in (("kind", "题型（题数）", "kind (questions)"),
                       ("section", "章节（题数）", "section (questions)")):  # fmt: skip
        groups = told["by"][by]
        several = len(groups) > 1
        if by == "section":  # a book has fifty, most with a question or two
            groups = {name: each for name, each in groups.items() if each["questions"] >= FEW}
        if several and groups:
            lines = [
                [f"{group} ({each['questions']})", *_with_differences(each, each["questions"])]
                for group, each in groups.items()
            ]
            blocks.append(Grid([either(zh, en), *names], lines))
        left = told["questions"] - sum(each["questions"] for each in groups.values())
        if several and left:
            blocks.append(
                Paragraph(
                    either(
                        f"{left} 题所在的章节不足 {FEW} 题，未列出。",
                        f"{left} questions in sections of fewer than {FEW} are not shown.",
                    ),
                    note=True,
                )
            )
    return blocks


def _with_differences(each: dict[str, Any], questions: int | None = None) -> list[str]:
    """A cell a report: its mean, and below it the difference from the first. questions: of a group;
    of fewer than FEW only the means are told."""
    if questions is not None and questions < FEW:
        return [f"{mean.mean:.3f}" for mean in each["means"]]
    cells = [mean_text(mean) for mean in each["means"]]
    for index, gap in enumerate(each["differences"], 1):
        cells[index] += f"\n{gap_text(gap)}"
    return cells


def _memory(report: Report) -> str:
    info = report.summary.get("info")
    memory = info.get("memory") if isinstance(info, dict) else None
    used = memory.get("device_used_bytes") if isinstance(memory, dict) else None
    return f"{used / 1e9:.2f}" if isinstance(used, int | float) and used else ""


def mean_text(found: Interval) -> str:
    """A mean with its interval."""
    form = "{:.0f} [{:.0f}, {:.0f}]" if abs(found.mean) >= 20 else "{:.3f} [{:.3f}, {:.3f}]"
    return form.format(found.mean, found.low, found.high)


def gap_text(gap: Difference) -> str:
    """A difference with its p."""
    form = "{:+.0f}" if abs(gap.mean) >= 20 else "{:+.3f}"
    return f"{form.format(gap.mean)} ({gap.chance})"
