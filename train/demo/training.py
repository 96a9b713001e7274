"""The demo model: a few million parameters that learn one small book's answers on a CPU.

    python -m train.demo                                  # data/sample/ → model/demo
    python -m train.demo --pairs mine.jsonl --out model/mine --minutes 5

Without --pairs it asks `python -m data build` for the sample book's training data first, so that
the model's manifest leads back to the book.

It shows the whole flow offline: a Qwen3-architecture model made from nothing, with its own
tokenizer, in an ordinary Transformers directory. It knows its pairs and nothing else, and its
manifest says `demo`. The loop is a plain one: Transformers' Trainer would take longer to import
and set up than a tenth of the training, and here every step can be read.
"""

import json
import math
import os
import random
import subprocess
import sys
import time
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from common.manifest import (
    Manifest,
    directory_records,
    file_record,
    library_versions,
    read_manifest,
    write_manifest,
)
from common.pairs import Pair, PairsError, by_fact, refused, spots
from common.prompting import render_prompts, tokenize_prompts
from common.rows import read_pairs
from train.curves import plot_curves
from train.demo.model import (
    IM_END,
    SYSTEM_PROMPT,
    model_config,
    save_model,
    train_tokenizer,
    wrap_tokenizer,
)
from train.demo.wordings import vary

ROOT = Path(__file__).parents[2]
# The pairs that people wrote, alone: with the 65 that the rules make beside them, in the same
# time (276 steps instead of 300), the demo scored 0.61 instead of 0.82.
SAMPLE_BUILD = ["data/sample/book.md", "--merge", "data/sample/pairs.jsonl", "--demo"]
SAMPLE_BUILD += ["--source", "none"]
# The sample's test sets ask for what was trained, in wordings that were not: a held-out fact
# would be a fact that the demo cannot know. A pair's own wordings are all kept.
SAMPLE_BUILD += ["--dev", "0", "--calibration", "0", "--wordings", "1"]
VOCAB_SIZE = 4096
HIDDEN, LAYERS, INTERMEDIATE = 256, 4, 1024
BATCH = 16
PASSES = 55  # visits of each pair, every time in another wording
PEAK_LR = 2e-3
console = Console(stderr=True)

# Idle OpenMP threads sleep instead of spinning: with anything else running on the two cores,
# spinning made a step ten times slower. Read when torch loads, so set before.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")


def sample_data(out: Path) -> Path:
    """train.jsonl of the sample book, made by data/ in `out` (seconds). Raises PairsError."""
    command = [sys.executable, "-m", "data", "build", *SAMPLE_BUILD, "--out", str(out.resolve())]
    made = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    if made.returncode:
        raise PairsError(f"python -m data build failed on the sample book:\n{made.stderr.strip()}")
    return out / "train.jsonl"


def single_pairs(path: Path) -> list[Pair]:
    """The pairs of a file. Raises PairsError, also for what only a talk could teach."""
    found = read_pairs(path)
    talks = [pair.where for pair in found.pairs if pair.history or not pair.learn]
    if talks:
        reason = "the demo learns single questions, no talk and no answer of weight 0"
        raise refused(path, ((place, reason) for place in talks))
    systems = [pair.where for pair in found.pairs if pair.system]
    own = [f"{spots(systems)}: its system message is not learned"] if systems else []
    for warning in [*found.warnings, *own]:
        console.print(f"{path.name}: {warning}", style="yellow", markup=False, soft_wrap=True)
    return found.pairs


def parents_of(sources: list[Path]) -> list[Manifest]:
    """Manifests beside the files that list them, with their sha256, among what was made."""
    found: dict[Path, Manifest] = {}
    for path in sources:
        manifest = read_manifest(path.parent)
        if manifest and file_record(path).sha256 in {made.sha256 for made in manifest.outputs}:
            found[path.parent] = manifest
    return list(found.values())


def build_tokenizer(pairs: list[Pair]) -> Any:
    """The demo's tokenizer, trained on all questions and answers and the system prompt."""
    texts = [text for pair in pairs for text in (*pair.wordings, pair.answer)]
    return wrap_tokenizer(train_tokenizer([SYSTEM_PROMPT, *texts], VOCAB_SIZE))


def build_model(config: dict[str, Any], seed: int) -> Any:
    """A Qwen3 model with random weights, float32, the same for the same seed."""
    import torch
    from transformers import Qwen3Config, Qwen3ForCausalLM

    torch.manual_seed(seed)
    fields = {k: v for k, v in config.items() if k not in ("architectures", "torch_dtype")}
    return Qwen3ForCausalLM(Qwen3Config(**fields, attn_implementation="sdpa")).float()


def batches(pairs: list[Pair], steps: int, rng: random.Random) -> Any:
    """`steps` lists of (question, answer): all pairs in turn, shuffled, in drawn wordings.

    Rows of similar length meet in one batch, so that little is padded: each list of a few
    batches' rows is sorted by answer length and its batches are dealt in random order.
    """
    queue: list[Pair] = []
    ready: list[list[Pair]] = []
    for _ in range(steps):
        if not ready:
            pool: list[Pair] = []
            while len(pool) < 4 * BATCH:
                if not queue:
                    queue = rng.sample(pairs, len(pairs))
                pool.append(queue.pop())
            pool.sort(key=lambda pair: len(pair.answer))
            ready = [pool[i : i + BATCH] for i in range(0, len(pool), BATCH)]
            rng.shuffle(ready)
        yield [(vary(pair.wordings, pair.answer, rng), pair.answer) for pair in ready.pop()]


def encode(tokenizer: Any, rows: list[tuple[str, str]]) -> tuple[Any, Any]:
    """Token ids and targets [rows, longest], targets -100 except on the answer and its <|im_end|>.

    Padding is on the right: causal attention never looks there, so no mask is needed.
    """
    import torch

    prompts = render_prompts(tokenizer, [question for question, _ in rows], SYSTEM_PROMPT)
    heads = tokenize_prompts(tokenizer, prompts)
    tails = tokenize_prompts(tokenizer, [answer + IM_END for _, answer in rows])
    width = max(len(h) + len(t) for h, t in zip(heads, tails, strict=True))
    ids = torch.full((len(rows), width), tokenizer.pad_token_id)
    targets = torch.full((len(rows), width), -100)
    for i, (head, tail) in enumerate(zip(heads, tails, strict=True)):
        ids[i, : len(head) + len(tail)] = torch.tensor(head + tail)
        targets[i, len(head) : len(head) + len(tail)] = torch.tensor(tail)
    return ids, targets


def answer_loss(model: Any, ids: Any, targets: Any) -> Any:
    """Mean cross-entropy (nats a token) over answer tokens; logits are made for those only."""
    import torch

    hidden = model.model(input_ids=ids, use_cache=False).last_hidden_state[:, :-1]
    wanted = targets[:, 1:]
    chosen = wanted != -100
    return torch.nn.functional.cross_entropy(model.lm_head(hidden[chosen]), wanted[chosen])


def learning_rate(progress: float) -> float:
    """Warm-up over the first 5 %, then a straight line to zero (progress 0 … 1)."""
    return PEAK_LR * min(progress / 0.05, (1 - progress) / 0.95, 1.0)


def train(
    model: Any, tokenizer: Any, pairs: list[Pair], steps: int, minutes: float, seed: int
) -> list[dict[str, float]]:
    """Train in place; returns one record a step (loss, learning rate, seconds).

    `steps` decides when training ends, and the run repeats exactly by its seed; `minutes` is the
    limit for slow machines: the schedule then follows the clock and ends there.
    """
    import torch

    rng = random.Random(seed)
    decayed = [p for p in model.parameters() if p.ndim == 2]
    others = [p for p in model.parameters() if p.ndim != 2]
    groups = [{"params": decayed, "weight_decay": 0.1}, {"params": others, "weight_decay": 0.0}]
    optimizer = torch.optim.AdamW(groups, lr=PEAK_LR, betas=(0.9, 0.98), fused=True)
    log: list[dict[str, float]] = []
    start = time.monotonic()
    model.train()
    columns = [
        TextColumn("training"),
        BarColumn(),
        TextColumn("{task.completed:.0f}/{task.total:.0f} loss {task.fields[loss]:.3f}"),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
    ]
    with Progress(*columns, console=console) as bar:
        task = bar.add_task("training", total=steps, loss=float("nan"))
        for step, rows in enumerate(batches(pairs, steps, rng)):
            elapsed = time.monotonic() - start
            progress = max((step + 1) / (steps + 1), elapsed / (60 * minutes))
            if progress >= 1:
                break
            rate = learning_rate(progress)
            for group in optimizer.param_groups:
                group["lr"] = rate
            loss = answer_loss(model, *encode(tokenizer, rows))
            loss.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            optimizer.zero_grad()
            log.append({"step": step + 1, "loss": loss.item(), "learning_rate": rate})
            log[-1]["seconds"] = elapsed
            bar.update(
                task, completed=step + 1, loss=sum(r["loss"] for r in log[-20:]) / len(log[-20:])
            )
    model.eval()
    return log


def main(
    pairs: Annotated[list[Path] | None, typer.Option(help="jsonl files of pairs")] = None,
    out: Annotated[Path, typer.Option(help="model directory to write")] = Path("model/demo"),
    seed: Annotated[int, typer.Option(help="same seed, same weights (on one machine)")] = 0,
    rows: Annotated[int | None, typer.Option(help="use the first N pairs", min=1)] = None,
    steps: Annotated[int | None, typer.Option(help="0: leave the model untrained", min=0)] = None,
    minutes: Annotated[float, typer.Option(help="time limit of the training", min=0.01)] = 2.8,
    untrained: Annotated[
        Path | None, typer.Option(help="keep the model as it is before training here, to compare")
    ] = None,
) -> None:
    """Make the demo model from question-answer pairs."""
    started = time.monotonic()
    try:
        sources = pairs or [sample_data(out.with_name(out.name + "-data"))]
        data = by_fact(pair for path in sources for pair in single_pairs(path))[:rows]
    except PairsError as error:
        console.print(f"error: {error}", style="red", markup=False, soft_wrap=True)
        raise typer.Exit(2) from error
    planned = math.ceil(PASSES * len(data) / BATCH) if steps is None else steps
    tokenizer = build_tokenizer(data)
    config = model_config(tokenizer.backend_tokenizer, HIDDEN, LAYERS, INTERMEDIATE)
    model = build_model(config, seed)
    parameters = sum(p.numel() for p in model.parameters())
    console.print(f"{len(data)} pairs, {parameters / 1e6:.1f} million parameters → {out}")
    settings = {"seed": seed, "batch": BATCH, "passes": PASSES, "peak_lr": PEAK_LR}
    settings |= {"rows": rows, "minutes": minutes, "system_prompt": SYSTEM_PROMPT}

    def save(directory: Path, steps: int, log: list[dict[str, float]]) -> Manifest:
        save_model(directory, model, tokenizer.backend_tokenizer, config)
        (directory / "train_log.json").write_text(json.dumps(log) + "\n", encoding="utf-8")
        counts: dict[str, float] = {"pairs": len(data), "parameters": parameters}
        counts["steps"] = len(log)
        if log:
            title = f"{directory.name}: {len(data)} pairs, seed {seed}"
            plot_curves(directory / "loss.png", log, title)
            counts["final_loss"] = sum(row["loss"] for row in log[-20:]) / len(log[-20:])
        manifest = Manifest(
            stage="demo",
            name=directory.name,
            demo=True,
            inputs=[file_record(path) for path in sources],
            outputs=directory_records(directory),
            settings=settings | {"steps": steps},
            counts=counts,
            versions=library_versions(["torch", "transformers", "tokenizers"]),
            seconds=round(time.monotonic() - started, 1),
            parents=parents_of(sources),
        )
        write_manifest(directory, manifest)
        return manifest

    if untrained:
        save(untrained, 0, [])
    log = train(model, tokenizer, data, planned, minutes, seed)
    if len(log) < planned:
        console.print(
            f"stopped by the clock after {len(log)} of {planned} steps: this run cannot be "
            "repeated by its seed; --minutes gives it more time",
            style="yellow",
        )
    manifest = save(out, planned, log)
    console.print(f"done in {manifest.seconds:.0f} s; serve it with MODEL_DIR={out}")
