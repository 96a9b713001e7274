"""The demo model: under a million weights that learn one small book's answers on a CPU.

    python -m train.demo                                  # data/sample/ → model/demo
    python -m train.demo --pairs mine.jsonl --out model/mine

Without --pairs it asks `python -m data build` for the sample book's training data first, so that
the model's manifest leads back to the book.

It shows the whole flow offline: a Qwen3-architecture model made from nothing, with its own
tokenizer, in an ordinary Transformers directory. It knows its pairs and nothing else, and its
manifest says `demo`.
"""

import json
import math
import subprocess
import sys
import time
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from common.cli import option
from common.language import either, in_chinese
from common.manifest import (
    Manifest,
    directory_records,
    file_record,
    library_versions,
    read_manifest,
    write_manifest,
)
from common.pairs import Pair, PairsError, by_fact, refused, spots
from common.read_pairs import read_pairs
from train.curves import plot_curves
from train.demo import training
from train.demo.model import SYSTEM_PROMPT, model_config, save_model

ROOT = Path(__file__).parents[2]
# The pairs that people wrote, alone: those that the rules make beside them take training time from
# what the sample's test sets ask.
SAMPLE_BUILD = ["data/sample/book.md", "--merge", "data/sample/pairs.jsonl", "--demo"]
SAMPLE_BUILD += ["--source", "none"]
# The sample's test sets ask for what was trained, in wordings that were not: a held-out fact
# would be a fact that the demo cannot know. A pair's own wordings are all kept.
SAMPLE_BUILD += ["--dev", "0", "--calibration", "0", "--wordings", "1"]
console = Console(stderr=True)


def sample_data(out: Path) -> Path:
    """train.jsonl of the sample book, made by data/ in `out` (seconds). Raises PairsError."""
    command = [sys.executable, "-m", "data", "build", *SAMPLE_BUILD, "--out", str(out.resolve())]
    made = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    if made.returncode:
        told = made.stderr.strip()
        raise PairsError(
            f"python -m data build 没能处理示例教材：\n{told}",
            f"python -m data build failed on the sample book:\n{told}",
        )
    return out / "train.jsonl"


def single_pairs(path: Path) -> list[Pair]:
    """The pairs of a file. Raises PairsError, also for what only a talk could teach."""
    found = read_pairs(path)
    talks = [pair.where for pair in found.pairs if pair.history or not pair.learn]
    if talks:
        reason = either(
            "演示模型只学单独的问答，不学多轮对话和权重为 0 的回答",
            "the demo learns single questions, no talk and no answer of weight 0",
        )
        raise refused(path, ((place, reason) for place in talks))
    systems = [pair.where for pair in found.pairs if pair.system]
    said = either("：不学它的系统提示", ": its system message is not learned")
    own = [f"{spots(systems)}{said}"] if systems else []
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


@in_chinese("用问答对做演示模型。")
def main(
    pairs: Annotated[
        list[Path] | None, option("问答对的 jsonl 文件", "jsonl files of pairs")
    ] = None,
    out: Annotated[Path, option("写到哪个模型目录", "model directory to write")] = Path(
        "model/demo"
    ),
    seed: Annotated[
        int,
        option("种子相同，权重就相同（同一台机器上）", "same seed, same weights (on one machine)"),
    ] = 0,
    rows: Annotated[int | None, option("只用前 N 对", "use the first N pairs", min=1)] = None,
    steps: Annotated[int | None, option("0：不训练", "0: leave the model untrained", min=0)] = None,
    untrained: Annotated[
        Path | None,
        option(
            "把训练前的模型留在这里，以便比较",
            "keep the model as it is before training here, to compare",
        ),
    ] = None,
) -> None:
    """Make the demo model from question-answer pairs."""
    started = time.monotonic()
    try:
        sources = pairs or [sample_data(out.with_name(out.name + "-data"))]
        data = by_fact(pair for path in sources for pair in single_pairs(path))[:rows]
    except PairsError as error:
        told = either(f"错误：{error}", f"error: {error}")
        console.print(told, style="red", markup=False, soft_wrap=True)
        raise typer.Exit(2) from error
    planned = math.ceil(training.PASSES * len(data) / training.BATCH) if steps is None else steps
    tokenizer = training.build_tokenizer(data)
    config = model_config(
        tokenizer.backend_tokenizer, training.HIDDEN, training.LAYERS, training.INTERMEDIATE
    )
    model = training.build_model(config, seed)
    parameters = sum(p.numel() for p in model.parameters())
    console.print(
        either(
            f"{len(data)} 个问答，{parameters / 1e4:.0f} 万参数 → {out}",
            f"{len(data)} pairs, {parameters / 1e6:.1f} million parameters → {out}",
        ),
        soft_wrap=True,
    )
    settings = {"seed": seed, "batch": training.BATCH, "passes": training.PASSES, "rows": rows}
    settings |= {"peak_lr": training.PEAK_LR, "system_prompt": SYSTEM_PROMPT}

    def save(directory: Path, steps: int, log: list[dict[str, float]]) -> Manifest:
        save_model(directory, model, tokenizer.backend_tokenizer, config)
        (directory / "train_log.json").write_text(json.dumps(log) + "\n", encoding="utf-8")
        counts: dict[str, float] = {"pairs": len(data), "parameters": parameters}
        counts["steps"] = len(log)
        if log:
            title = f"{directory.name}: {len(data)} pairs, seed {seed}"
            plot_curves(directory / "loss.png", log, title)
            counts["final_loss"] = training.recent_loss(log)
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
    log = training.train(model, tokenizer, data, planned, seed, console)
    manifest = save(out, planned, log)
    console.print(
        either(
            f"完成，用时 {manifest.seconds:.0f} 秒；用 MODEL_DIR={out} 来服务",
            f"done in {manifest.seconds:.0f} s; serve it with MODEL_DIR={out}",
        ),
        soft_wrap=True,
    )
