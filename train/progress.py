"""What training says while it goes on: one line a log, in words, above the progress bar."""

from collections.abc import Mapping
from typing import Any

from common.language import either


def log_line(logs: Mapping[str, Any], step: int) -> str:
    """The trainer's log as a line; "" for what the end of the run tells anyway.

    Losses are cross-entropy in nats; the score is the judge's on the dev questions, nDCG@10 how
    well a model that finds passages ranks theirs.
    """
    if "eval_loss" in logs:
        epoch, loss = f"{logs.get('epoch', 0):g}", f"{logs['eval_loss']:.3f}"
        zh, en = f"第 {epoch} 轮之后：验证损失 {loss}", f"after epoch {epoch}: dev loss {loss}"
        if "eval_judge" in logs:
            score = f"{logs['eval_judge']:.3f}"
            zh, en = f"{zh}，验证题得分 {score}", f"{en}, score of dev questions {score}"
        found = [v for k, v in logs.items() if k.endswith("_ndcg@10") and "_base_" not in k]
        if found:
            zh, en = f"{zh}，验证题 nDCG@10 {found[0]:.3f}", f"{en}, dev nDCG@10 {found[0]:.3f}"
        return either(zh, en)
    if "loss" in logs:
        loss, rate = f"{logs['loss']:.3f}", f"{logs.get('learning_rate', 0):.2g}"
        return either(
            f"第 {step} 步：损失 {loss}，学习率 {rate}",
            f"step {step}: loss {loss}, learning rate {rate}",
        )
    return ""


def tell_in_words(trainer: Any) -> None:
    """Put `log_line` in the place of the dictionaries that Transformers' progress bar prints."""
    from transformers import ProgressCallback

    class ToldProgress(ProgressCallback):
        """The same bar with other lines above it."""

        def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, **_: Any) -> None:
            line = log_line(logs or {}, state.global_step)
            if line and state.is_world_process_zero and self.training_bar is not None:
                self.training_bar.write(line)

    if any(isinstance(each, ProgressCallback) for each in trainer.callback_handler.callbacks):
        trainer.remove_callback(ProgressCallback)
        trainer.add_callback(ToldProgress)
