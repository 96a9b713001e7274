"""Can this directory be served? Answered from file names and safetensors headers, in milliseconds.

Ships in the image: download_model.py asks in the build, start-up asks before the engine loads, and
preflight and train/ ask as well. Python's standard library alone, since in the image it is copied
with download_model.py, before anything else of the kit.
"""

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from fnmatch import fnmatch
from math import prod
from pathlib import Path
from typing import Any

LFS_MAGIC = b"version https://git-lfs.github.com/spec/"
SHARD = re.compile(r"(.+)-(\d+)-of-(\d+)\.safetensors")
# Not the model's weights: adapters, and Mistral's own format of the weights beside them.
NOT_WEIGHTS = ("adapter_*", "consolidated*")
# Formats that serving does not load (pickles run code, GGUF has kernels of its own).
OTHER_FORMATS = ("*.bin", "*.pt", "*.pth", "*.ckpt", "*.gguf", "*.h5", "*.msgpack", "*.onnx")
NO_WEIGHTS = ("training_args.bin", "optimizer.*", "scheduler.*", "rng_state*", "scaler.*")
JSON_FILES = ("config.json", "generation_config.json", "tokenizer_config.json", "tokenizer.json")
BITS = {"BOOL": 8, "U8": 8, "I8": 8, "F8_E4M3": 8, "F8_E5M2": 8, "F8_E8M0": 8, "I16": 16, "U16": 16}
BITS |= {"F16": 16, "BF16": 16, "I32": 32, "U32": 32, "F32": 32, "I64": 64, "U64": 64, "F64": 64}
# What reading JSON of another form than expected can raise (Infinity overflows an int).
WRONG_SHAPE = (ValueError, TypeError, KeyError, AttributeError, ArithmeticError, RecursionError)
MOST_LAYERS = 10_000
# In the order in which engines prefer them: a directory often holds one model in two formats.
WEIGHTS = (".safetensors", ".bin", ".pt", ".gguf")
LONGEST_HEADER = 100_000_000  # as in the safetensors library
NAMED = 4  # how many names a message gives before it only counts

# Decoders whose tensors are known by name. Where config.json says nothing, their head is untied.
NORMS = ("input_layernorm", "post_attention_layernorm")
FAMILIES: dict[str, tuple[str, ...]] = {
    "llama": NORMS,
    "mistral": NORMS,
    "qwen2": NORMS,
    "qwen3": (*NORMS, "self_attn.q_norm", "self_attn.k_norm"),
}


class ModelFileError(ValueError):
    """A file that is not what its name says; the message names it and what to do."""


@dataclass(frozen=True)
class Tensor:
    """One entry of a safetensors header; start and end are byte offsets in the file."""

    dtype: str
    shape: tuple[int, ...]
    start: int
    end: int


def file_sizes(directory: Path) -> dict[str, int]:
    """Bytes of each file, by its path relative to the directory."""
    return {
        path.relative_to(directory).as_posix(): path.stat().st_size
        for path in directory.rglob("*")
        if path.is_file()
    }


def weight_bytes(sizes: Mapping[str, int]) -> int:
    """Bytes of the weights among files, of one format only; 0: there are none."""
    for suffix in WEIGHTS:
        found = [size for path, size in sizes.items() if path.endswith(suffix)]
        if found:
            return sum(found)
    return 0


def model_files_problems(directory: Path) -> list[str]:
    """What keeps the directory from being served, one line each; empty when nothing was seen.

    Reads names, JSON files and safetensors headers, and of a second output head some samples;
    numbers inside the weights are not looked at.
    """
    if not directory.is_dir():
        return [f"{directory} is not a directory"]
    found = [path for path in directory.rglob("*") if not path.is_dir()]
    problems = [f"{p.name}: a link to what is not there" for p in found if not p.exists()]
    names = [path.relative_to(directory).as_posix() for path in found if path.exists()]
    problems += layout_problems(names)
    parsed: dict[str, Any] = {}
    for name in sorted(name for name in names if "/" not in name):
        try:
            _refuse_pointer(directory / name)
            if name in JSON_FILES or name.endswith(".index.json"):
                parsed[name] = _read_object(directory / name)
        except ModelFileError as error:
            problems.append(str(error))
    tensors, faults = _tensors(directory, names, parsed)
    problems += faults
    if tensors and not problems and "config.json" in parsed:
        problems += _content_problems(directory, parsed["config.json"], tensors)
    if "tokenizer_config.json" in parsed or "tokenizer_config.json" not in names:
        problems += _tokenizer_problems(set(names), parsed.get("tokenizer_config.json", {}))
    return list(dict.fromkeys(problems))  # a pointer is met twice


def layout_problems(names: Iterable[str]) -> list[str]:
    """What can be told from file names alone (paths in the model directory), before a download."""
    names = set(names)
    top = {name for name in names if "/" not in name}
    weights = sorted(filter(is_weight_file, top))
    if not weights:
        return [_why_no_weights(names)]
    problems = []
    if "config.json" not in top:
        problems.append("no config.json: this is not a Transformers model")
    if adapters := sorted(name for name in top if fnmatch(name, "adapter_*")):
        problems.append(
            f"{_some(adapters)} beside full weights: is the adapter part of them? Merge it "
            "(python -m train merge), or leave it out (download_model.py --ignore 'adapter_*')"
        )
    shards: dict[tuple[str, int], set[int]] = {}
    for name in weights:
        if match := SHARD.fullmatch(name):
            shards.setdefault((match[1], int(match[3])), set()).add(int(match[2]))
    whole = [name for name in weights if not SHARD.fullmatch(name)]
    if len(shards) > 1:
        kinds = [f"{stem}-…-of-{total:05}" for stem, total in sorted(shards)]
        problems.append(f"weights of several models: {_some(kinds)}; remove all but one")
    for (stem, total), numbers in sorted(shards.items()):
        absent = sorted(set(range(1, total + 1)) - numbers)
        if absent:
            lost = [f"{stem}-{number:05}-of-{total:05}.safetensors" for number in absent]
            problems.append(f"{_some(lost)} missing: {len(numbers)} of {total} parts are there")
    indexed = any(name.endswith(".safetensors.index.json") for name in top)
    if indexed:  # it may name files of any kind; that it leaves out the usual one is a leftover
        whole = [name for name in whole if shards and name == "model.safetensors"]
    if len(whole) > (0 if shards else 1):
        others = [name for name in weights if name not in whole[:1]]
        problems.append(
            f"{whole[0]} beside {_some(others)}: the same model twice, or two models; remove the "
            "stale one (or download_model.py --ignore NAME)"
        )
    return problems


def is_weight_file(name: str) -> bool:
    """Whether serving takes this file name for weights of the model."""
    return name.endswith(".safetensors") and not any(fnmatch(name, p) for p in NOT_WEIGHTS)


def read_header(path: Path) -> dict[str, Tensor]:
    """The tensors of a safetensors file, by name, without their data.

    Raises ModelFileError for a file that is cut off, a Git LFS pointer or something else.
    Format: https://github.com/huggingface/safetensors#format
    """
    _refuse_pointer(path)
    try:
        size = path.stat().st_size
        with path.open("rb") as stream:
            head = stream.read(9)
            length = int.from_bytes(head[:8], "little")
            if size == 0:
                raise ModelFileError(f"{path.name} is empty; fetch it again")
            if head[8:] != b"{" or length > LONGEST_HEADER:
                raise ModelFileError(f"{path.name} is no safetensors file: it begins with {head!r}")
            if 8 + length > size:
                raise ModelFileError(f"{path.name} is cut off after {size:,} bytes; fetch it again")
            text = b"{" + stream.read(length - 1)
    except OSError as error:
        raise ModelFileError(f"{path.name} cannot be read: {error.strerror or error}") from error
    try:
        entries = json.loads(text)
        entries.pop("__metadata__", None)
        tensors = {
            name: Tensor(
                entry["dtype"],
                tuple(map(int, entry["shape"])),
                *(8 + length + int(offset) for offset in entry["data_offsets"]),
            )
            for name, entry in entries.items()
        }
    except WRONG_SHAPE as error:
        raise ModelFileError(f"{path.name} is no safetensors file: {error!r}") from error
    _check_extent(path.name, tensors, 8 + length, size)
    return tensors


def _check_extent(name: str, tensors: Mapping[str, Tensor], start: int, size: int) -> None:
    """Raise ModelFileError unless the tensors fill the file from `start` to its end."""
    at = start
    for key, tensor in sorted(tensors.items(), key=lambda item: item[1].start):
        bits = BITS.get(tensor.dtype)
        fits = bits is None or prod(tensor.shape) * bits == (tensor.end - tensor.start) * 8
        if tensor.start != at or not fits:
            raise ModelFileError(f"{name}: its header is damaged at {key}; fetch it again")
        at = tensor.end
    if at > size:
        raise ModelFileError(f"{name} is cut off: {size:,} of {at:,} bytes; fetch it again")
    if at < size:
        raise ModelFileError(f"{name} has {size - at:,} bytes too many; fetch it again")


def _refuse_pointer(path: Path) -> None:
    try:
        with path.open("rb") as stream:
            start = stream.read(200)
    except OSError as error:
        raise ModelFileError(f"{path.name} cannot be read: {error.strerror or error}") from error
    if start.startswith(LFS_MAGIC):
        size = re.search(rb"size (\d+)", start)
        told = f" (the file has {int(size[1]):,} bytes)" if size else ""
        raise ModelFileError(
            f"{path.name} is a Git LFS pointer, not the file{told}: run `git lfs pull` where it "
            "was cloned, or download the model with the hub's own tool"
        )


def _read_object(path: Path) -> dict[str, Any]:
    try:
        read = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise ModelFileError(f"{path.name}: not valid JSON ({error})") from error
    if not isinstance(read, dict):
        raise ModelFileError(f"{path.name}: expected an object, got {type(read).__name__}")
    return read


def _why_no_weights(names: set[str]) -> str:
    top = {name for name in names if "/" not in name}
    other = [n for n in top if any(fnmatch(n, p) for p in OTHER_FORMATS)]
    other = sorted(n for n in other if not any(fnmatch(n, p) for p in (*NOT_WEIGHTS, *NO_WEIGHTS)))
    adapters = sorted(name for name in top if fnmatch(name, "adapter_*"))
    if other and all(name.endswith(".gguf") for name in other):
        return f"no weights that can be served, only {_some(other)}: take the model in safetensors"
    if other:
        return (
            f"no weights that can be served, only {_some(other)}: save them as safetensors "
            "(AutoModelForCausalLM.from_pretrained(DIR).save_pretrained(OUT)), with the tokenizer"
        )
    if adapters:
        return f"no weights but an adapter ({_some(adapters)}): merge it (python -m train merge)"
    if mistral := sorted(name for name in top if fnmatch(name, "consolidated*")):
        return f"no weights in Transformers' names, only {_some(mistral)}"
    folders = {n.rpartition("/")[0] for n in names if is_weight_file(n.rpartition("/")[2])}
    folders -= {""}
    if folders:
        return f"no weights at the top; they lie in {_some(sorted(folders))}: give that directory"
    return "no weights (*.safetensors)"


def _tokenizer_problems(names: set[str], config: Mapping[str, Any]) -> list[str]:
    problems = []
    single = any(name.startswith("tokenizer.") and "/" not in name for name in names)
    if not single and not {"vocab.json", "merges.txt"} <= names:
        problems.append("no tokenizer (tokenizer.json): copy the base model's tokenizer files")
    elif not config.get("chat_template") and not names & {
        "chat_template.jinja",
        "chat_template.json",
    }:
        problems.append(
            "no chat template (chat_template.jinja, or chat_template in tokenizer_config.json): "
            "copy the base model's"
        )
    return problems


def _tensors(
    directory: Path, names: list[str], parsed: Mapping[str, Any]
) -> tuple[dict[str, tuple[str, Tensor]], list[str]]:
    """(file, tensor) by tensor name, of the files that serving loads; and what is wrong there."""
    files = sorted(name for name in names if "/" not in name and is_weight_file(name))
    problems = []
    placed: dict[str, str] = {}
    for name, index in parsed.items():
        if not name.endswith(".safetensors.index.json"):
            continue
        placed = index.get("weight_map")
        if not isinstance(placed, dict) or not all(isinstance(f, str) for f in placed.values()):
            placed = {}
            problems.append(f"{name}: no weight_map in it")
        absent = sorted(set(placed.values()) - set(files))
        if absent:
            problems.append(f"{name} names {_some(absent)}, which is not there")
        stale = sorted(set(files) - set(placed.values())) if placed else []
        if stale and not absent:
            problems.append(f"{_some(stale)} not named in {name}: of another model? Remove it")
    tensors: dict[str, tuple[str, Tensor]] = {}
    for file in files:
        try:
            header = read_header(directory / file)
        except ModelFileError as error:
            problems.append(str(error))
            continue
        twice = sorted(header.keys() & tensors.keys())
        if twice:
            problems.append(f"{_some(twice)} in {file} and in {tensors[twice[0]][0]}")
        tensors |= {name: (file, tensor) for name, tensor in header.items()}
        astray = sorted(n for n, where in placed.items() if where == file and n not in header)
        if astray:
            problems.append(f"{file} lacks {_some(astray)}, which its index places there")
    return tensors, problems


def _content_problems(
    directory: Path, config: Mapping[str, Any], tensors: Mapping[str, tuple[str, Tensor]]
) -> list[str]:
    """Whether the weights are those that config.json describes."""
    family = FAMILIES.get(str(config.get("model_type")))
    problems = []
    try:
        layers = int(config.get("num_hidden_layers") or 0)
        if layers > MOST_LAYERS:
            raise ValueError(f"num_hidden_layers={layers}")
        shapes = _shapes(config, family) if family else {}
    except WRONG_SHAPE as error:
        return [
            f"config.json: not the dimensions of a {config.get('model_type')} model ({error!r})"
        ]
    there = {int(m[1]) for name in tensors if (m := re.match(r"model\.layers\.(\d+)\.", name))}
    absent = sorted(set(range(layers)) - there)
    if there and absent:
        lost = _some([str(layer) for layer in absent])
        problems.append(f"no weights for {len(absent)} of {layers} layers ({lost})")
    else:
        problems += _shape_problems(shapes, config, tensors)
    tied = config.get("tie_word_embeddings")
    if tied is None and family:
        tied = False
    head, embedding = tensors.get("lm_head.weight"), tensors.get("model.embed_tokens.weight")
    if tied is False and embedding and not any(name.startswith("lm_head.") for name in tensors):
        problems.append(
            "config.json says tie_word_embeddings=false, and the weights have no lm_head.weight: "
            "set it to true if the base model is tied, else the head is lost"
        )
    if tied and head and embedding and _differ(directory, head, embedding):
        problems.append(
            "config.json says tie_word_embeddings=true, and the weights have an lm_head.weight of "
            "their own, which would be ignored: set it to false"
        )
    return problems


def _shapes(config: Mapping[str, Any], family: tuple[str, ...]) -> dict[str, tuple[int, ...]]:
    """Every tensor that an unquantized decoder of the family must have, with its shape."""
    hidden, inner = int(config["hidden_size"]), int(config["intermediate_size"])
    heads = int(config["num_attention_heads"])
    head = int(config.get("head_dim") or hidden // heads)
    queries, keys = heads * head, int(config.get("num_key_value_heads") or heads) * head
    block = {
        "self_attn.q_proj.weight": (queries, hidden),
        "self_attn.k_proj.weight": (keys, hidden),
        "self_attn.v_proj.weight": (keys, hidden),
        "self_attn.o_proj.weight": (hidden, queries),
        "mlp.gate_proj.weight": (inner, hidden),
        "mlp.up_proj.weight": (inner, hidden),
        "mlp.down_proj.weight": (hidden, inner),
        **{f"{name}.weight": (head if "attn." in name else hidden,) for name in family},
    }
    if config["model_type"] == "qwen2":
        block |= {f"self_attn.{n}_proj.bias": (queries if n == "q" else keys,) for n in "qkv"}
    layers = range(int(config["num_hidden_layers"]))
    shapes = {f"model.layers.{layer}.{n}": shape for layer in layers for n, shape in block.items()}
    shapes["model.embed_tokens.weight"] = (int(config["vocab_size"]), hidden)
    return shapes | {"model.norm.weight": (hidden,)}


def _shape_problems(
    shapes: Mapping[str, tuple[int, ...]],
    config: Mapping[str, Any],
    tensors: Mapping[str, tuple[str, Tensor]],
) -> list[str]:
    """Tensors that are missing or of another shape. Of quantized layers, whose tensors have other
    names (qweight, weight_packed, …), only that there is something."""
    modules = {name.rpartition(".")[0] for name in tensors}
    quantized = bool(config.get("quantization_config"))
    lost = [
        name
        for name in shapes
        if name not in tensors and not (quantized and name.rpartition(".")[0] in modules)
    ]
    if lost:
        strange = sorted(name for name in tensors if name not in shapes)
        told = f"; it has {_some(strange)} instead" if strange else ""
        if not quantized and any(name.endswith(("qweight", "weight_packed")) for name in strange):
            told += " (quantized weights, and no quantization_config in config.json)"
        return [f"the weights lack {_some(lost)}{told}"]
    if quantized:
        return []
    other = [name for name, shape in shapes.items() if tensors[name][1].shape != shape]
    if not other:
        return []
    found, told = list(tensors[other[0]][1].shape), list(shapes[other[0]])
    more = f" (and {len(other) - 1} more tensors)" if len(other) > 1 else ""
    return [f"{other[0]} has shape {found}, by config.json it is {told}{more}: of another model?"]


def _differ(directory: Path, one: tuple[str, Tensor], other: tuple[str, Tensor]) -> bool:
    """Whether two tensors differ, by 4096 samples of 4 KiB spread over them (all, if smaller)."""
    a, b = one[1], other[1]
    if (a.dtype, a.shape) != (b.dtype, b.shape):
        return True
    length, window = a.end - a.start, 4096
    step = max(window, length // 4096)
    with (directory / one[0]).open("rb") as left, (directory / other[0]).open("rb") as right:
        for at in range(0, length, step):
            count = min(window, length - at)
            left.seek(a.start + at)
            right.seek(b.start + at)
            if left.read(count) != right.read(count):
                return True
    return False


def _some(names: list[str]) -> str:
    more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
    return " ".join(", ".join(names[:NAMED]).split()) + more  # a name may hold line feeds
