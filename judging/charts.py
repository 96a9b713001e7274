"""Charts of a judged test set, as SVG text, set in the fonts of whoever shows it."""

import io
from collections.abc import Sequence
from typing import Any

from common.chart_words import Words, chart_words

BLUE, ORANGE, GREY = "#2a6fbb", "#d9822b", "#9aa5b1"
STYLE = {
    "svg.fonttype": "none",  # text stays text: small, sharp, set in the reader's own font
    "svg.hashsalt": "judging",  # the same data gives the same file
    "font.size": 11,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.color": "#e3e8ee",
    "axes.axisbelow": True,
}


def score_distribution(rows: Sequence[dict[str, Any]]) -> str:
    """Histogram of the judge's scores; questions that can only score 0 apart. `rows`: answers."""
    scorable = [row["score"] for row in rows if row["ceiling"]]
    hopeless = [row["score"] for row in rows if not row["ceiling"]]

    def draw(axes: Any, say: Words) -> None:
        bins = [number / 20 for number in range(21)]
        data, colors, labels = [scorable], [BLUE], [say("能得分的题", "questions that can score")]
        if hopeless:
            data, colors = [*data, hopeless], [*colors, GREY]
            zh, en = "参考答案没有可计分的词：总是 0", "no counted token in the reference: always 0"
            labels.append(say(zh, en))
        axes.hist(data, bins=bins, stacked=True, color=colors, label=labels, rwidth=0.92)
        mean = sum(row["score"] for row in rows) / len(rows)
        axes.axvline(
            mean, color=ORANGE, linewidth=2, label=say(f"平均 {mean:.3f}", f"mean {mean:.3f}")
        )
        axes.set_xlim(0, 1)
        axes.set_xlabel(say("一个回答的得分", "score of an answer"))
        axes.set_ylabel(say("题数", "questions"))
        axes.yaxis.get_major_locator().set_params(integer=True)

    return _figure(draw)


def score_against_length(rows: Sequence[dict[str, Any]]) -> str:
    """Scatter of score over the answer's characters; over-long and cut answers stand out."""
    odd = [row for row in rows if row["over_long"] or row["looks_cut"]]
    usual = [row for row in rows if not (row["over_long"] or row["looks_cut"])]

    def draw(axes: Any, say: Words) -> None:
        for label, color, members in (
            (say("回答", "answers"), BLUE, usual),
            (say("过长或像被截断", "over-long or looks cut"), ORANGE, odd),
        ):
            if members:
                lengths = [row["characters"] for row in members]
                scores = [row["score"] for row in members]
                axes.scatter(lengths, scores, s=26, color=color, alpha=0.6, lw=0, label=label)
        mean = sum(len(row["reference"]) for row in rows) / len(rows)
        told = say(f"参考答案平均 {mean:.0f} 字", f"mean reference: {mean:.0f} characters")
        axes.axvline(mean, color=GREY, linewidth=2, label=told)
        axes.set_ylim(-0.03, 1.03)
        axes.set_xlim(left=0)
        axes.set_xlabel(say("回答的字符数", "characters of the answer"))
        axes.set_ylabel(say("得分", "score"))

    return _figure(draw)


def _figure(draw: Any) -> str:
    import matplotlib
    from matplotlib.figure import Figure

    with chart_words(text_stays_text=True) as say, matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(6.4, 3.9), layout="constrained")
        axes = figure.add_subplot()
        draw(axes, say)
        figure.legend(loc="outside upper left", ncols=1, frameon=False, fontsize=10)
        out = io.StringIO()
        figure.savefig(out, format="svg", metadata={"Date": None, "Creator": None})
    return out.getvalue()
