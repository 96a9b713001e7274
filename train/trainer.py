"""The trainer of a recipe: TRL's SFTTrainer with PEFT (or Unsloth), which chooses its best
checkpoint by the judge's score on dev questions.
"""

import os
from pathlib import Path
from typing import Any

from common.language import either
from common.manifest import library_versions
from common.pairs import Pair
from train.asking import as_served, as_the_base, spread
from train.base import ModelError, load_model, without_cudnn_attention
from train.finite import stop_at_nan
from train.generate import greedy_answers
from train.progress import tell_in_words
from train.recipe import Recipe
from train.samples import read_sample, write_sample

SHARDING = ("FSDP", "DEEPSPEED")  # accelerate's launcher says so in the environment


def torch_sees_a_gpu() -> bool:
    """Whether training runs on a GPU here."""
    import torch

    return torch.cuda.is_available()


def make_trainer(
    recipe: Recipe,
    base: Path,
    tokenizer: Any,
    train_rows: list[dict[str, list[int]]],
    dev_rows: list[dict[str, list[int]]],
    dev: list[Pair],
    system_prompt: str,
) -> Any:
    """TRL's SFTTrainer over encoded rows, choosing its best checkpoint by the judge's score."""
    from datasets import Dataset
    from transformers import TrainerCallback

    class LogBeforeSaving(TrainerCallback):
        """Log before each checkpoint: losses since the last log are not in it, and a run that
        resumes from it would lose them."""

        def on_epoch_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> Any:
            control.should_log = True
            return control

    model, peft_config = _load(recipe, base)
    # Sharded weights cannot answer one process's questions: the dev loss chooses then.
    sharded = any(os.environ.get(f"ACCELERATE_USE_{kind}") == "true" for kind in SHARDING)
    judged = recipe.eval_samples > 0 and not sharded
    callbacks: list[Any] = [LogBeforeSaving()]
    if recipe.early_stopping_patience and recipe.eval_strategy == "epoch":
        callbacks.append(early_stopping_class()(recipe.early_stopping_patience))
    trainer = _judged_trainer_class()(
        model=model,
        args=training_arguments(recipe, judged),
        train_dataset=Dataset.from_list(train_rows),
        eval_dataset=Dataset.from_list(dev_rows),
        processing_class=tokenizer,
        peft_config=peft_config,
        callbacks=callbacks,
    )
    tell_in_words(trainer)
    stop_at_nan(trainer)
    if trainer.args.bf16:
        _leave_casts_to_autocast(trainer.model)
    if recipe.torch_compile:
        _compile_layers(trainer.model)
    chosen = spread(dev, recipe.eval_samples) if judged else []
    trainer.judged_rows = [row.alone for row in chosen]  # without passages that they were made with
    trainer.asked_rows = trainer.base_rows = as_served(recipe, tokenizer, chosen, system_prompt)
    untuned = as_the_base(recipe, base)
    if untuned != recipe:
        trainer.base_rows = as_served(untuned, tokenizer, chosen, system_prompt)
    trainer.recipe, trainer.system_prompt = recipe, system_prompt
    return trainer


def early_stopping_class() -> type:
    """Transformers' early stopping, for which an epoch below the base is no gain either."""
    from transformers import EarlyStoppingCallback

    class StopsBelowBase(EarlyStoppingCallback):
        base_score: float | None = None

        def check_metric_value(
            self, args: Any, state: Any, control: Any, metric_value: Any
        ) -> None:
            if self.base_score is not None and metric_value <= self.base_score:
                self.early_stopping_patience_counter += 1
            else:
                super().check_metric_value(args, state, control, metric_value)

    return StopsBelowBase


def _leave_casts_to_autocast(model: Any) -> None:
    """Keep PEFT from casting each input of a float32 adapter to float32: autocast would cast it
    back, gigabytes of memory traffic a step for the same numbers. The model then runs under
    autocast only.
    """
    from peft.tuners.tuners_utils import BaseTunerLayer

    for module in model.modules():
        if isinstance(module, BaseTunerLayer):
            module.cast_input_dtype_enabled = False


def _compile_layers(model: Any) -> None:
    """Compile the decoder's layer, once for all of its copies ("regional compilation"): the whole
    model would take minutes, and with TRL's own loss around it gained nothing (measured)."""
    for module in model.modules():
        if type(module).__name__.endswith("DecoderLayer"):
            module.compile(dynamic=True)  # packed sequences differ in length


def training_arguments(recipe: Recipe, judged: bool) -> Any:
    """The recipe in SFTConfig's words."""
    from trl import SFTConfig

    cuda = torch_sees_a_gpu()
    each_epoch = recipe.eval_strategy == "epoch"  # else JudgedTrainer evaluates once, at the end
    liger = recipe.use_liger_kernel
    if liger is None:
        # Compiled layers fuse what Liger fuses, and its own kernels would only cut them apart.
        installed = "liger-kernel" in library_versions(["liger-kernel"])
        liger = cuda and installed and not recipe.torch_compile
    return SFTConfig(
        output_dir=str(recipe.output_dir / "checkpoints"),
        per_device_train_batch_size=recipe.per_device_train_batch_size,
        per_device_eval_batch_size=recipe.per_device_train_batch_size,
        gradient_accumulation_steps=recipe.gradient_accumulation_steps,
        learning_rate=recipe.learning_rate,
        num_train_epochs=recipe.num_train_epochs,
        max_steps=recipe.max_steps,
        lr_scheduler_type=recipe.lr_scheduler_type,
        warmup_steps=recipe.warmup_ratio,  # below 1: a share of all steps
        weight_decay=recipe.weight_decay,
        max_grad_norm=recipe.max_grad_norm,
        optim=recipe.optim,
        neftune_noise_alpha=recipe.neftune_noise_alpha,
        bf16=cuda if recipe.bf16 is None else recipe.bf16,
        use_cpu=not cuda,
        gradient_checkpointing=recipe.gradient_checkpointing,
        gradient_checkpointing_kwargs={"use_reentrant": False},
        use_liger_kernel=liger,
        packing=recipe.packing,
        packing_strategy="bfd",  # whole rows only, attention kept inside each
        eval_packing=False,
        max_length=recipe.pack_len if recipe.packing else None,
        train_sampling_strategy="group_by_length" if recipe.group_by_length else "random",
        eval_strategy="epoch" if each_epoch else "no",
        save_strategy="epoch" if each_epoch else "no",
        save_total_limit=recipe.save_total_limit,
        load_best_model_at_end=each_epoch,
        metric_for_best_model="eval_judge" if judged else "eval_loss",
        greater_is_better=judged,
        logging_steps=recipe.logging_steps,
        logging_first_step=True,
        report_to=recipe.report_to,
        seed=recipe.seed,
        data_seed=recipe.seed,
        dataloader_pin_memory=cuda,
        ddp_backend="gloo" if recipe.num_processes > 1 and not cuda else None,
        ddp_find_unused_parameters=False if recipe.num_processes > 1 else None,
    )


def _load(recipe: Recipe, base: Path) -> tuple[Any, Any]:
    """The model and its PEFT configuration (None where all weights train or Unsloth added it)."""
    from peft import LoraConfig

    target = recipe.lora_target
    modules = "all-linear" if target == "all" else target.split(",")
    if recipe.backend == "unsloth":
        without_cudnn_attention()
        unsloth = import_unsloth().FastLanguageModel
        model, _ = unsloth.from_pretrained(
            str(base),
            max_seq_length=recipe.pack_len if recipe.packing else recipe.cutoff_len,
            load_in_4bit=recipe.quantization_bit == 4,
            load_in_8bit=recipe.quantization_bit == 8,
        )
        linear = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]
        return unsloth.get_peft_model(
            model,
            r=recipe.lora_rank,
            lora_alpha=recipe.lora_alpha,
            lora_dropout=recipe.lora_dropout,
            target_modules=linear if target == "all" else modules,
            use_rslora=recipe.use_rslora,
            use_gradient_checkpointing="unsloth" if recipe.gradient_checkpointing else False,
            random_state=recipe.seed,
        ), None
    model = load_model(base, recipe)
    if recipe.finetuning_type == "full":
        return model, None
    return model, LoraConfig(
        r=recipe.lora_rank,
        lora_alpha=recipe.lora_alpha,
        lora_dropout=recipe.lora_dropout,
        target_modules=modules,
        use_rslora=recipe.use_rslora,
        use_dora=recipe.use_dora,
        task_type="CAUSAL_LM",
    )


def import_unsloth() -> Any:
    """The unsloth package. Raises ModelError when it is not installed."""
    try:
        import unsloth
    except ImportError as error:
        raise ModelError(
            "backend：这里没有安装 unsloth（它只支持部分 GPU：在 .venv-train 里 pip install "
            "unsloth）；或用 backend=trl，配方不用改",
            "backend: unsloth is not installed here (it needs a GPU of its list: pip install "
            "unsloth in .venv-train); or use backend=trl, which takes the same recipe",
        ) from error
    return unsloth


def _judged_trainer_class() -> type:
    """SFTTrainer whose evaluation also answers dev questions and scores them as the judge does."""
    import torch
    from accelerate.utils import gather_object
    from trl import SFTTrainer

    from judging.scoring import accuracy

    class JudgedTrainer(SFTTrainer):
        judged_rows: list[Pair] = []  # dev questions, and the same as the service would ask them
        asked_rows: list[Pair] = []
        base_rows: list[Pair] = []  # as it would ask the untuned base
        recipe: Recipe
        system_prompt: str

        def judge_base(self) -> None:
            """Judge the model before its first step, "epoch 0", which early stopping and verdict
            compare with. A run that goes on takes the answers that are there."""
            if not self.judged_rows:
                return
            if self.base_rows != self.asked_rows and self.is_world_process_zero():
                print(
                    either(
                        "基座照服务给它的默认来问（RETRIEVAL_EXAMPLES=auto：两个示例，三个片段）："
                        "微调后的模型要比这样的它好",
                        "the base is asked as the service would ask it (RETRIEVAL_EXAMPLES=auto: "
                        "two worked examples, three passages): that is what tuning has to beat",
                    )
                )
            answers = read_sample(self.recipe.output_dir, 0, self.judged_rows)
            score = (
                self._judged(self.base_rows)
                if answers is None
                else accuracy([row.answer for row in self.judged_rows], answers)
            )
            for callback in self.callback_handler.callbacks:
                if hasattr(callback, "base_score"):
                    callback.base_score = score

        def train(self, *args: Any, **kwargs: Any) -> Any:
            output = super().train(*args, **kwargs)
            if self.recipe.eval_strategy == "end":
                self.evaluate()
            return output

        def evaluation_loop(self, *args: Any, **kwargs: Any) -> Any:
            # Here, since evaluate() hands its metrics to the early stopping before it returns.
            output = super().evaluation_loop(*args, **kwargs)
            if self.judged_rows:
                output.metrics["eval_judge"] = self._judged(self.asked_rows)
            return output

        def evaluate(self, *args: Any, **kwargs: Any) -> dict[str, float]:
            # Compiled layers are for training steps: other shapes would compile for ever.
            with torch.compiler.set_stance("force_eager"):
                return super().evaluate(*args, **kwargs)

        def _judged(self, rows: list[Pair]) -> float:
            with torch.compiler.set_stance("force_eager"):
                answers = self._answers(rows)
            if self.is_world_process_zero():
                step = self.state.global_step
                write_sample(self.recipe.output_dir, step, self.judged_rows, answers)
            return accuracy([row.answer for row in self.judged_rows], answers)

        def _answers(self, rows: list[Pair]) -> list[str]:
            """All answers in every process, so that all agree on the best checkpoint."""
            world, rank = self.accelerator.num_processes, self.accelerator.process_index
            # The base may be bfloat16 under float32 adapters, which multiply under autocast only.
            # The trainer's own covers forward(), not generate().
            with self.accelerator.autocast():
                own = greedy_answers(
                    self.accelerator.unwrap_model(self.model),
                    self.processing_class,
                    rows[rank::world],
                    self.system_prompt,
                    self.recipe.eval_max_new_tokens,
                )
            parts = gather_object([own]) if world > 1 else [own]
            return [parts[i % world][i // world] for i in range(len(rows))]

    return JudgedTrainer
