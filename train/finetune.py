"""Fine-tuning, from a recipe to its result: LoRA, QLoRA or all weights, by one key.

The trainer itself (TRL, PEFT) is made in trainer.py; here is what surrounds a run: its processes,
its checkpoints, how it resumes, what it leaves behind, and advice when the machine is too small.

Started by `python -m train lora RECIPE`; with several processes accelerate starts this module
once in each: accelerate launch -m train.finetune RESOLVED.yaml [--resume]
"""

import errno
import gc
import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from common.language import either
from common.manifest import (
    MANIFEST_NAME,
    Manifest,
    ManifestError,
    file_record,
    library_versions,
    read_manifest,
)
from common.manifest import write_manifest as write
from common.prompting import write_system_prompt
from train.base import (
    ModelError,
    fetch_base,
    fingerprint,
    load_tokenizer,
    need_disk,
    save_full,
    weight_bytes,
)
from train.curves import plot_curves
from train.dataset import DataError, Rows, encode_rows, fitting_rows, load_rows
from train.excluded import ExcludedError
from train.finite import need_finite, trained
from train.recipe import Recipe
from train.recipe_file import load_recipe
from train.run_report import write_run_report
from train.same_run import RECIPE, need_same_run, note_run
from train.trainer import early_stopping_class, import_unsloth, make_trainer, torch_sees_a_gpu
from train.verdict import Verdict, forget_judgement, reach_verdict

FEW_UPDATES = 10  # the first is made at a learning rate of 0
LIBRARIES = ["torch", "transformers", "trl", "peft", "accelerate", "bitsandbytes", "liger-kernel"]


def finetune(recipe: Recipe, resume: bool = False) -> Path:
    """Train by the recipe; returns the adapter's directory (or the model's, for full).

    Raises ModelError, DataError, PairsError for what the user can change.
    """
    base = fetch_base(recipe)
    rows = load_rows(recipe)
    # Three checkpoints at most, each an adapter with optimizer state, or the weights three times.
    share = 0.2 if recipe.finetuning_type == "lora" else 4.0 * (recipe.save_total_limit + 1)
    need_disk(recipe.output_dir, weight_bytes(base) * (1 + share), either("这次训练", "this run"))
    shutil.rmtree(_unwanted(recipe), ignore_errors=True)  # of a run killed while it made way
    if resume:
        need_same_run(recipe)
    else:
        _make_way(recipe)
        forget_judgement(recipe.output_dir)  # answers of an earlier run are no epochs of this one
    note_run(recipe)
    resolved = recipe.output_dir / RECIPE
    processes = str(recipe.num_processes)
    if recipe.num_processes == 1:
        if not torch_sees_a_gpu():
            return run_training(recipe, base, rows, resume)
        # In a process of its own: Liger (and Unsloth) put kernels into Transformers' classes that
        # run on a GPU only, and merging, which comes next, computes on the CPU.
        command = [sys.executable]
    elif recipe.accelerate_config or torch_sees_a_gpu():
        command = [sys.executable, "-m", "accelerate.commands.launch", "--num_processes", processes]
        chosen = recipe.accelerate_config
        command += ["--config_file", str(chosen)] if chosen else ["--multi_gpu"]
    else:  # accelerate's launcher would want MPI for processors
        command = [sys.executable, "-m", "torch.distributed.run", "--nproc_per_node", processes]
        command += ["--standalone"]
    command += ["-m", "train.finetune", str(resolved), *(["--resume"] if resume else [])]
    if subprocess.run(command).returncode:
        raise ModelError(
            "有一个训练进程失败了，原因见上",
            "training failed in one of its processes; the message is above",
        )
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
            f"{checkpoints} 属于一次没有做完的训练：加 --resume 接着训练，或删掉这个目录，"
            "或换一个 output_dir",
            f"{checkpoints} is of a run that did not finish: go on with --resume, or remove "
            "that folder, or set another output_dir",
        )
    checkpoints.rename(unwanted)  # all at once: a kill leaves none that --resume would find
    finished.unlink()
    shutil.rmtree(unwanted)


def _unwanted(recipe: Recipe) -> Path:
    return recipe.output_dir / "checkpoints.unwanted"


def run_training(recipe: Recipe, base: Path, rows: Rows, resume: bool) -> Path:
    """Train in this process (one of several, under accelerate)."""
    if recipe.backend == "unsloth":
        import_unsloth()  # first: it replaces parts of transformers, trl and peft
    from transformers import set_seed

    started = time.monotonic()
    set_seed(recipe.seed)
    system_prompt = recipe.system_prompt(base)
    tokenizer = load_tokenizer(base)
    train_rows, skipped = fitting_rows(
        encode_rows(tokenizer, rows.train, system_prompt, recipe.train_on_prompt),
        rows.train,
        recipe,
    )
    dev_rows, _ = fitting_rows(
        encode_rows(tokenizer, rows.dev, system_prompt),
        rows.dev,
        recipe.model_copy(update={"drop_long_rows": True}),
    )
    left_out = either("太长，不参加训练：", "left out (too long): ")
    for line in [*rows.notes, *(f"{left_out}{line}" for line in skipped)]:
        print(line)
    checkpoints = recipe.output_dir / "checkpoints"
    start = last_complete(checkpoints) if resume else None
    if resume and start is None:  # a run killed early resumes by the same command as any other
        print(
            either(
                f"--resume：{checkpoints} 里没有完整的检查点，从头开始",
                f"--resume: no whole checkpoint in {checkpoints}; starting from the beginning",
            )
        )
    try:
        if recipe.report_to == "tensorboard":
            os.environ["TENSORBOARD_LOGGING_DIR"] = str(recipe.output_dir / "runs")
        trainer = make_trainer(
            recipe, base, tokenizer, train_rows, dev_rows, rows.dev, system_prompt
        )
        trainer.judge_base()
        if start:
            _count_on(recipe, trainer, start)
        trainer.train(resume_from_checkpoint=str(start) if start else None)
        _warn_of_few_updates(trainer)
    except (RuntimeError, OSError) as error:  # torch's OutOfMemoryError is a RuntimeError
        if advice := _advice(recipe, error):
            raise ModelError(advice) from error
        raise
    out = _result_directory(recipe)
    _save_model(recipe, trainer, base, out, system_prompt)
    if trainer.is_world_process_zero():  # last: its manifest says that the run came to its end
        _write_outcome(recipe, trainer, base, rows, len(train_rows), len(skipped), started)
    return out


def _warn_of_few_updates(trainer: Any) -> None:
    steps = trainer.state.global_step
    if steps < FEW_UPDATES and trainer.is_world_process_zero():
        print(
            either(
                f"注意：只更新了 {steps} 次，几乎没有学到什么：要更多的行或轮数，或更小的 "
                "gradient_accumulation_steps、pack_len",
                f"note: only {steps} updates, which teach next to nothing: more rows or epochs, or "
                "a smaller gradient_accumulation_steps or pack_len",
            )
        )


def last_complete(checkpoints: Path) -> Path | None:
    """The newest checkpoint that was written to its end, or None.

    A run that is killed while it saves leaves part of a checkpoint; trainer_state.json comes last.
    """
    numbered = {int(p.name.rpartition("-")[2]): p for p in checkpoints.glob("checkpoint-*")}
    for step in sorted(numbered, reverse=True):
        try:
            json.loads((numbered[step] / "trainer_state.json").read_text(encoding="utf-8"))
        except (OSError, ValueError):
            print(
                either(
                    f"--resume：{numbered[step]} 不完整，用它之前的一个",
                    f"--resume: {numbered[step]} is incomplete; taking the one before it",
                )
            )
            continue
        return numbered[step]
    return None


def _count_on(recipe: Recipe, trainer: Any, start: Path) -> None:
    """What Transformers forgets when it resumes: epochs without a gain, and that nothing is left.

    A run killed between its last checkpoint and its result would else train a step or an epoch on.
    """
    stopping = early_stopping_class().__name__
    state = json.loads((start / "trainer_state.json").read_text(encoding="utf-8"))
    if recipe.max_steps > 0:
        ended = state["global_step"] >= recipe.max_steps
    else:
        ended = state["epoch"] >= recipe.num_train_epochs
    stored = state["stateful_callbacks"].get(stopping)
    for callback in trainer.callback_handler.callbacks:
        if stored and type(callback).__name__ == stopping:
            seen = stored["attributes"]["early_stopping_patience_counter"]
            callback.early_stopping_patience_counter = seen
            ended = ended or seen >= callback.early_stopping_patience
    if ended:  # train() then only loads the best checkpoint
        trainer.args.max_steps, trainer.args.num_train_epochs = -1, 0


def _save_model(recipe: Recipe, trainer: Any, base: Path, out: Path, system_prompt: str) -> None:
    state = None
    if trainer.is_fsdp_enabled or trainer.is_deepspeed_enabled:
        # Gathers the shards, whatever kind of checkpoint is set; every process takes part.
        wrapped = trainer.deepspeed if trainer.is_deepspeed_enabled else trainer.model
        state = trainer.accelerator.get_state_dict(wrapped)
    if not trainer.is_world_process_zero():
        return
    model = trainer.accelerator.unwrap_model(trainer.model)
    need_finite(trained(model) if state is None else state.items())
    (out / MANIFEST_NAME).unlink(missing_ok=True)  # it would vouch for files half written
    if recipe.finetuning_type == "lora":
        for config in model.peft_config.values():
            if isinstance(config.target_modules, set):  # its order is another in each process
                config.target_modules = sorted(config.target_modules)
        model.save_pretrained(str(out), state_dict=state)
        write_system_prompt(out, system_prompt)
    else:
        save_full(model, base, out, system_prompt, recipe.export_size, state)


def _write_outcome(
    recipe: Recipe, trainer: Any, base: Path, rows: Rows, used: int, skipped: int, started: float
) -> None:
    """Curves, log, verdict, report and manifest beside the result."""
    out = _result_directory(recipe)
    out.mkdir(parents=True, exist_ok=True)
    history = trainer.state.log_history
    final = next((row for row in reversed(history) if "train_loss" in row), {})
    final["train_loss"] = _mean_loss(history)  # the trainer's own leaves out what it resumed from
    judged = {row["step"]: row["epoch"] for row in history if "eval_judge" in row}
    verdict = reach_verdict(recipe, judged) if judged and trainer.judged_rows else None
    if verdict:
        history = [{"step": 0, "epoch": 0.0, "eval_judge": verdict.base}, *history]
    (recipe.output_dir / "trainer_log.json").write_text(json.dumps(history), encoding="utf-8")
    plot_curves(recipe.output_dir / "loss.png", history, recipe.output_dir.name)
    base_manifest = read_manifest(base)
    parents = [m for m in (base_manifest, read_manifest(recipe.dataset_dir)) if m]
    manifest = Manifest(
        stage="lora" if recipe.finetuning_type == "lora" else "full",
        name=recipe.output_dir.name,
        demo=bool(base_manifest and base_manifest.demo),
        inputs=[file_record(path) for path in rows.files],
        settings=recipe.model_dump(mode="json")
        | {"base_fingerprint": fingerprint(base)}
        | ({"verdict": verdict.model_dump()} if verdict else {}),
        counts={"train_rows": used, "rows_left_out": skipped, "steps": trainer.state.global_step}
        | {"train_loss": final["train_loss"]}
        | _peak_memory(),
        scores=_scores(verdict),
        versions=library_versions(LIBRARIES) | _device(),
        seconds=round(time.monotonic() - started, 1),
        parents=parents,
    )
    write_run_report(recipe.output_dir, verdict, history)
    write(out, manifest)


def _scores(verdict: Verdict | None) -> dict[str, float]:
    if verdict is None:
        return {}
    best = max(point.score for point in verdict.curve if point.step)
    return {
        "dev_judge_best": best,
        "dev_judge_base": verdict.base,
        "dev_judge_tuned": verdict.tuned,
        "dev_judge_difference": verdict.difference,
    }


def _peak_memory() -> dict[str, float]:
    """The most memory that tensors took on the GPU, in bytes; nothing without one."""
    import torch

    if not torch.cuda.is_available():
        return {}
    return {"peak_device_bytes": float(torch.cuda.max_memory_allocated())}


def _device() -> dict[str, str]:
    """Which GPU: memory and time of two runs compare on the same one only."""
    import torch

    return {"gpu": torch.cuda.get_device_name()} if torch.cuda.is_available() else {}


def _mean_loss(history: list[dict[str, Any]]) -> float:
    """The mean over all steps; each row is the mean of the steps since the row before."""
    total, before = 0.0, 0
    for row in (row for row in history if "loss" in row):
        total, before = total + row["loss"] * (row["step"] - before), row["step"]
    return total / max(before, 1)


def leave_the_group() -> None:
    """End the threads of torch.distributed; one that asks for Python at exit aborts the process.

    Called when all is written; a rank that ended well would else now and then count as failed.
    """
    import torch.distributed

    gc.collect()  # the trainer's own references keep the group's threads alive
    if torch.distributed.is_available() and torch.distributed.is_initialized():
        torch.distributed.destroy_process_group()


def _result_directory(recipe: Recipe) -> Path:
    return recipe.output_dir / ("adapter" if recipe.finetuning_type == "lora" else "merged")


def _advice(recipe: Recipe, error: Exception) -> str | None:
    """What to change after an error of the machine's limits; None for any other."""
    import torch

    first_line = (str(error).splitlines() or [type(error).__name__])[0]
    if isinstance(error, torch.OutOfMemoryError) or "can't allocate memory" in first_line:
        return _memory_advice(recipe, first_line)
    if getattr(error, "errno", None) == errno.ENOSPC or "No space left" in first_line:
        return either(
            f"{recipe.output_dir} 所在的磁盘满了（{first_line}）；已有的检查点完好："
            "腾出空间，或设 save_total_limit=1，再加 --resume 接着训练",
            f"the disk of {recipe.output_dir} is full ({first_line}); earlier checkpoints are "
            "intact: free some, or set save_total_limit=1, and go on with --resume",
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
    advice = advice or [
        either(
            "更小的 cutoff_len 并设 drop_long_rows=true",
            "a smaller cutoff_len with drop_long_rows=true",
        ),
        either("更小的模型", "a smaller model"),
    ]
    tried = ", ".join(advice)
    return either(
        f"内存或显存不够（{first_line}）；请依次试：{tried}",
        f"out of memory ({first_line}); try, in this order: {tried}",
    )


def main(recipe_path: str, *options: str) -> None:
    """One process of a training; ends with one line where the user can mend the error."""
    recipe = load_recipe(Path(recipe_path))
    try:
        run_training(recipe, fetch_base(recipe), load_rows(recipe), "--resume" in options)
        leave_the_group()
    except (ModelError, DataError, ExcludedError, ManifestError) as error:
        sys.exit(either(f"错误：{error}", f"error: {error}"))


if __name__ == "__main__":
    main(*sys.argv[1:])
