"""A picture of a paired comparison: differences by kind of question, and question by question."""

import io
from collections.abc import Mapping, Sequence

from common.chart_words import chart_words
from common.intervals import Difference
from common.question_kinds import FACT, KINDS
from judging.charts import BLUE, GREY, ORANGE, STYLE


def difference_chart(
    whole: Difference,
    groups: Mapping[str, tuple[int, Difference]],
    gains: Sequence[float],
) -> bytes:
    """PNG: mean differences with their 95 % intervals, and every question's own, sorted.

    whole: over all questions; groups: by a kind's name, how many questions and their difference;
    gains: score of the second minus the first, a question. Labels are Chinese where the reader's
    language is and a font has it.
    """
    import matplotlib
    from matplotlib.figure import Figure

    english = {kind.zh: kind.en for kind in (*KINDS, FACT)}
    with chart_words() as say, matplotlib.rc_context(STYLE):
        rows = [(f"{say('全部', 'all questions')} ({len(gains)})", whole)]
        for name, (n, gap) in groups.items():
            rows.append((f"{say(name, english.get(name, name))} ({n})", gap))
        figure = Figure(figsize=(7.2, 2.9 + 0.3 * len(rows)), layout="constrained", dpi=200)
        upper, lower = figure.subplots(2, 1, height_ratios=[0.9 + 0.3 * len(rows), 2])
        for place, (_, gap) in enumerate(rows):
            color = _color(gap.side)
            upper.plot([gap.low, gap.high], [place, place], color=color, linewidth=2.5)
            upper.plot(gap.mean, place, "o", color=color, markersize=7)
        upper.axvline(0, color="#5a6878", linewidth=1)
        upper.set_yticks(range(len(rows)), [name for name, _ in rows])
        upper.set_ylim(len(rows) - 0.4, -0.6)
        upper.set_xlabel(
            say(
                "平均差与 95 % 区间（灰色：与 0 分不出）",
                "mean difference and 95 % interval (grey: not told apart from 0)",
            )
        )
        ordered = sorted(gains)
        colors = [_color((gain > 1e-9) - (gain < -1e-9)) for gain in ordered]
        lower.bar(range(len(ordered)), ordered, width=1.0, color=colors)
        lower.axhline(0, color="#5a6878", linewidth=1)
        lower.set_xlim(-0.5, len(ordered) - 0.5)
        lower.set_xticks([])
        wins, losses = (sum(sign * gain > 1e-9 for gain in gains) for sign in (1, -1))
        lower.set_xlabel(
            say(
                f"逐题，按差排序：{wins} 题变好，{losses} 题变差",
                f"every question, sorted: {wins} better, {losses} worse",
            )
        )
        lower.set_ylabel(say("差", "difference"), rotation=0, ha="right", va="center")
        out = io.BytesIO()
        figure.savefig(out, format="png", metadata={"Software": None})
    return out.getvalue()


def _color(side: int) -> str:
    return {1: BLUE, 0: GREY, -1: ORANGE}[side]
