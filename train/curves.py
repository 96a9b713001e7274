"""Loss and learning-rate curves as PNG."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any


def _smooth(values: Sequence[float], width: int) -> list[float]:
    """Mean of the last `width` values at each place."""
    return [
        sum(values[max(0, i + 1 - width) : i + 1]) / len(values[max(0, i + 1 - width) : i + 1])
        for i in range(len(values))
    ]


def plot_curves(path: Path, log: Sequence[dict[str, Any]], title: str) -> None:
    """Draw `loss` (raw and smoothed), `learning_rate` and any `eval_loss` over `step`."""
    import matplotlib

    matplotlib.use("Agg")  # no display on servers
    from matplotlib import pyplot as plt

    figure, (top, bottom) = plt.subplots(
        2, 1, figsize=(8, 6), sharex=True, height_ratios=[3, 1], layout="constrained"
    )
    rows = [row for row in log if "loss" in row]
    steps, losses = [r["step"] for r in rows], [r["loss"] for r in rows]
    top.plot(steps, losses, color="tab:blue", alpha=0.3, label="loss")
    top.plot(steps, _smooth(losses, max(1, len(rows) // 30)), color="tab:blue", label="smoothed")
    evals = [row for row in log if "eval_loss" in row]
    if evals:
        values = [r["eval_loss"] for r in evals]
        top.plot([r["step"] for r in evals], values, "o-", color="tab:orange", label="dev loss")
    top.set(title=title, ylabel="cross-entropy (nats a token)")
    if losses and min(losses) > 0:
        top.set_yscale("log")
    top.legend()
    bottom.plot(steps, [r["learning_rate"] for r in rows], color="tab:green")
    bottom.set(xlabel="step", ylabel="learning rate")
    figure.savefig(path, dpi=110)
    plt.close(figure)
