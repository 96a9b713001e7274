"""Memory and work of training a model, by formulas, each with its source; and `train plan`.

Bytes are decimal (GB = 10⁹). What is estimated is what torch allocates at its peak
(`torch.cuda.max_memory_allocated`); the driver's own share, about 0.5 to 1 GB, comes on top.
"""

import time
from pathlib import Path
from typing import TYPE_CHECKING

from common.facts import assumed, download_rate, download_seconds, measured
from common.language import either
from common.model_files import file_sizes, weight_bytes
from common.model_shape import Form, Shape, ShapeError, read_shape
from common.pairs import Pair
from common.units import amount
from train.recipe import Recipe

if TYPE_CHECKING:
    from rich.console import Console

TEMPLATE_TOKENS = 18  # of Qwen3's chat template around system prompt, question and answer
PROMPT_CHARACTERS_A_TOKEN = 1.55  # the built-in system prompt: 79 characters, 51 tokens of Qwen3
LOSS_TILE = (4096, 32768)  # tokens x vocabulary whose logits TRL 1.16's loss holds at once
METHOD_FORMS: dict[str, Form] = {
    "lora": "bf16",
    "qlora": "nf4",
    "lora-8bit": "int8",
    "full": "fp32",
}
PARTS = {  # of training_bytes, as people read them
    "weights": "权重",
    "gradients and Adam": "梯度和 Adam",
    "activations": "激活值",
    "logits": "logits",
    "total": "合计",
}
EXAMPLE_FLOPS = 300e12  # the rate that the plan of a recipe turns its work into minutes with


def lora_parameters(shape: Shape, rank: int) -> int:
    """Weights of LoRA on every linear module: rank · (in + out) (Hu et al., arXiv:2106.09685)."""
    return shape.layers * rank * sum(i + o for i, o in shape.linears)


def activation_bytes(shape: Shape, tokens: int, checkpointing: bool) -> float:
    """Bytes kept between forward and backward for `tokens` tokens in one step, bfloat16 autocast.

    The count of Korthikanti et al. 2022 (arXiv:2205.05198, section 4) done for Transformers'
    Qwen3 with fused norms and SwiGLU (Liger's, or compiled layers; without either it is more) and
    an attention that keeps no score matrix. A token in a layer, h hidden, f intermediate, q and k
    widths of queries and keys: two norms keep input and output (8h), two head norms their input
    (2q + 2k), attention q, k, v and its output (4q + 4k), the MLP gate, up and their product (6f).
    The linear modules keep no copies of their own, whether LoRA or the weights train. Against
    measured peaks on an H100: bench/results/train_h100.json. With checkpointing: 2h a layer, and
    one layer in full at a time.
    """
    h, f, q, k = shape.hidden, shape.intermediate, shape.q_width, shape.kv_width
    layer = 8 * h + 4 * (q + k) + 6 * f
    if shape.qk_norm:
        layer += 2 * (q + k)
    if checkpointing:
        return tokens * (2.0 * h * shape.layers + layer)
    return tokens * float(layer) * shape.layers


def training_bytes(
    shape: Shape, method: str, tokens: int, rank: int, checkpointing: bool
) -> dict[str, float]:
    """Peak bytes of one training process by part; method `lora`, `qlora`, `lora-8bit` or `full`.

    Trained weights cost 16 bytes: float32 weight, gradient and two Adam moments (Rajbhandari et
    al. 2019, arXiv:1910.02054, section 3.1, with float32 gradients). QLoRA's adapters are in
    bfloat16 in TRL, so 8 bytes. The loss holds a tile of the logits only, 2 bytes each.
    """
    trained = shape.parameters if method == "full" else lora_parameters(shape, rank)
    state = {"full": 12.0, "lora": 16.0}.get(method, 8.0)
    parts = {
        "weights": shape.weight_bytes(METHOD_FORMS[method]),
        "gradients and Adam": state * trained,
        "activations": activation_bytes(shape, tokens, checkpointing),
        "logits": 2.0 * min(tokens, LOSS_TILE[0]) * min(shape.vocab, LOSS_TILE[1]),
    }
    return {**parts, "total": sum(parts.values())}


def training_flop(shape: Shape, method: str, checkpointing: bool = False) -> float:
    """FLOP a trained token: 2 for each weight it is multiplied with forward, 2 for the backward of
    activations, and 2 for that of weights in full training (Kaplan et al. 2020, arXiv:2001.08361,
    section 2.1); checkpointing repeats the forward.
    """
    each = (6 if method == "full" else 4) + (2 if checkpointing else 0)
    return float(shape.matmul_parameters * each)


def largest_step(
    shape: Shape, method: str, rank: int, device_bytes: float, checkpointing: bool
) -> int:
    """Tokens of the largest training step that fits a device (0: none)."""
    fixed = training_bytes(shape, method, 0, rank, checkpointing)["total"]
    each = activation_bytes(shape, 1, checkpointing)
    return max(0, int((device_bytes * 0.95 - fixed) / each))


def largest_batch(shape: Shape, weights: float, context: int, device_bytes: float) -> int:
    """Answers of `context` tokens that vLLM can hold at once beside `weights` bytes of weights
    (0: these alone do not fit)."""
    free = device_bytes * assumed("memory_share") - weights
    return max(0, int(free / (shape.kv_bytes * context)))


def method_of(recipe: Recipe) -> str:
    """The recipe's method in this module's words."""
    if recipe.finetuning_type == "full":
        return "full"
    return {4: "qlora", 8: "lora-8bit", None: "lora"}[recipe.quantization_bit]


def serving_rows(shape: Shape, directory: Path | None) -> list[tuple[str, int, int]]:
    """(weights' form, bytes on the device, bytes that the judge's build fetches): of the files as
    they lie in a directory that has weights, and of each form by its formula."""
    rows = []
    sizes = file_sizes(directory) if directory else {}
    if weights := weight_bytes(sizes):
        rows.append(("these files", weights, sum(sizes.values())))
    forms: tuple[Form, ...] = ("bf16", "int8", "awq")
    for form in forms:
        rows.append((form, shape.weight_bytes(form), shape.weight_bytes(form)))
    return rows


def print_plan(model: str, device_gb: float, tokens: int, rank: int, console: "Console") -> None:
    """Tables of serving and training a model on one device.

    model: a directory, a config.json or a hub id. Raises ShapeError.
    """
    from rich.table import Table

    path = Path(model)
    if path.suffix in (".yaml", ".yml"):
        raise ShapeError(
            either(
                f"{model}：是配方，不是模型：给模型目录或模型名；看配方：train run 配方 --dry-run",
                f"{model}: a recipe, no model: give a model directory or hub id (a recipe's plan: "
                "train run RECIPE --dry-run)",
            )
        )
    if not path.exists() and (model.count("/") != 1 or path.suffix == ".json"):
        raise ShapeError(
            either(
                f"{model}：没有这个目录或文件，也不是模型名（用户名/模型名）",
                f"{model}: no such directory or file, and no hub id (owner/name)",
            )
        )
    shape = read_shape(model)
    device_bytes = device_gb * 1e9
    size, cache = shape.parameters / 1e9, shape.kv_bytes / 1e3
    console.print(
        either(
            f"{shape.name}：{size * 10:.2f} 亿参数，KV 缓存每个词元 {cache:.0f} kB\n"
            "以下是估算，不是测量。",
            f"{shape.name}: {size:.3f} billion weights, KV cache {cache:.0f} kB a token\n"
            "These are estimates, not measurements.",
        )
    )
    zh = ("权重", "占显存", "下载", "同时回答的题数（每题 1,024 词元）")
    en = ("weights", "on the device", "download", "answers at once (1,024 tokens)")
    title = either(
        f"在 {device_gb:g} GB 的设备上服务；下载按 {download_rate()}",
        f"serving on {device_gb:g} GB; download at {download_rate()}",
    )
    serving = Table(*either(zh, en), title=title)
    directory = Path(model) if Path(model).is_dir() else None
    for name, weights, fetched in serving_rows(shape, directory):
        batch = largest_batch(shape, weights, 1024, device_bytes)
        seconds = amount(download_seconds(fetched), "s")
        name = either("现有文件", name) if name == "these files" else name
        serving.add_row(name, amount(weights, "B"), seconds, f"{batch:,}")
    console.print(serving)
    zh = ("方法", "梯度检查点", "GB", "最大的一步，词元")
    en = ("method", "checkpointing", "GB", "largest step, tokens")
    title = either(
        f"训练，每步 {tokens:,} 词元，秩 {rank}", f"training, {tokens:,} tokens a step, rank {rank}"
    )
    training = Table(*either(zh, en), title=title)
    for method in ("qlora", "lora-8bit", "lora", "full"):
        for checkpointing in (False, True):
            total = training_bytes(shape, method, tokens, rank, checkpointing)["total"]
            most = largest_step(shape, method, rank, device_bytes, checkpointing)
            word = either("是", "yes") if checkpointing else either("否", "no")
            training.add_row(method, word, f"{total / 1e9:.1f}", f"{most:,}")
    console.print(training)


def _characters(pair: Pair) -> int:
    """Characters of a row's question, answer, worked examples and earlier turns."""
    turns = (*pair.examples, *pair.history)
    return len(pair.question) + len(pair.answer) + sum(len(u) + len(a) for u, a in turns)


def print_recipe_plan(recipe: Recipe, console: "Console") -> None:
    """What `--dry-run` shows: rows, tokens, steps, memory, and work of one recipe."""
    from train.base import load_tokenizer
    from train.dataset import encode_rows, fitting_rows, load_rows

    rows = load_rows(recipe)
    directory = Path(recipe.model_name_or_path)
    system_prompt = recipe.system_prompt(directory)
    if (directory / "tokenizer.json").is_file():
        encoded = encode_rows(load_tokenizer(directory), rows.train, system_prompt)
        encoded, left_out = fitting_rows(encoded, rows.train, recipe)
        rows.notes.extend(
            either(f"太长，不参加训练：{r}", f"left out (too long): {r}") for r in left_out
        )
        tokens = sum(len(row["input_ids"]) for row in encoded)
        how = either("数出来的", "counted")
    else:
        characters = sum(map(_characters, rows.train))
        around = TEMPLATE_TOKENS + round(len(system_prompt) / PROMPT_CHARACTERS_A_TOKEN)
        tokens = int(characters / measured("chars_per_token")) + around * len(rows.train)
        how = either("估算", "estimated")
    train, dev, calibration = len(rows.train), len(rows.dev), len(rows.calibration)
    console.print(
        either(
            f"训练 {train} 行，验证 {dev} 行，校准 {calibration} 行；训练共 {tokens:,} 词元"
            f"（{how}）",
            f"{train} train, {dev} dev, {calibration} calibration rows; "
            f"{tokens:,} train tokens ({how})",
        )
    )
    for note in rows.notes:
        console.print(note, markup=False, highlight=False, soft_wrap=True)
    mean = tokens / max(1, len(rows.train))
    width = recipe.pack_len if recipe.packing else mean
    step = int(width * recipe.per_device_train_batch_size)
    sequences = tokens / recipe.pack_len if recipe.packing else len(rows.train)
    per_update = recipe.per_device_train_batch_size * recipe.gradient_accumulation_steps
    steps = int(recipe.num_train_epochs * sequences / (per_update * recipe.num_processes)) + 1
    steps = recipe.max_steps if recipe.max_steps > 0 else steps
    size = step * recipe.gradient_accumulation_steps
    console.print(
        either(
            f"约 {steps:,} 次更新，每次 {size:,} 词元",
            f"about {steps:,} updates of {size:,} tokens",
        )
    )
    try:
        shape = read_shape(recipe.model_name_or_path, recipe.hub)
    except ShapeError as error:
        console.print(either(f"显存无法估算：{error}", f"no memory estimate: {error}"))
        return
    method = method_of(recipe)
    parts = training_bytes(shape, method, step, recipe.lora_rank, recipe.gradient_checkpointing)
    for name, part in parts.items():
        label = either(f"{PARTS[name]}：", f"{name}: ")
        console.print(f"  {label}{part / 1e9:.2f} GB", markup=False, highlight=False)
    work = training_flop(shape, method, recipe.gradient_checkpointing)
    work *= tokens * recipe.num_train_epochs
    minutes, rate = work / EXAMPLE_FLOPS / 60, EXAMPLE_FLOPS / 1e12
    console.print(
        either(
            f"{work / 1e15:.3g} PFLOP：按 {rate:g} TFLOP/s 要 {minutes:.1f} 分钟",
            f"{work / 1e15:.3g} PFLOP: {minutes:.1f} minutes at {rate:g} TFLOP/s",
        )
    )
    if here := processor_flops():
        minutes, gflops = work / here / 60, here / 1e9
        console.print(
            either(
                f"在这台机器的处理器上至少 {minutes:.1f} 分钟"
                f"（刚测得：大矩阵乘法 {gflops:.0f} GFLOP/s）",
                f"on this processor at least {minutes:.1f} minutes "
                f"({gflops:.0f} GFLOP/s in one large product, measured now)",
            )
        )


def processor_flops() -> float:
    """float32 FLOP/s of the processor in products of 1024 x 1024 matrices; 0 where a GPU trains."""
    import torch

    if torch.cuda.is_available():
        return 0.0
    a = torch.ones(1024, 1024)
    _ = a @ a  # threads and memory are set up
    done, started = 0, time.perf_counter()
    while (elapsed := time.perf_counter() - started) < 0.5:
        _ = a @ a
        done += 1
    return done * 2 * 1024**3 / elapsed
