"""A training whose numbers are no longer finite ends with one line, and leaves no model behind.

Transformers hides such a step: a loss that is NaN is left out of the mean it logs, so that a run
whose weights have long been NaN reports a loss of 0.0.
"""

import math
from collections.abc import Iterable
from typing import Any

from common.language import either
from train.base import ModelError

# What a training logs that must be a number.
WATCHED = ("loss", "grad_norm", "eval_loss")


def stop_at_nan(trainer: Any) -> None:
    """Let a trainer raise ModelError at the first log with a number that is not finite."""
    from transformers import TrainerCallback

    class StopsAtNan(TrainerCallback):
        """In every process: all see the same mean loss and the same norm."""

        def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, **_: Any) -> None:
            for name in WATCHED:
                value = (logs or {}).get(name, 0.0)
                if not math.isfinite(value):
                    raise not_finite(
                        either(
                            f"第 {state.global_step} 步的 {name}",
                            f"{name} at step {state.global_step}",
                        ),
                        value,
                    )

    trainer.args.logging_nan_inf_filter = False
    trainer.add_callback(StopsAtNan)


def need_finite(weights: Iterable[tuple[str, Any]]) -> None:
    """Raise ModelError for the first of these named tensors that holds a NaN or an infinity."""
    import torch

    for name, tensor in weights:
        # Of a NaN both are NaN; so no mask as large as the tensor is made.
        ends = tensor.detach().aminmax() if tensor.numel() else ()
        if not all(bool(torch.isfinite(value)) for value in ends):
            raise not_finite(either(f"训练后的权重 {name}", f"the trained weight {name}"), math.nan)


def trained(model: Any) -> list[tuple[str, Any]]:
    """The names and tensors of what a model's training changes."""
    return [(name, each) for name, each in model.named_parameters() if each.requires_grad]


def not_finite(what: str, value: float) -> ModelError:
    """The error for a number that is none."""
    return ModelError(
        f"{what} 是 {value}：模型已经算坏了，没有写出任何权重；请依次试 "
        "attn_implementation=eager、更小的学习率、bf16=false",
        f"{what} is {value}: the model is spoilt, no weights were written; try, in this order, "
        "attn_implementation=eager, a smaller learning rate, bf16=false",
    )
