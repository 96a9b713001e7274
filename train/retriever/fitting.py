"""What both trainers share: arguments, early stopping by dev nDCG@10, and what a run gives."""

import math
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from retrieval.dense import loading_quietly
from train.base import without_cudnn_attention
from train.finite import stop_at_nan
from train.progress import tell_in_words
from train.retriever.recipe import FinderRecipe


@dataclass(frozen=True)
class Fitted:
    """A run: dev nDCG@10 of the base and of its best checkpoint, and the trainer's log.

    Rows of the log have `step` and `loss` or `eval_loss` with `ndcg`; that of step 0 is the base.
    """

    base: float
    best: float
    log: list[dict[str, float]]


def freeze(model: Any) -> None:
    """Word vectors stay as they are: of a small multilingual encoder they are four fifths of the
    weights, and one book's questions touch few of them."""
    embeddings = model[0].auto_model.get_input_embeddings()
    embeddings.weight.requires_grad_(False)


def arguments(
    kind: Any, recipe: FinderRecipe, out: Path, metric: str, rows: int, **more: Any
) -> Any:
    """The trainer's arguments. rows: of the training set."""
    import torch

    steps = math.ceil(rows / recipe.per_device_train_batch_size)
    every = max(1, math.ceil(steps / recipe.evals_per_epoch))
    if recipe.max_steps > 0:  # a short run is evaluated at least once
        every = min(every, recipe.max_steps)
    return kind(
        output_dir=str(out.with_name("checkpoints")),
        per_device_train_batch_size=recipe.per_device_train_batch_size,
        per_device_eval_batch_size=recipe.per_device_train_batch_size,
        learning_rate=recipe.learning_rate,
        num_train_epochs=recipe.num_train_epochs,
        max_steps=recipe.max_steps,
        warmup_steps=recipe.warmup_ratio,
        weight_decay=recipe.weight_decay,
        bf16=recipe.bf16,
        use_cpu=not torch.cuda.is_available(),  # bf16 on a CPU must be asked for by name
        seed=recipe.seed,
        eval_strategy="steps",
        eval_steps=every,
        save_strategy="steps",
        save_steps=every,
        save_total_limit=1,
        save_only_model=True,
        load_best_model_at_end=True,
        metric_for_best_model=f"eval_{metric}",
        greater_is_better=True,
        logging_steps=recipe.logging_steps,
        report_to="none",
        **more,
    )


def fit(trainer_class: Any, recipe: FinderRecipe, metric: str, base: float, **given: Any) -> Fitted:
    """Train; the model then has the weights of its best checkpoint, which is not kept on disk.

    base: dev nDCG@10 of what it is to beat. Raises ModelError for numbers that are not finite.
    """
    from transformers import EarlyStoppingCallback

    without_cudnn_attention()
    callbacks = (
        [EarlyStoppingCallback(recipe.early_stopping_patience)]
        if recipe.early_stopping_patience
        else []
    )
    with loading_quietly():  # what it says of special tokens is no one's to mend
        trainer = trainer_class(callbacks=callbacks, **given)
        stop_at_nan(trainer)
        tell_in_words(trainer)
        trainer.train()
    shutil.rmtree(given["args"].output_dir, ignore_errors=True)
    log: list[dict[str, float]] = [{"step": 0, "ndcg": base}]
    for row in trainer.state.log_history:
        kept = {key: row[key] for key in ("loss", "eval_loss", "learning_rate") if key in row}
        if f"eval_{metric}" in row:
            kept["ndcg"] = float(row[f"eval_{metric}"])
        if kept:
            log.append({"step": row["step"], **kept})
    return Fitted(base, max(row["ndcg"] for row in log[1:] if "ndcg" in row), log)
