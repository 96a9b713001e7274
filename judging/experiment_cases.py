"""The case sheet of an experiment's report: the answers of every model side by side."""

import random
from collections.abc import Sequence
from typing import Any

from common.language import either
from judging.document import Document, Grid, Heading, Paragraph
from judging.read_report import Report
from judging.scoring import repeats_question

CASES = 6  # a third each: greatest wins, greatest losses, drawn at random


def add_cases(
    document: Document,
    judged: Sequence[Report],
    rows: Sequence[Sequence[dict[str, Any]]],
    count: int | None = CASES,
) -> None:
    """Answers side by side: greatest wins, greatest losses, and random ones, never only wins.

    Chosen by the second report against the first; count None: all questions.
    """
    if len(judged) < 2:
        return
    gains = [last["score"] - first["score"] for first, last in zip(rows[0], rows[1], strict=True)]
    document.add(
        Heading(2, either("案例", "Cases")),
        Paragraph(
            either(
                f"按评测机的分挑选：{judged[1].name} 减 {judged[0].name}。",
                f"Chosen by the judge's score: {judged[1].name} minus {judged[0].name}.",
            ),
            note=True,
        ),
    )
    for label, chosen in chosen_cases(gains, len(gains) if count is None else count).items():
        for index in chosen:
            first = rows[0][index]
            document.add(Paragraph(f"{label} ({gains[index]:+.2f}): {first['question']}"))
            cells = [[either("参考答案", "reference"), "", first["reference"]]]
            for report, each in zip(judged, rows, strict=True):
                answer = each[index]["answer"]
                score = f"{each[index]['score']:.2f}"
                if repeats_question(first["question"], first["reference"], answer):
                    score += either("\n重说问题", "\nrepeats the question")
                shown = answer if answer.strip() else either("（空）", "(empty)")
                cells.append([report.name, score, shown])
            document.add(Grid(["", either("得分", "score"), either("回答", "answer")], cells))


def chosen_cases(gains: Sequence[float], count: int = CASES) -> dict[str, list[int]]:
    """Indices of the cases to show, by why they were chosen; none is shown twice. `count` of them,
    where there are so many: of too few wins or losses the rest is drawn at random."""
    order = sorted(range(len(gains)), key=lambda i: gains[i])
    share = max(1, count // 3)
    won = [i for i in reversed(order) if gains[i] > 0][:share]
    lost = [i for i in order if gains[i] < 0][:share]
    others = [i for i in range(len(gains)) if i not in (*won, *lost)]
    wanted = min(max(share, count - len(won) - len(lost)), len(others))
    return {
        either("提升最大", "greatest win"): won,
        either("下降最大", "greatest loss"): lost,
        either("随机抽取", "drawn at random"): random.Random(0).sample(others, wanted),
    }
