"""Fine-tuning on TRL's SFTTrainer and PEFT: LoRA, QLoRA or all weights, by one key.

Started by `python -m train lora RECIPE`; with several processes accelerate starts this module
once in each: accelerate launch -m train.finetune RESOLVED.yaml [--resume]
"""

import errno
import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import yaml

from answering.manifest import (
    MANIFEST_NAME,
    Manifest,
    file_record,
    library_versions,
    read_manifest,
)
from answering.manifest import write_manifest as write
from answering.prompting import system_prompt_for
from train.base import (
    ModelError,
    fetch_base,
    load_model,
    load_tokenizer,
    need_disk,
    save_full,
    weight_bytes,
)
from train.curves import plot_curves
from train.dataset import DataError, Row, Rows, encode_rows, fitting_rows, load_rows
from train.generate import greedy_answers
from train.recipe import Recipe, load_recipe

SHARDING = ("FSDP", "DEEPSPEED")  # accelerate's launcher says so in the environment
LIBRARIES = ["torch", "transformers", "trl", "peft", "accelerate", "bitsandbytes", "liger-kernel"]


def finetune(recipe: Recipe, resume: bool = False) -> Path:
    """Train by the recipe; returns the adapter's directory (or the model's, for full).

    Raises ModelError, DataError, PairsError for what the user can change.
    """
    base = fetch_base(recipe)
    rows = load_rows(recipe)
    # Three checkpoints at most, each an adapter with optimizer state, or the weights three times.
    share = 0.2 if recipe.finetuning_type == "lora" else 4.0 * (recipe.save_total_limit + 1)
    need_disk(recipe.output_dir, weight_bytes(base) * (1 + share), "this run")
    shutil.rmtree(_unwanted(recipe), ignore_errors=True)  # of a run killed while it made way
    if not resume:
        _make_way(recipe)
    resolved = recipe.output_dir / "recipe.yaml"
    resolved.write_text(
        yaml.safe_dump(recipe.model_dump(mode="json"), allow_unicode=True, sort_keys=False),
        encoding="utf-8",
    )
    if recipe.num_processes == 1:
        return run_training(recipe, base, rows, resume)
    processes = str(recipe.num_processes)
    if recipe.accelerate_config or _cuda():
        command = [sys.executable, "-m", "accelerate.commands.launch", "--num_processes", processes]
        chosen = recipe.accelerate_config
        command += ["--config_file", str(chosen)] if chosen else ["--multi_gpu"]
    else:  # accelerate's launcher would want MPI for processors
        command = [sys.executable, "-m", "torch.distributed.run", "--nproc_per_node", processes]
        command += ["--standalone"]
    command += ["-m", "train.finetune", str(resolved), *(["--resume"] if resume else [])]
    if subprocess.run(command).returncode:
        raise ModelError("training failed in one of its processes; the message is above")
    return _result_directory(recipe)


def _make_way(recipe: Recipe) -> None:
    """Remove a finished run's checkpoints, which --resume would take for this run's.

    Raises ModelError for those of a run that did not finish: they may be wanted.
    """
    checkpoints = recipe.output_dir / "checkpoints"
    unwanted = _unwanted(recipe)
    finished = _result_directory(recipe) / MANIFEST_NAME
    if not any(checkpoints.glob("checkpoint-*")):
        return
    if not finished.is_file():
        raise ModelError(
            f"{checkpoints} is of a run that did not finish: go on with --resume, or remove that "
            "folder, or set another output_dir"
        )
    checkpoints.rename(unwanted)  # all at once: a kill leaves none that --resume would find
    finished.unlink()
    shutil.rmtree(unwanted)


def _unwanted(recipe: Recipe) -> Path:
    return recipe.output_dir / "checkpoints.unwanted"


def run_training(recipe: Recipe, base: Path, rows: Rows, resume: bool) -> Path:
    """Train in this process (one of several, under accelerate)."""
    if recipe.backend == "unsloth":
        _import_unsloth()  # first: it replaces parts of transformers, trl and peft
    from transformers import set_seed

    started = time.monotonic()
    set_seed(recipe.seed)
    system_prompt = system_prompt_for(base)
    tokenizer = load_tokenizer(base)
    train_rows, skipped = fitting_rows(
        encode_rows(tokenizer, rows.train, system_prompt), rows.train, recipe
    )
    dev_rows, _ = fitting_rows(
        encode_rows(tokenizer, rows.dev, system_prompt),
        rows.dev,
        recipe.model_copy(update={"drop_long_rows": True}),
    )
    for line in skipped:
        print(f"left out (too long): {line}")
    checkpoints = recipe.output_dir / "checkpoints"
    start = last_complete(checkpoints) if resume else None
    if resume and start is None:  # a run killed early resumes by the same command as any other
        print(f"--resume: no whole checkpoint in {checkpoints}; starting from the beginning")
    try:
        if recipe.report_to == "tensorboard":
            os.environ["TENSORBOARD_LOGGING_DIR"] = str(recipe.output_dir / "runs")
        trainer = make_trainer(
            recipe, base, tokenizer, train_rows, dev_rows, rows.dev, system_prompt
        )
        if start:
            _count_on(recipe, trainer, start)
        trainer.train(resume_from_checkpoint=str(start) if start else None)
    except (RuntimeError, OSError) as error:  # torch's OutOfMemoryError is a RuntimeError
        if advice := _advice(recipe, error):
            raise ModelError(advice) from error
        raise
    out = _result_directory(recipe)
    _save_model(recipe, trainer, base, out, system_prompt)
    if trainer.is_world_process_zero():  # last: its manifest says that the run came to its end
        _write_outcome(recipe, trainer, base, rows, len(train_rows), len(skipped), started)
    return out


def last_complete(checkpoints: Path) -> Path | None:
    """The newest checkpoint that was written to its end, or None.

    A run that is killed while it saves leaves part of a checkpoint; trainer_state.json comes last.
    """
    numbered = {int(p.name.rpartition("-")[2]): p for p in checkpoints.glob("checkpoint-*")}
    for step in sorted(numbered, reverse=True):
        try:
            json.loads((numbered[step] / "trainer_state.json").read_text(encoding="utf-8"))
        except (OSError, ValueError):
            print(f"--resume: {numbered[step]} is incomplete; taking the one before it")
            continue
        return numbered[step]
    return None


def _count_on(recipe: Recipe, trainer: Any, start: Path) -> None:
    """What Transformers forgets when it resumes: epochs without a gain, and that nothing is left.

    A run killed between its last checkpoint and its result would else train a step or an epoch on.
    """
    from transformers import EarlyStoppingCallback

    state = json.loads((start / "trainer_state.json").read_text(encoding="utf-8"))
    if recipe.max_steps > 0:
        ended = state["global_step"] >= recipe.max_steps
    else:
        ended = state["epoch"] >= recipe.num_train_epochs
    stored = state["stateful_callbacks"].get(EarlyStoppingCallback.__name__)
    for callback in trainer.callback_handler.callbacks:
        if stored and isinstance(callback, EarlyStoppingCallback):
            seen = stored["attributes"]["early_stopping_patience_counter"]
            callback.early_stopping_patience_counter = seen
            ended = ended or seen >= callback.early_stopping_patience
    if ended:  # train() then only loads the best checkpoint
        trainer.args.max_steps, trainer.args.num_train_epochs = -1, 0


def make_trainer(
    recipe: Recipe,
    base: Path,
    tokenizer: Any,
    train_rows: list[dict[str, list[int]]],
    dev_rows: list[dict[str, list[int]]],
    dev: list[Row],
    system_prompt: str,
) -> Any:
    """TRL's SFTTrainer over encoded rows, choosing its best checkpoint by the judge's score."""
    from datasets import Dataset
    from transformers import EarlyStoppingCallback, TrainerCallback

    class LogBeforeSaving(TrainerCallback):
        """A checkpoint does not hold the losses since the last log: resumed, they would be lost."""

        def on_epoch_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> Any:
            control.should_log = True
            return control

    model, peft_config = _load(recipe, base)
    # Sharded weights cannot answer one process's questions: the dev loss chooses then.
    sharded = any(os.environ.get(f"ACCELERATE_USE_{kind}") == "true" for kind in SHARDING)
    judged = recipe.eval_samples > 0 and not sharded
    callbacks: list[Any] = [LogBeforeSaving()]
    if recipe.early_stopping_patience:
        callbacks.append(EarlyStoppingCallback(recipe.early_stopping_patience))
    trainer = _judged_trainer_class()(
        model=model,
        args=training_arguments(recipe, judged),
        train_dataset=Dataset.from_list(train_rows),
        eval_dataset=Dataset.from_list(dev_rows),
        processing_class=tokenizer,
        peft_config=peft_config,
        callbacks=callbacks,
    )
    if trainer.args.bf16:
        _leave_casts_to_autocast(trainer.model)
    if recipe.torch_compile:
        _compile_layers(trainer.model)
    trainer.judged_rows = dev[: recipe.eval_samples] if judged else []
    trainer.recipe, trainer.system_prompt = recipe, system_prompt
    return trainer


def _leave_casts_to_autocast(model: Any) -> None:
    """PEFT turns each input of a float32 adapter to float32, and autocast turns it back: the same
    numbers, and gigabytes of memory traffic a step for nothing.
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

    cuda = _cuda()
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
        eval_strategy="epoch",
        save_strategy="epoch",
        save_total_limit=recipe.save_total_limit,
        load_best_model_at_end=True,
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
        unsloth = _import_unsloth().FastLanguageModel
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
        task_type="CAUSAL_LM",
    )


def _import_unsloth() -> Any:
    try:
        import unsloth
    except ImportError as error:
        raise ModelError(
            "backend: unsloth is not installed here (it needs a GPU of its list: pip install "
            "unsloth in .venv-train); or use backend=trl, which takes the same recipe"
        ) from error
    return unsloth


def _judged_trainer_class() -> type:
    """SFTTrainer whose evaluation also answers dev questions and scores them as the judge does."""
    import torch
    from accelerate.utils import gather_object
    from trl import SFTTrainer

    from judging.scoring import accuracy

    class JudgedTrainer(SFTTrainer):
        judged_rows: list[Row] = []
        recipe: Recipe
        system_prompt: str

        def evaluate(self, *args: Any, **kwargs: Any) -> dict[str, float]:
            # Compiled layers are for training steps: generation's shapes would compile for ever.
            with torch.compiler.set_stance("force_eager"):
                return super().evaluate(*args, **kwargs)

        def evaluation_loop(self, *args: Any, **kwargs: Any) -> Any:
            # Here, since evaluate() hands its metrics to the early stopping before it returns.
            output = super().evaluation_loop(*args, **kwargs)
            if self.judged_rows:
                output.metrics["eval_judge"] = self._judged()
            return output

        def _judged(self) -> float:
            answers = self._answers([question for question, _ in self.judged_rows])
            if self.is_world_process_zero():
                samples = self.recipe.output_dir / "samples"
                samples.mkdir(exist_ok=True)
                texts = [
                    {"question": question, "reference": reference, "answer": answer}
                    for (question, reference), answer in zip(self.judged_rows, answers, strict=True)
                ]
                lines = "".join(json.dumps(text, ensure_ascii=False) + "\n" for text in texts)
                path = samples / f"step-{self.state.global_step}.jsonl"
                path.write_text(lines, encoding="utf-8")
            return accuracy([answer for _, answer in self.judged_rows], answers)

        def _answers(self, questions: list[str]) -> list[str]:
            """All answers in every process, so that all agree on the best checkpoint."""
            world, rank = self.accelerator.num_processes, self.accelerator.process_index
            own = greedy_answers(
                self.accelerator.unwrap_model(self.model),
                self.processing_class,
                questions[rank::world],
                self.system_prompt,
                self.recipe.eval_max_new_tokens,
            )
            parts = gather_object([own]) if world > 1 else [own]
            return [parts[i % world][i // world] for i in range(len(questions))]

    return JudgedTrainer


def _save_model(recipe: Recipe, trainer: Any, base: Path, out: Path, system_prompt: str) -> None:
    state = None
    if trainer.is_fsdp_enabled or trainer.is_deepspeed_enabled:
        # Gathers the shards, whatever kind of checkpoint is set; every process takes part.
        wrapped = trainer.deepspeed if trainer.is_deepspeed_enabled else trainer.model
        state = trainer.accelerator.get_state_dict(wrapped)
    if not trainer.is_world_process_zero():
        return
    (out / MANIFEST_NAME).unlink(missing_ok=True)  # it would vouch for files half written
    model = trainer.accelerator.unwrap_model(trainer.model)
    if recipe.finetuning_type == "lora":
        for config in model.peft_config.values():
            if isinstance(config.target_modules, set):  # its order is another in each process
                config.target_modules = sorted(config.target_modules)
        model.save_pretrained(str(out), state_dict=state)
    else:
        save_full(model, base, out, system_prompt, recipe.export_size, state)


def _write_outcome(
    recipe: Recipe, trainer: Any, base: Path, rows: Rows, used: int, skipped: int, started: float
) -> None:
    """Curves, log and manifest beside the result."""
    out = _result_directory(recipe)
    out.mkdir(parents=True, exist_ok=True)
    history = trainer.state.log_history
    final = next((row for row in reversed(history) if "train_loss" in row), {})
    final["train_loss"] = _mean_loss(history)  # the trainer's own leaves out what it resumed from
    (recipe.output_dir / "trainer_log.json").write_text(json.dumps(history), encoding="utf-8")
    plot_curves(recipe.output_dir / "loss.png", history, recipe.output_dir.name)
    judged = [row["eval_judge"] for row in history if "eval_judge" in row]
    base_manifest = read_manifest(base)
    parents = [m for m in (base_manifest, read_manifest(recipe.dataset_dir)) if m]
    manifest = Manifest(
        stage="lora" if recipe.finetuning_type == "lora" else "full",
        name=recipe.output_dir.name,
        demo=bool(base_manifest and base_manifest.demo),
        inputs=[file_record(path) for path in rows.files],
        settings=recipe.model_dump(mode="json"),
        counts={"train_rows": used, "rows_left_out": skipped, "steps": trainer.state.global_step}
        | {"train_loss": final["train_loss"]},
        scores={"dev_judge_best": max(judged)} if judged else {},
        versions=library_versions(LIBRARIES),
        seconds=round(time.monotonic() - started, 1),
        parents=parents,
    )
    write(out, manifest)


def _mean_loss(history: list[dict[str, Any]]) -> float:
    """The mean over all steps; each row is the mean of the steps since the row before."""
    total, before = 0.0, 0
    for row in (row for row in history if "loss" in row):
        total, before = total + row["loss"] * (row["step"] - before), row["step"]
    return total / max(before, 1)


def _result_directory(recipe: Recipe) -> Path:
    return recipe.output_dir / ("adapter" if recipe.finetuning_type == "lora" else "merged")


def _advice(recipe: Recipe, error: Exception) -> str | None:
    """What to change after an error of the machine's limits; None for any other."""
    import torch

    first_line = (str(error).splitlines() or [type(error).__name__])[0]
    if isinstance(error, torch.OutOfMemoryError) or "can't allocate memory" in first_line:
        return _memory_advice(recipe, first_line)
    if getattr(error, "errno", None) == errno.ENOSPC or "No space left" in first_line:
        return (
            f"the disk of {recipe.output_dir} is full ({first_line}); earlier checkpoints are "
            "intact: free some, or set save_total_limit=1, and go on with --resume"
        )
    return None


def _memory_advice(recipe: Recipe, first_line: str) -> str:
    advice = []
    if not recipe.gradient_checkpointing:
        advice.append("gradient_checkpointing=true")
    if recipe.per_device_train_batch_size > 1:
        advice.append(f"per_device_train_batch_size={recipe.per_device_train_batch_size // 2}")
    if recipe.packing and recipe.pack_len > recipe.cutoff_len:
        advice.append(f"pack_len={max(recipe.cutoff_len, recipe.pack_len // 2)}")
    if recipe.finetuning_type == "full":
        advice.append("finetuning_type=lora")
    elif recipe.quantization_bit != 4:
        advice.append("quantization_bit=4")
    advice = advice or ["a smaller cutoff_len with drop_long_rows=true", "a smaller model"]
    return f"out of memory ({first_line}); try, in this order: {', '.join(advice)}"


def _cuda() -> bool:
    import torch

    return torch.cuda.is_available()


if __name__ == "__main__":
    _recipe = load_recipe(Path(sys.argv[1]))
    try:
        run_training(_recipe, fetch_base(_recipe), load_rows(_recipe), "--resume" in sys.argv[2:])
    except (ModelError, DataError) as _error:
        sys.exit(f"error: {_error}")
