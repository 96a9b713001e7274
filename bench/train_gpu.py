"""Training speed and memory on one GPU, with random weights of a given shape.

    python -m bench.train_gpu SHAPE_DIR PAIRS.jsonl --out report/bench_train.json [--minutes 9.5]

SHAPE_DIR holds config.json and a tokenizer (weights are made up: speed and memory do not depend
on them, quality is not measured). Each section is a process of its own, so that one that fails
or runs out of memory costs only its own row, and each peak is its own. MFU counts 4 FLOP a
weight and token for LoRA, 6 for full training, tokens of padding not counted, over the bf16
matrix rate measured in the same run.
"""

import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from common.model_shape import read_shape

console = Console()
WARM, TIMED = 5, 10  # updates
# Overrides of the recipe for each section, and what estimate.py calls its method.
SECTIONS: dict[str, dict[str, Any]] = {
    "lora packed": {},
    "lora packed, sdpa": {"attn_implementation": "sdpa"},
    "lora packed, peft casts": {},
    "lora packed 8k": {"pack_len": 8192},
    "lora packed 8k, no liger": {"pack_len": 8192, "use_liger_kernel": False},
    "lora packed 8k, compiled": {"pack_len": 8192, "torch_compile": True},
    "lora packed 16k": {"pack_len": 16384},
    "lora packed 16k, compiled": {"pack_len": 16384, "torch_compile": True},
    "lora packed, checkpointing": {"gradient_checkpointing": True},
    "lora unpacked": {
        "packing": False,
        "group_by_length": True,
        "per_device_train_batch_size": 24,
    },
    "qlora packed": {"quantization_bit": 4},
    "lora 8 bit packed": {"quantization_bit": 8},
    "full packed": {"finetuning_type": "full", "gradient_checkpointing": True},
}


def matmul_rate() -> dict[str, float]:
    """TFLOP/s of an 8192³ bf16 product of random matrices: 2·n³ FLOP each."""
    import torch

    n = 8192
    a, b = (torch.randn(n, n, device="cuda", dtype=torch.bfloat16) for _ in range(2))
    for _ in range(5):
        a @ b
    torch.cuda.synchronize()
    start = time.perf_counter()
    for _ in range(20):
        a @ b
    torch.cuda.synchronize()
    return {"tflops": 20 * 2 * n**3 / (time.perf_counter() - start) / 1e12}


def make_weights(shape_dir: Path, out: Path) -> dict[str, float]:
    """A full model directory with random bf16 weights, for the sections to load."""
    import shutil

    import torch
    from transformers import AutoConfig, AutoModelForCausalLM

    torch.manual_seed(0)
    start = time.perf_counter()
    with torch.device("cuda"):
        config = AutoConfig.from_pretrained(shape_dir)
        model = AutoModelForCausalLM.from_config(config, dtype=torch.bfloat16)
    model.save_pretrained(out)
    for path in shape_dir.iterdir():
        if path.suffix in (".json", ".jinja"):
            shutil.copyfile(path, out / path.name)
    return {"seconds": time.perf_counter() - start}


def _clock_class() -> type:
    from transformers import TrainerCallback

    class Clock(TrainerCallback):
        """Wall time of each update, the GPU's work included."""

        def __init__(self) -> None:
            self.times: list[float] = []

        def on_step_end(self, *args: Any, **kwargs: Any) -> None:
            import torch

            torch.cuda.synchronize()
            self.times.append(time.perf_counter())

    return Clock


def _timed(trainer: Any, count: Any, whole: bool = False) -> dict[str, float]:
    """Run a trainer; tokens a second over the updates after the warm ones, and peak memory."""
    import torch

    real: list[int] = []
    width: list[int] = []
    collate = trainer.data_collator

    def counted(rows: list[Any]) -> Any:
        batch = collate(rows)
        real.append(sum(count(row) for row in rows))
        width.append(int(batch["input_ids"].numel()))
        return batch

    trainer.data_collator = counted
    clock = _clock_class()()
    trainer.add_callback(clock)
    for name, value in (("eval_strategy", "no"), ("save_strategy", "no")):
        setattr(trainer.args, name, type(getattr(trainer.args, name))(value))
    trainer.args.load_best_model_at_end = False
    torch.cuda.reset_peak_memory_stats()
    start = time.perf_counter()
    trainer.train()
    if whole:
        seconds = time.perf_counter() - start
        return {"seconds": seconds, "tokens": sum(real), "updates": len(clock.times)}
    updates = len(clock.times)
    each = max(1, trainer.args.gradient_accumulation_steps)
    tokens = sum(real[WARM * each : updates * each])
    seconds = clock.times[-1] - clock.times[WARM - 1]
    widest = max(width)
    return {
        "tokens_per_s": tokens / seconds,
        "tokens_per_update": tokens / (updates - WARM),
        "padding": 1 - sum(real) / sum(width),
        "widest": widest,
        "peak_bytes": float(torch.cuda.max_memory_allocated()),
    }


def train_section(name: str, model_dir: Path, pairs: Path, out: Path) -> dict[str, Any]:
    """One section through this kit's own recipe and trainer."""
    from common.prompting import SYSTEM_PROMPT
    from common.read_pairs import read_pairs
    from train.base import load_tokenizer
    from train.dataset import encode_rows
    from train.estimate import method_of, training_bytes, training_flop
    from train.recipe_file import load_recipe
    from train.trainer import make_trainer

    whole = name.startswith("three epochs")
    chosen = {"torch_compile": True} if name == "three epochs, compiled" else SECTIONS.get(name, {})
    fields = {"model_name_or_path": str(model_dir), "output_dir": str(out), "report_to": "none"}
    fields |= {"eval_samples": 0, "early_stopping_patience": "null", "drop_long_rows": "true"}
    fields |= {} if whole else {"max_steps": WARM + TIMED}
    fields |= chosen
    path = Path(__file__).parents[1] / "train" / "recipes" / "qwen3-4b-lora.yaml"
    recipe = load_recipe(path, [f"{key}={value}" for key, value in fields.items()])
    tokenizer = load_tokenizer(model_dir)
    rows = read_pairs(pairs).pairs
    encoded = [
        row
        for row in encode_rows(tokenizer, rows, SYSTEM_PROMPT)
        if len(row["input_ids"]) <= recipe.cutoff_len
    ]
    trainer = make_trainer(recipe, model_dir, tokenizer, encoded, encoded[:2], [], SYSTEM_PROMPT)
    if name.endswith("peft casts"):  # what PEFT does by itself
        for module in trainer.model.modules():
            if hasattr(module, "cast_input_dtype_enabled"):
                module.cast_input_dtype_enabled = True
    result = _timed(trainer, lambda row: len(row["input_ids"]), whole)
    if whole:
        return result
    shape, method = read_shape(str(model_dir)), method_of(recipe)
    parts = training_bytes(
        shape, method, int(result["widest"]), recipe.lora_rank, recipe.gradient_checkpointing
    )
    return {
        **result,
        "estimate_bytes": parts["total"],
        "estimate": parts,
        "useful_flop_per_token": training_flop(shape, method),
    }


def plain_trl(model_dir: Path, pairs: Path, out: Path) -> dict[str, Any]:
    """What TRL and PEFT do with their defaults: prompt and completion, LoRA of rank 8."""
    import torch
    from datasets import Dataset
    from peft import LoraConfig
    from trl import SFTConfig, SFTTrainer

    from common.read_pairs import read_pairs
    from train.base import load_tokenizer
    from train.estimate import training_flop

    rows = [
        {
            "prompt": [{"role": "user", "content": pair.question}],
            "completion": [{"role": "assistant", "content": pair.answer}],
        }
        for pair in read_pairs(pairs).pairs
    ]
    trainer = SFTTrainer(
        model=str(model_dir),
        args=SFTConfig(
            output_dir=str(out),
            max_steps=WARM + TIMED,
            model_init_kwargs={"dtype": torch.bfloat16, "device_map": {"": 0}},
        ),
        train_dataset=Dataset.from_list(rows),
        processing_class=load_tokenizer(model_dir),
        peft_config=LoraConfig(task_type="CAUSAL_LM"),
    )
    result = _timed(trainer, lambda row: len(row["input_ids"]))
    flop = training_flop(read_shape(str(model_dir)), "lora")
    return {**result, "useful_flop_per_token": flop}


def check_packed(model_dir: Path, pairs: Path) -> dict[str, Any]:
    """Loss and its gradient of one packed batch by the variable-length kernel and by sdpa.

    The gradient is that of the first layer's input: (what differs) / (its own size).
    """
    import torch
    from transformers import AutoModelForCausalLM
    from trl.trainer.sft_trainer import DataCollatorForLanguageModeling

    from common.prompting import SYSTEM_PROMPT
    from common.read_pairs import read_pairs
    from train import packed_attention
    from train.base import load_tokenizer
    from train.dataset import encode_rows

    rows = read_pairs(pairs).pairs[:24]
    encoded = encode_rows(load_tokenizer(model_dir), rows, SYSTEM_PROMPT)
    batch = DataCollatorForLanguageModeling(pad_token_id=0, padding_free=True)(encoded)
    batch = {k: v.to("cuda") if hasattr(v, "to") else v for k, v in batch.items()}
    packed_attention.register()
    result: dict[str, Any] = {"tokens": int(batch["input_ids"].numel())}
    gradients = []
    for name in (packed_attention.NAME, "sdpa"):
        model = AutoModelForCausalLM.from_pretrained(
            model_dir, dtype=torch.bfloat16, device_map={"": 0}, attn_implementation=name
        )
        model.requires_grad_(False)
        embedded = model.get_input_embeddings()(batch["input_ids"]).float().requires_grad_()
        given = {k: v for k, v in batch.items() if k != "input_ids"}
        loss = model(inputs_embeds=embedded.bfloat16(), use_cache=False, **given).loss
        loss.backward()
        result[f"loss {name}"] = float(loss)
        gradients.append(embedded.grad)
        del model
    ours, theirs = gradients
    result["gradient_off"] = float((ours - theirs).norm() / theirs.norm())
    return result


def awq_section(model_dir: Path, pairs: Path, out: Path) -> dict[str, Any]:
    """Seconds of an AWQ export with 128 calibration rows."""
    from common.read_pairs import read_pairs
    from train.quantize import quantize

    start = time.perf_counter()
    rows = read_pairs(pairs).pairs
    quantize(model_dir, out / "awq", "awq", rows, 128)
    return {"seconds": time.perf_counter() - start}


def main(
    shape_dir: Annotated[Path, typer.Argument(help="config.json and tokenizer")],
    pairs: Annotated[Path, typer.Argument(help="jsonl of pairs")],
    out: Annotated[Path, typer.Option(help="results, written after each section")] = Path(
        "report/bench_train.json"
    ),
    work: Annotated[Path, typer.Option(help="8 GB of weights go here")] = Path("out/bench"),
    minutes: Annotated[float, typer.Option(help="no section starts after this")] = 11,
    section: Annotated[str, typer.Option(hidden=True)] = "",
    only: Annotated[str, typer.Option(help="these sections, separated by ';'")] = "",
) -> None:
    """Measure all sections, or (for itself) one of them."""
    model_dir = work / "model"
    if section:
        if section == "matmul":
            result: dict[str, Any] = matmul_rate()
        elif section == "weights":
            result = make_weights(shape_dir, model_dir)
        elif section == "plain TRL":
            result = plain_trl(model_dir, pairs, work / "plain")
        elif section == "check":
            result = check_packed(model_dir, pairs)
        elif section == "awq":
            result = awq_section(model_dir, pairs, work)
        else:
            result = train_section(section, model_dir, pairs, work / "run")
        print("RESULT " + json.dumps(result), flush=True)
        return
    began = time.monotonic()
    results: dict[str, Any] = {}
    out.parent.mkdir(parents=True, exist_ok=True)
    wanted = (
        only.split(";")
        if only
        else ["check", *SECTIONS, "plain TRL", "three epochs", "three epochs, compiled", "awq"]
    )
    if not (model_dir / "config.json").is_file():
        wanted = ["weights", *wanted]
    for name in ["matmul", *wanted]:
        left = 60 * minutes - (time.monotonic() - began)
        if left < 20:
            results[name] = {"skipped": "no time left"}
        else:
            results[name] = _run_section(name, sys.argv[1:3], work, left)
        out.write_text(json.dumps(results, indent=1), encoding="utf-8")
        told = {k: v for k, v in results[name].items() if k != "estimate"}
        console.print(f"{time.monotonic() - began:5.0f} s  {name}: {told}", highlight=False)
    _show(results)


def _run_section(name: str, given: list[str], work: Path, limit: float) -> dict[str, Any]:
    command = [sys.executable, "-m", "bench.train_gpu", *given, "--work", str(work)]
    started = time.monotonic()
    try:
        done = subprocess.run(
            [*command, "--section", name], capture_output=True, text=True, timeout=min(limit, 300)
        )
    except subprocess.TimeoutExpired:
        return {"failed": f"stopped after {min(limit, 300):.0f} s"}
    for line in done.stdout.splitlines():
        if line.startswith("RESULT "):
            return {**json.loads(line[7:]), "section_seconds": time.monotonic() - started}
    return {"failed": " | ".join(done.stderr.strip().splitlines()[-4:])[-600:]}


def _show(results: dict[str, Any]) -> None:
    rate = results["matmul"].get("tflops")
    table = Table(title=f"bf16 matrix product: {rate or 0:.0f} TFLOP/s")
    for column in ("section", "tokens/s", "MFU", "padding", "peak GB", "estimate GB", "off"):
        table.add_column(column)
    for name, row in results.items():
        if "tokens_per_s" not in row:
            continue
        mfu = row["tokens_per_s"] * row["useful_flop_per_token"] / 1e12 / rate if rate else 0
        peak, guess = row["peak_bytes"] / 1e9, row.get("estimate_bytes", 0) / 1e9
        off = f"{guess / peak - 1:+.0%}" if guess else ""
        cells = [f"{row['tokens_per_s']:,.0f}", f"{mfu:.0%}", f"{row['padding']:.0%}"]
        table.add_row(name, *cells, f"{peak:.1f}", f"{guess:.1f}" if guess else "", off)
    console.print(table)


if __name__ == "__main__":
    typer.run(main)
