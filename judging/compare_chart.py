"""A picture of a paired comparison: differences by kind of question, and question by question."""

import io
import logging
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from common.language import language
from common.question_kinds import FACT, KINDS
from judging.charts import BLUE, GREY, ORANGE, STYLE
from judging.intervals import Difference

# Files of fonts that have Chinese, on the usual systems. matplotlib draws boxes for what a font
# lacks, and of a collection (.ttc) it knows the first face only, whose glyphs do.
_CHINESE_FONTS = re.compile(
    "NotoSansCJK|NotoSansSC|SourceHanSans|wqy-|PingFang|STHeiti|msyh|simhei|DroidSansFallback", re.I
)


def chinese_font() -> str | None:
    """The name of a font of this machine that has Chinese, ready for matplotlib; or None."""
    logging.getLogger("matplotlib.font_manager").setLevel(logging.ERROR)
    from matplotlib import font_manager

    # Not fontManager's own list: it is kept in a file, and does not see what was installed since.
    for path in sorted(font_manager.findSystemFonts()):
        if _CHINESE_FONTS.search(Path(path).name) and "bold" not in path.lower():
            font_manager.fontManager.addfont(path)
            return font_manager.FontProperties(fname=path).get_name()
    return None


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

    font = chinese_font() if language() == "zh" else None
    said = _CHINESE if font else _ENGLISH
    english = {} if font else {kind.zh: kind.en for kind in (*KINDS, FACT)}
    rows = [(f"{said['all']} ({len(gains)})", whole)]
    rows += [(f"{english.get(name, name)} ({n})", gap) for name, (n, gap) in groups.items()]
    style = {**STYLE, **({"font.family": [font, "DejaVu Sans"]} if font else {})}
    with matplotlib.rc_context(style):
        figure = Figure(figsize=(7.2, 2.9 + 0.3 * len(rows)), layout="constrained", dpi=200)
        upper, lower = figure.subplots(2, 1, height_ratios=[0.9 + 0.3 * len(rows), 2])
        for place, (_, gap) in enumerate(rows):
            color = _color(gap.side)
            upper.plot([gap.low, gap.high], [place, place], color=color, linewidth=2.5)
            upper.plot(gap.mean, place, "o", color=color, markersize=7)
        upper.axvline(0, color="#5a6878", linewidth=1)
        upper.set_yticks(range(len(rows)), [name for name, _ in rows])
        upper.set_ylim(len(rows) - 0.4, -0.6)
        upper.set_xlabel(said["mean"])
        ordered = sorted(gains)
        colors = [_color((gain > 1e-9) - (gain < -1e-9)) for gain in ordered]
        lower.bar(range(len(ordered)), ordered, width=1.0, color=colors)
        lower.axhline(0, color="#5a6878", linewidth=1)
        lower.set_xlim(-0.5, len(ordered) - 0.5)
        lower.set_xticks([])
        lower.set_xlabel(said["each"].format(
            sum(g > 1e-9 for g in gains), sum(g < -1e-9 for g in gains)))  # fmt: skip
        lower.set_ylabel(said["gain"], rotation=0, ha="right", va="center")
        out = io.BytesIO()
        figure.savefig(out, format="png", metadata={"Software": None})
    return out.getvalue()


_ENGLISH = {
    "all": "all questions",
    "mean": "mean difference and 95 % interval (grey: not told apart from 0)",
    "each": "every question, sorted: {} better, {} worse",
    "gain": "difference",
}
_CHINESE = {
    "all": "全部",
    "mean": "平均差与 95 % 区间（灰色：与 0 分不出）",
    "each": "逐题，按差排序：{} 题变好，{} 题变差",
    "gain": "差",
}


def _color(side: int) -> str:
    return {1: BLUE, 0: GREY, -1: ORANGE}[side]
