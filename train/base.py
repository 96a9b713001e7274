"""Base models: fetched or made when missing, checked against their tokenizer, saved for serving."""

import hashlib
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

from common.language import BilingualError, either
from common.model_files import model_files_problems
from common.prompting import write_system_prompt
from common.safetensors_header import read_header
from train import packed_attention
from train.recipe import Recipe

# What a fine-tuned model takes from its base byte for byte. A newer Transformers would save them
# with field names that 4.55 in the judge's image cannot read: without `rope_theta` it takes its own
# default and answers nonsense without an error.
COPIED = (
    "config.json",
    "generation_config.json",
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "vocab.json",
    "merges.txt",
    "chat_template.jinja",
)
FINGERPRINT_BYTES = 64  # of each tensor
# Where this kit puts models; no hub has an owner of such a name.
LOCAL_FOLDERS = ("out", "model", "models")


class ModelError(BilingualError, ValueError):
    """A base model that cannot be used; the message says what to change."""


def fetch_base(recipe: Recipe, quiet: bool = False) -> Path:
    """The directory of the recipe's base model, downloaded or made (`quiet`: silently) if need be.

    Raises ModelError for one that cannot be trained and merged.
    """
    path = Path(recipe.model_name_or_path)
    if (path / "config.json").is_file():
        return check_base(path)
    if recipe.demo_base_steps is not None:
        command = [sys.executable, "-m", "train.demo", "--out", str(path)]
        command += ["--steps", str(recipe.demo_base_steps)]
        command += ["--pairs", str(_written_train_rows(recipe))]
        made = subprocess.run(command, capture_output=quiet, text=True)
        if made.returncode:
            why = made.stderr if quiet else either("原因见上", "its message is above")
            raise ModelError(
                f"python -m train.demo 没有做出 {path}：{why}",
                f"python -m train.demo could not make {path}: {why}",
            )
        return path
    return check_base(from_hub(recipe.model_name_or_path, recipe.hub))


def base_directory(recipe: Recipe) -> Path | None:
    """The base where it is on this machine, checked; None: still to be fetched or made.

    Raises ModelError for a directory that is none or whose files are broken.
    """
    path = Path(recipe.model_name_or_path)
    if (path / "config.json").is_file():
        return check_base(path)
    if recipe.demo_base_steps is None:
        need_hub_id(recipe.model_name_or_path)
    return None


def need_hub_id(name: str) -> None:
    """Raise ModelError for what is no OWNER/NAME of a hub, but a path without a model."""
    path = Path(name)
    if path.is_dir():
        why = either(
            "里面没有 config.json，不是模型目录", "no config.json in it: no model directory"
        )
        if (path / "adapter_config.json").is_file():
            why = either(
                "是一个适配器，不是模型：先 train merge 并进它的基座",
                "an adapter, not a model: merge it into its base first (train merge)",
            )
        elif any(path.glob("*.gguf")):
            why = either(
                "里面是 GGUF，不能训练；请用原来的 safetensors 模型",
                "holds GGUF, which cannot be trained; take the original safetensors model",
            )
        raise ModelError(f"model_name_or_path={name}: {why}")
    local = name.startswith((".", "/", "~")) or name.split("/")[0] in LOCAL_FOLDERS
    if local or path.exists() or name.count("/") != 1:
        raise ModelError(
            f"model_name_or_path={name}：没有这个目录，也不是模型名（用户名/模型名）",
            f"model_name_or_path={name}: no such directory, and no hub id (owner/name)",
        )


def from_hub(name: str, hub: str) -> Path:
    """The directory of a model fetched from "modelscope" or "hf".

    Raises ModelError for what is no hub id, and where the hub gives no such model.
    """
    need_hub_id(name)
    if hub == "hf":
        from huggingface_hub import snapshot_download
        from huggingface_hub.errors import HfHubHTTPError as HubError
    else:
        from modelscope import snapshot_download
        from modelscope_hub.errors import HubError
    try:
        return Path(snapshot_download(name))
    except (HubError, OSError) as error:  # OSError: no network, a full disk
        why = (str(error) or repr(error)).splitlines()[0][:120]
        other = "modelscope" if hub == "hf" else "hf"
        raise ModelError(
            f"model_name_or_path={name}：从 {hub} 取不下来（{why}）。查名字和网络；"
            f"模型在另一处就加 hub={other}；已经在本机就给目录：model_name_or_path=模型目录",
            f"model_name_or_path={name}: cannot be fetched from {hub} ({why}). Look at the "
            f"name and the network; if the model is elsewhere add hub={other}; if it is on "
            "this machine give its directory: model_name_or_path=DIR",
        ) from error


def check_base(base: Path) -> Path:
    """The base itself. Raises ModelError when its files are broken or its weights quantized."""
    if problems := model_files_problems(base):
        raise ModelError(f"{base}: {'; '.join(problems)}")
    config = json.loads((base / "config.json").read_text(encoding="utf-8"))
    if quantization := config.get("quantization_config"):
        method = quantization.get("quant_method", "some method")
        raise ModelError(
            f"{base}：权重已经量化过（{method}），不能在上面训练适配器；请用未量化的基座"
            "（QLoRA 会自己量化：quantization_bit）",
            f"{base}: its weights are quantized ({method}), and an adapter cannot be added to "
            "those; give the unquantized base (QLoRA quantizes it itself: quantization_bit)",
        )
    return base


def _written_train_rows(recipe: Recipe) -> Path:
    """The train rows alone as a file: a base that saw the dev questions would make them easy."""
    from train.dataset import load_rows

    path = recipe.output_dir / "base_pairs.jsonl"
    path.parent.mkdir(parents=True, exist_ok=True)
    single = [row for row in load_rows(recipe).train if not row.history]  # what the demo learns
    rows = [{"question": row.question, "answer": row.answer} for row in single]
    lines = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
    path.write_text(lines, encoding="utf-8")
    return path


def load_tokenizer(directory: Path) -> Any:
    """The tokenizer, checked: it has a chat template, and no id beyond the model's vocabulary."""
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(directory)
    size = json.loads((directory / "config.json").read_text(encoding="utf-8"))["vocab_size"]
    largest = max(tokenizer.get_vocab().values())
    if largest >= size:
        raise ModelError(
            f"{directory}：分词器的编号到 {largest}，模型的词表只有 {size}：两者不是一套",
            f"{directory}: the tokenizer has ids up to {largest}, the model a vocabulary of "
            f"{size}: they do not belong together",
        )
    if not tokenizer.chat_template:
        raise ModelError(
            f"{directory}：分词器没有对话模板（chat_template）；请用 Instruct 或 Chat 模型",
            f"{directory}: the tokenizer has no chat template",
        )
    return tokenizer


def load_model(directory: Path, recipe: Recipe) -> Any:
    """The base model for training.

    A base that stays frozen under adapters is in bfloat16 where training computes in it (on a GPU,
    or with bf16=true), or quantized as asked. Weights that train are always float32: a bfloat16
    weight of 1 does not notice an update below 0.004; autocast then computes in bfloat16.
    """
    import torch
    from transformers import AutoModelForCausalLM

    without_cudnn_attention()
    cuda = torch.cuda.is_available()
    attention = recipe.attn_implementation
    if attention == "auto":
        usable = recipe.bf16 is not False and packed_attention.available()
        attention = packed_attention.NAME if usable else "sdpa"
    if attention == packed_attention.NAME:
        packed_attention.register()
    options: dict[str, Any] = {"attn_implementation": attention}
    if recipe.quantization_bit:
        options["quantization_config"] = quantization_config(recipe.quantization_bit)
    if cuda and recipe.num_processes == 1:
        options["device_map"] = {"": 0}
    bf16 = cuda if recipe.bf16 is None else recipe.bf16
    frozen = recipe.finetuning_type == "lora"
    dtype = torch.bfloat16 if frozen and bf16 else torch.float32
    return AutoModelForCausalLM.from_pretrained(directory, dtype=dtype, **options)


def without_cudnn_attention() -> None:
    """Keep this process's `sdpa` off cuDNN's kernel; torch takes one of its others.

    From torch 2.11 it is the first choice on Hopper, and its backward gives NaN for padded batches
    of some lengths (pytorch issue 196678, found with Qwen2.5-0.5B and DPO: a mask, a length that
    leaves 64 when divided by 128, and a row of attention scores that are all below -88.7).
    """
    import torch

    torch.backends.cuda.enable_cudnn_sdp(False)


def quantization_config(bits: int) -> Any:
    """bitsandbytes: 8 bit, or 4-bit NF4 with double quantization (QLoRA, arXiv:2305.14314)."""
    import torch
    from transformers import BitsAndBytesConfig

    if bits == 8:
        return BitsAndBytesConfig(load_in_8bit=True)
    return BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type="nf4",
        bnb_4bit_use_double_quant=True,
        bnb_4bit_compute_dtype=torch.bfloat16,
    )


def take_base(base: Path, out: Path, system_prompt: str) -> None:
    """The base itself as the model to serve, where training brought nothing: linked or copied."""
    out.mkdir(parents=True, exist_ok=True)
    for path in out.glob("*.safetensors*"):
        path.unlink()
    for path in base.glob("*.safetensors*"):
        source = path.resolve()  # a hub's cache holds links
        try:
            os.link(source, out / path.name)
        except OSError:  # another file system
            shutil.copyfile(source, out / path.name)
    copy_base_files(base, out, system_prompt)


def copy_base_files(base: Path, out: Path, system_prompt: str) -> None:
    """Configuration, tokenizer and template of the base, and the system prompt trained with."""
    for name in COPIED:
        if (base / name).is_file():
            shutil.copyfile(base / name, out / name)
    write_system_prompt(out, system_prompt)


def save_full(
    model: Any, base: Path, out: Path, system_prompt: str, shard_gb: float, state: Any = None
) -> None:
    """Write full weights as sharded safetensors in the base's own data type, and its files.

    state: the weights by name, where `model` itself holds only a part of them (FSDP, DeepSpeed).
    """
    from transformers import AutoConfig

    dtype = stored_dtype(base)
    out.mkdir(parents=True, exist_ok=True)
    for path in out.glob("*.safetensors*"):  # Transformers would leave an index of earlier shards
        path.unlink()
    if state is None:
        model = model.to(dtype)
    else:
        state = {name: tensor.to(dtype) for name, tensor in state.items()}
    model.save_pretrained(out, state_dict=state, max_shard_size=f"{int(shard_gb * 1000)}MB")
    for path in out.glob("*.safetensors"):
        path.chmod(0o644)
    copy_base_files(base, out, system_prompt)
    if AutoConfig.from_pretrained(base).tie_word_embeddings != model.config.tie_word_embeddings:
        path = out / "config.json"
        config = json.loads(path.read_text(encoding="utf-8"))
        config["tie_word_embeddings"] = model.config.tie_word_embeddings
        path.write_text(json.dumps(config, ensure_ascii=False, indent=2) + "\n", encoding="utf-8")


def stored_dtype(base: Path) -> Any:
    """The data type that a model's weights are stored in, by its config.json."""
    import torch

    config = json.loads((base / "config.json").read_text(encoding="utf-8"))
    return getattr(torch, config.get("torch_dtype") or config.get("dtype") or "bfloat16")


def need_disk(directory: Path, bytes_needed: float, what: str) -> None:
    """Raise ModelError when `directory` has less free space than `what` needs."""
    directory.mkdir(parents=True, exist_ok=True)
    free = shutil.disk_usage(directory).free
    if free < bytes_needed:
        raise ModelError(
            f"{directory}：{what}大约要 {bytes_needed / 1e9:.1f} GB，只剩 {free / 1e9:.1f} GB；"
            "请腾出空间，或把 output_dir 设到别处",
            f"{directory}: {what} needs about {bytes_needed / 1e9:.1f} GB, "
            f"{free / 1e9:.1f} GB are free; free some or set output_dir elsewhere",
        )


def fingerprint(directory: Path) -> str:
    """A hash over a sample of every tensor, in a second: of other weights in the same shapes it is
    another. Raises ModelFileError for a damaged file."""
    digest = hashlib.sha256()
    placed = {
        name: (path, tensor)
        for path in directory.glob("*.safetensors")
        for name, tensor in read_header(path).items()
    }
    for name, (path, tensor) in sorted(placed.items()):  # however they are cut into files
        with path.open("rb") as stream:
            stream.seek((tensor.start + tensor.end) // 2)
            sample = stream.read(min(FINGERPRINT_BYTES, tensor.end - stream.tell()))
        digest.update(f"{name} {tensor.dtype} {tensor.shape}".encode() + sample)
    return digest.hexdigest()


def weight_bytes(directory: Path) -> int:
    """Bytes of all safetensors files of a model directory."""
    return sum(path.stat().st_size for path in directory.glob("*.safetensors"))
