"""The curve of a length cap as a picture."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from common.chart_words import chart_words

IN_CHINESE = {"tokens": "词元", "characters": "字符"}


def draw(sets: Sequence[dict[str, Any]], unit: str, path: Path) -> None:
    """Score and speed over the cap, a panel for each test set, as a PNG."""
    from matplotlib.figure import Figure

    with chart_words() as say:
        figure = Figure(figsize=(7.2, 4.0 * len(sets)), layout="constrained")
        for place, told in enumerate(sets, 1):
            axes: Any = figure.add_subplot(len(sets), 1, place)
            caps = [point["cap"] for point in told["points"]]
            axes.plot(
                caps,
                [p["score"] for p in told["points"]],
                color="#2a6fbb",
                label=say("得分", "score"),
            )
            axes.set_ylabel(say("得分（评测机的 ROUGE-L）", "score (ROUGE-L of the judge)"))
            axes.set_xlabel(say(f"上限，{IN_CHINESE[unit]}", f"cap, {unit}"))
            axes.set_ylim(bottom=0)
            if told["cap"] is not None:
                axes.axvline(
                    told["cap"],
                    color="#444",
                    lw=1,
                    ls="--",
                    label=say(f"上限 {told['cap']}", f"cap {told['cap']}"),
                )
            dev = say("验证集", "dev split")
            other = say("不是验证集：不按它选", "NOT A DEV SPLIT: nothing is chosen by it")
            title = dev if told["is_dev"] else other
            axes.set_title(title)
            right = axes.twinx()
            low, high = ([p[key] for p in told["points"]] for key in ("by_tokens", "by_steps"))
            right.fill_between(
                caps,
                low,
                high,
                color="#d9822b",
                alpha=0.3,
                label=say("速度在此之间", "speed, between"),
            )
            right.set_ylabel(say("字符/秒", "characters a second"))
            right.set_ylim(0, 3 * told["uncapped"]["speed"])
            handles = [*axes.get_legend_handles_labels()[0], *right.get_legend_handles_labels()[0]]
            labels = [*axes.get_legend_handles_labels()[1], *right.get_legend_handles_labels()[1]]
            axes.legend(handles, labels, frameon=False, loc="lower right")
        figure.savefig(path, dpi=120)
