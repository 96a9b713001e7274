"""Loss, dev loss and dev nDCG@10 as PNG."""

from collections.abc import Sequence
from pathlib import Path


def plot_finder(path: Path, log: Sequence[dict[str, float]], title: str) -> None:
    """Draw `loss`, `eval_loss` and `ndcg` of a run's log over `step`; at step 0 is the base."""
    import matplotlib

    matplotlib.use("Agg")  # no display on servers
    from matplotlib import pyplot as plt

    figure, (top, bottom) = plt.subplots(2, 1, figsize=(8, 6), sharex=True, layout="constrained")
    for axes, key, style, label in (
        (top, "loss", "-", "loss"),
        (top, "eval_loss", "o-", "dev loss"),
        (bottom, "ndcg", "o-", "dev nDCG@10"),
    ):
        rows = [row for row in log if key in row]
        axes.plot([r["step"] for r in rows], [r[key] for r in rows], style, label=label)
    bottom.axhline(log[0]["ndcg"], color="tab:gray", linestyle="--", label="base")
    top.set(title=title, ylabel="loss")
    bottom.set(xlabel="step", ylabel="nDCG@10")
    top.legend()
    bottom.legend()
    figure.savefig(path, dpi=110)
    plt.close(figure)
