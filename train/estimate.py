"""Memory and time of serving and training a model, by formulas, each with its source.

Bytes are decimal (GB = 10⁹). What is estimated is what torch allocates at its peak
(`torch.cuda.max_memory_allocated`); the driver's own share, about 0.5 to 1 GB, comes on top.
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from common.pairs import Pair
from train.base import ModelError
from train.recipe import Recipe

NETWORK_BITS = 100e6  # the judge's build, bits a second
SERVING_SHARE = 0.9  # vLLM's gpu_memory_utilization by default
TEMPLATE_TOKENS = 18  # of Qwen3's chat template around system prompt, question and answer
PROMPT_CHARACTERS_A_TOKEN = 1.55  # the built-in system prompt: 79 characters, 51 tokens of Qwen3
CHARACTERS_A_TOKEN = 1.96  # Qwen's tokenizer on a Chinese textbook's answers (design.md)
LOSS_TILE = (4096, 32768)  # tokens x vocabulary whose logits TRL 1.16's loss holds at once
GROUP = 128


@dataclass(frozen=True)
class Shape:
    """What the formulas need of a config.json (Qwen2, Qwen2.5, Qwen3, Llama)."""

    name: str
    hidden: int
    layers: int
    heads: int
    kv_heads: int
    head_dim: int
    intermediate: int
    vocab: int
    tied: bool
    qk_norm: bool
    qkv_bias: bool

    @property
    def linears(self) -> list[tuple[int, int]]:
        """(in, out) of each linear module of one layer, in order q k v o gate up down."""
        h, f, q, k = self.hidden, self.intermediate, self.q_width, self.kv_width
        return [(h, q), (h, k), (h, k), (q, h), (h, f), (h, f), (f, h)]

    @property
    def q_width(self) -> int:
        """Width of all query heads together."""
        return self.heads * self.head_dim

    @property
    def kv_width(self) -> int:
        """Width of all key heads (or value heads) together."""
        return self.kv_heads * self.head_dim

    @property
    def linear_parameters(self) -> int:
        """Weights of all linear modules in all layers: what gets LoRA and what is quantized."""
        return self.layers * sum(i * o for i, o in self.linears)

    @property
    def parameters(self) -> int:
        """All weights, counted from the architecture (Transformers' Qwen2/Qwen3 modules)."""
        norms = 2 * self.hidden + (2 * self.head_dim if self.qk_norm else 0)
        biases = self.q_width + 2 * self.kv_width if self.qkv_bias else 0
        embeddings = self.vocab * self.hidden * (1 if self.tied else 2)
        layers = self.linear_parameters + self.layers * (norms + biases)
        return embeddings + layers + self.hidden


def shape_of(model: str) -> Shape:
    """The shape of a model directory, a config.json, or a ModelScope id (fetches config.json)."""
    path = Path(model)
    path = path / "config.json" if path.is_dir() else path
    if not path.is_file():
        if model.count("/") != 1:
            raise ModelError(f"{model}: no model directory, no config.json and no hub id")
        path = _fetched_config(model)
    c = json.loads(path.read_text(encoding="utf-8"))
    try:
        heads = c["num_attention_heads"]
        return Shape(
            name=model,
            hidden=c["hidden_size"],
            layers=c["num_hidden_layers"],
            heads=heads,
            kv_heads=c.get("num_key_value_heads", heads),
            head_dim=c.get("head_dim") or c["hidden_size"] // heads,
            intermediate=c["intermediate_size"],
            vocab=c["vocab_size"],
            tied=c.get("tie_word_embeddings", False),
            qk_norm=c.get("model_type") == "qwen3",
            qkv_bias=c.get("model_type") == "qwen2",
        )
    except KeyError as error:
        raise ModelError(f"{path}: no {error} in it; only dense decoder models are known") from None


def _fetched_config(model: str) -> Path:
    """config.json of a ModelScope id. Raises ModelError when it cannot be had."""
    from modelscope import model_file_download
    from modelscope_hub.errors import HubError

    try:
        return Path(model_file_download(model_id=model, file_path="config.json"))
    except (HubError, OSError) as error:
        raise ModelError(f"{model}: its config.json cannot be fetched ({error})") from error


def weight_bytes(shape: Shape, form: str) -> float:
    """Bytes of the weights in `bf16`, `fp32`, `int8` (or fp8), `w4` (AWQ, GPTQ) or `nf4`.

    w4: 4 bits, and a 16-bit scale and a 4-bit zero point for each group of 128 (Lin et al. 2023,
    arXiv:2306.00978, and AutoAWQ's layout). nf4: 4 bits and 0.127 bits of doubly quantized scales
    (Dettmers et al. 2023, arXiv:2305.14314, section 3). Only linear modules shrink; embeddings,
    norms and lm_head stay in 16 bits.
    """
    if form == "fp32":
        return 4.0 * shape.parameters
    bits = {"bf16": 16, "int8": 8, "w4": 4 + (16 + 4) / GROUP, "nf4": 4.127}[form]
    return shape.linear_parameters * bits / 8 + 2.0 * (shape.parameters - shape.linear_parameters)


def kv_bytes(shape: Shape, bits: int = 16) -> float:
    """Bytes of KV cache a token: key and value, each layer (Pope et al. 2022, arXiv:2211.05102)."""
    return 2 * shape.layers * shape.kv_width * bits / 8


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
    shape: Shape, method: str, tokens: int, rank: int = 32, checkpointing: bool = False
) -> dict[str, float]:
    """Peak bytes of one training process by part; method `lora`, `qlora`, `lora-8bit` or `full`.

    Trained weights cost 16 bytes: float32 weight, gradient and two Adam moments (Rajbhandari et
    al. 2019, arXiv:1910.02054, section 3.1, with float32 gradients). QLoRA's adapters are in
    bfloat16 in TRL, so 8 bytes. The loss holds a tile of the logits only, 2 bytes each.
    """
    form = {"lora": "bf16", "qlora": "nf4", "lora-8bit": "int8", "full": "fp32"}[method]
    trained = shape.parameters if method == "full" else lora_parameters(shape, rank)
    state = {"full": 12.0, "lora": 16.0}.get(method, 8.0)
    parts = {
        "weights": weight_bytes(shape, form),
        "gradients and Adam": state * trained,
        "activations": activation_bytes(shape, tokens, checkpointing),
        "logits": 2.0 * min(tokens, LOSS_TILE[0]) * min(shape.vocab, LOSS_TILE[1]),
    }
    return {**parts, "total": sum(parts.values())}


def training_flop(shape: Shape, method: str, checkpointing: bool = False) -> float:
    """FLOP a trained token: 2 per weight forward, 2 for the backward of activations, and 2 for
    that of weights in full training (Kaplan et al. 2020, arXiv:2001.08361, section 2.1);
    checkpointing repeats the forward. Embedding look-ups cost nothing, lm_head is a product.
    """
    weights = shape.linear_parameters + shape.vocab * shape.hidden
    return weights * ((6 if method == "full" else 4) + (2 if checkpointing else 0))


def largest_step(
    shape: Shape, method: str, rank: int, device_bytes: float, checkpointing: bool
) -> int:
    """Tokens of the largest training step that fits a device (0: none)."""
    fixed = training_bytes(shape, method, 0, rank, checkpointing)["total"]
    each = activation_bytes(shape, 1, checkpointing)
    return max(0, int((device_bytes * 0.95 - fixed) / each))


def largest_batch(shape: Shape, form: str, context: int, device_bytes: float) -> int:
    """Answers of `context` tokens that vLLM can hold at once (0: the weights alone do not fit)."""
    free = device_bytes * SERVING_SHARE - weight_bytes(shape, form)
    return max(0, int(free / (kv_bytes(shape) * context)))


def method_of(recipe: Recipe) -> str:
    """The recipe's method in this module's words."""
    if recipe.finetuning_type == "full":
        return "full"
    return {4: "qlora", 8: "lora-8bit", None: "lora"}[recipe.quantization_bit]


def print_plan(shape: Shape, device_gb: float, tokens: int, rank: int, console: Any) -> None:
    """Tables of serving and training a shape on one device."""
    from rich.table import Table

    device = device_gb * 1e9
    size, cache = shape.parameters / 1e9, kv_bytes(shape) / 1e3
    console.print(f"{shape.name}: {size:.3f} billion weights, KV cache {cache:.0f} kB a token")
    console.print("These are estimates, not measurements.")
    serving = Table(title=f"serving on {device_gb:g} GB")
    for column in ("weights", "GB", "download at 100 Mbps, s", "answers at once (1,024 tokens)"):
        serving.add_column(column)
    for form in ("bf16", "int8", "w4"):
        size = weight_bytes(shape, form)
        batch = largest_batch(shape, form, 1024, device)
        serving.add_row(form, f"{size / 1e9:.2f}", f"{size * 8 / NETWORK_BITS:.0f}", f"{batch:,}")
    console.print(serving)
    training = Table(title=f"training, {tokens:,} tokens a step, rank {rank}")
    for column in ("method", "checkpointing", "GB", "largest step, tokens"):
        training.add_column(column)
    for method in ("qlora", "lora-8bit", "lora", "full"):
        for checkpointing in (False, True):
            total = training_bytes(shape, method, tokens, rank, checkpointing)["total"]
            most = largest_step(shape, method, rank, device, checkpointing)
            word = "yes" if checkpointing else "no"
            training.add_row(method, word, f"{total / 1e9:.1f}", f"{most:,}")
    console.print(training)


def _characters(pair: Pair) -> int:
    """Characters of a row's question, answer and earlier turns."""
    return len(pair.question) + len(pair.answer) + sum(len(u) + len(a) for u, a in pair.history)


def print_recipe_plan(recipe: Recipe, console: Any) -> None:
    """What `--dry-run` shows: rows, tokens, steps, memory, and work of one recipe."""
    from train.base import load_tokenizer
    from train.dataset import encode_rows, load_rows

    rows = load_rows(recipe)
    directory = Path(recipe.model_name_or_path)
    system_prompt = recipe.system_prompt(directory)
    if (directory / "tokenizer.json").is_file():
        encoded = encode_rows(load_tokenizer(directory), rows.train, system_prompt)
        tokens, how = sum(len(row["input_ids"]) for row in encoded), "counted"
    else:
        characters = sum(map(_characters, rows.train))
        around = TEMPLATE_TOKENS + round(len(system_prompt) / PROMPT_CHARACTERS_A_TOKEN)
        tokens, how = int(characters / CHARACTERS_A_TOKEN) + around * len(rows.train), "estimated"
    console.print(f"{len(rows.train)} train, {len(rows.dev)} dev, {len(rows.calibration)} "
                  f"calibration rows; {tokens:,} train tokens ({how})")  # fmt: skip
    for note in rows.notes:
        console.print(note, markup=False, highlight=False, soft_wrap=True)
    mean = tokens / max(1, len(rows.train))
    width = recipe.pack_len if recipe.packing else mean
    step = int(width * recipe.per_device_train_batch_size)
    sequences = tokens / recipe.pack_len if recipe.packing else len(rows.train)
    per_update = recipe.per_device_train_batch_size * recipe.gradient_accumulation_steps
    steps = int(recipe.num_train_epochs * sequences / (per_update * recipe.num_processes)) + 1
    steps = recipe.max_steps if recipe.max_steps > 0 else steps
    console.print(
        f"about {steps:,} updates of {step * recipe.gradient_accumulation_steps:,} tokens"
    )
    try:
        shape = shape_of(recipe.model_name_or_path)
    except ModelError as error:
        console.print(f"no memory estimate: {error}")
        return
    method = method_of(recipe)
    parts = training_bytes(shape, method, step, recipe.lora_rank, recipe.gradient_checkpointing)
    for name, size in parts.items():
        console.print(f"  {name}: {size / 1e9:.2f} GB")
    work = training_flop(shape, method, recipe.gradient_checkpointing)
    work *= tokens * recipe.num_train_epochs
    console.print(f"{work / 1e15:.3g} PFLOP: {work / 300e12 / 60:.1f} minutes at 300 TFLOP/s")
