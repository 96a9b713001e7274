"""Loss and learning-rate curves as PNG."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from common.chart_words import chart_words


def _smooth(values: Sequence[float], width: int) -> list[float]:
    """Mean of the last `width` values at each place."""
    return [
        sum(values[max(0, i + 1 - width) : i + 1]) / len(values[max(0, i + 1 - width) : i + 1])
        for i in range(len(values))
    ]


def plot_curves(path: Path, log: Sequence[dict[str, Any]], title: str) -> None:
    """Draw `loss` (raw and smoothed), any `eval_loss` and `eval_judge`, and `learning_rate`.

    All over `step`; the judge's score at step 0 is the base's.
    """
    import matplotlib

    matplotlib.use("Agg")  # no display on servers
    from matplotlib import pyplot as plt

    with chart_words() as say:
        figure, (top, middle, bottom) = plt.subplots(
            3, 1, figsize=(8, 8), sharex=True, height_ratios=[3, 2, 1], layout="constrained"
        )
        rows = [row for row in log if "loss" in row]
        steps, losses = [r["step"] for r in rows], [r["loss"] for r in rows]
        top.plot(steps, losses, color="tab:blue", alpha=0.3, label=say("损失", "loss"))
        top.plot(
            steps,
            _smooth(losses, max(1, len(rows) // 30)),
            color="tab:blue",
            label=say("平滑后", "smoothed"),
        )
        _plot(top, log, "eval_loss", "tab:orange", say("验证损失", "dev loss"))
        top.set(title=title, ylabel=say("交叉熵（nat/词元）", "cross-entropy (nats a token)"))
        if losses and min(losses) > 0:
            top.set_yscale("log")
        top.legend()
        _plot(
            middle,
            log,
            "eval_judge",
            "tab:red",
            say("验证题得分（评测机的算法）", "judge's score, dev questions"),
        )
        if base := [row["eval_judge"] for row in log if "eval_judge" in row and row["step"] == 0]:
            middle.axhline(base[0], color="tab:gray", linestyle="--", label=say("基座", "base"))
        middle.set(ylabel=say("得分", "score"))
        if middle.get_legend_handles_labels()[0]:
            middle.legend()
        else:  # no dev question was asked: an empty panel would look like a score of none
            middle.remove()
        bottom.plot(steps, [r["learning_rate"] for r in rows], color="tab:green")
        bottom.set(xlabel=say("步", "step"), ylabel=say("学习率", "learning rate"))
        figure.savefig(path, dpi=110)
        plt.close(figure)


def _plot(axes: Any, log: Sequence[dict[str, Any]], key: str, color: str, label: str) -> None:
    rows = [row for row in log if key in row]
    if rows:
        axes.plot([r["step"] for r in rows], [r[key] for r in rows], "o-", color=color, label=label)
