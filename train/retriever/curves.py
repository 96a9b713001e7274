"""Loss, dev loss and dev nDCG@10 as PNG."""

from collections.abc import Sequence
from pathlib import Path

from common.chart_words import chart_words


def plot_finder(path: Path, log: Sequence[dict[str, float]], title: str) -> None:
    """Draw `loss`, `eval_loss` and `ndcg` of a run's log over `step`; at step 0 is the base."""
    import matplotlib

    matplotlib.use("Agg")  # no display on servers
    from matplotlib import pyplot as plt

    with chart_words() as say:
        figure, (top, bottom) = plt.subplots(
            2, 1, figsize=(8, 6), sharex=True, layout="constrained"
        )
        for axes, key, style, label in (
            (top, "loss", "-", say("损失", "loss")),
            (top, "eval_loss", "o-", say("验证损失", "dev loss")),
            (bottom, "ndcg", "o-", say("验证 nDCG@10", "dev nDCG@10")),
        ):
            rows = [row for row in log if key in row]
            axes.plot([r["step"] for r in rows], [r[key] for r in rows], style, label=label)
        bottom.axhline(log[0]["ndcg"], color="tab:gray", linestyle="--", label=say("基座", "base"))
        top.set(title=title, ylabel=say("损失", "loss"))
        bottom.set(xlabel=say("步", "step"), ylabel="nDCG@10")
        top.legend()
        bottom.legend()
        figure.savefig(path, dpi=110)
        plt.close(figure)
