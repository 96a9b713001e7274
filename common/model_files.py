"""Can this directory be served? Answered from file names and safetensors headers, in milliseconds.

Ships in the image: download_model.py asks in the build, start-up asks before the engine loads, and
preflight and train/ ask as well. Python's standard library alone, since in the image it is copied
with download_model.py, before anything else of the kit.
"""

import json
import re
from collections.abc import Iterable, Mapping
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

from common.model_content import content_problems
from common.safetensors_header import (
    WRONG_SHAPE,
    ModelFileError,
    Tensor,
    read_header,
    refuse_pointer,
    some_of,
)

SHARD = re.compile(r"(.+)-(\d+)-of-(\d+)\.safetensors")
# Not the model's weights: adapters, and Mistral's own format of the weights beside them.
NOT_WEIGHTS = ("adapter_*", "consolidated*")
# Formats that serving does not load (pickles run code, GGUF has kernels of its own).
OTHER_FORMATS = ("*.bin", "*.pt", "*.pth", "*.ckpt", "*.gguf", "*.h5", "*.msgpack", "*.onnx")
NO_WEIGHTS = ("training_args.bin", "optimizer.*", "scheduler.*", "rng_state*", "scaler.*")
UNFINISHED = (".aria2", ".incomplete", ".part", ".crdownload", ".downloading", ".tmp")
JSON_FILES = (
    *("config.json", "generation_config.json", "tokenizer_config.json", "tokenizer.json"),
    *("vocab.json", "added_tokens.json"),
)
# Embeddings are padded to round sizes, by a few per cent at most.
_LEAST_OF_VOCABULARY = 0.8
_BYTES_ALONE = 1024  # words of a vocabulary without merges: bytes, and some tokens with names
# In the order in which engines prefer them: a directory often holds one model in two formats.
WEIGHTS = (".safetensors", ".bin", ".pt", ".gguf")


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

    Reads names, JSON files, safetensors headers, and some samples of the numbers.
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
            refuse_pointer(directory / name)
            if name in JSON_FILES or name.endswith(".index.json"):
                parsed[name] = _read_object(directory / name)
        except ModelFileError as error:
            problems.append(str(error))
    tensors, faults = _tensors(directory, names, parsed)
    problems += faults
    if names and not tensors and not problems:
        problems.append("the weights hold no tensor: save the model again")
    if tensors and not problems and "config.json" in parsed:
        problems += content_problems(directory, parsed["config.json"], tensors)
    if not problems:
        problems += _vocabulary_problems(parsed)
    if "tokenizer_config.json" in parsed or "tokenizer_config.json" not in names:
        problems += _tokenizer_problems(set(names), parsed.get("tokenizer_config.json", {}))
        problems += _text_problems(directory)
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
            f"{some_of(adapters)} beside full weights: is the adapter part of them? Merge it "
            "(python -m train merge), or leave it out (download_model.py --ignore 'adapter_*')"
        )
    if heads := sorted(name for name in weights if fnmatch(name, "*v*_head*")):
        problems.append(
            f"{some_of(heads)}: a reward model's head, at which vLLM stops: remove it "
            "(or download_model.py --ignore '*v*_head*')"
        )
        weights = [name for name in weights if name not in heads]
    shards: dict[tuple[str, int], set[int]] = {}
    for name in weights:
        if match := SHARD.fullmatch(name):
            shards.setdefault((match[1], int(match[3])), set()).add(int(match[2]))
    whole = [name for name in weights if not SHARD.fullmatch(name)]
    if len(shards) > 1:
        kinds = [f"{stem}-…-of-{total:05}" for stem, total in sorted(shards)]
        problems.append(f"weights of several models: {some_of(kinds)}; remove all but one")
    for (stem, total), numbers in sorted(shards.items()):
        absent = sorted(set(range(1, total + 1)) - numbers)
        if absent:
            lost = [f"{stem}-{number:05}-of-{total:05}.safetensors" for number in absent]
            problems.append(f"{some_of(lost)} missing: {len(numbers)} of {total} parts are there")
    indexed = any(name.endswith(".safetensors.index.json") for name in top)
    if indexed:  # it may name files of any kind; that it leaves out the usual one is a leftover
        whole = [name for name in whole if shards and name == "model.safetensors"]
    if len(whole) > (0 if shards else 1):
        others = [name for name in weights if name not in whole[:1]]
        problems.append(
            f"{whole[0]} beside {some_of(others)}: the same model twice, or two models; remove the "
            "stale one (or download_model.py --ignore NAME)"
        )
    unfinished = sorted(name for name in top if name.endswith(UNFINISHED))
    if unfinished:
        problems.append(f"{some_of(unfinished)}: a download that has not ended; run it again")
    return problems


def is_weight_file(name: str) -> bool:
    """Whether serving takes this file name for weights of the model."""
    return name.endswith(".safetensors") and not any(fnmatch(name, p) for p in NOT_WEIGHTS)


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
        return (
            f"no weights that can be served, only {some_of(other)}: take the model in safetensors"
        )
    if other:
        return (
            f"no weights that can be served, only {some_of(other)}: save them as safetensors "
            "(AutoModelForCausalLM.from_pretrained(DIR).save_pretrained(OUT)), with the tokenizer"
        )
    if adapters:
        return f"no weights but an adapter ({some_of(adapters)}): merge it (python -m train merge)"
    if mistral := sorted(name for name in top if fnmatch(name, "consolidated*")):
        return f"no weights in Transformers' names, only {some_of(mistral)}"
    folders = {n.rpartition("/")[0] for n in names if is_weight_file(n.rpartition("/")[2])}
    folders -= {""}
    if folders:
        return f"no weights at the top; they lie in {some_of(sorted(folders))}: give that directory"
    return "no weights (*.safetensors)"


def _tokenizer_problems(names: set[str], config: Mapping[str, Any]) -> list[str]:
    problems = []
    single = any(name.startswith("tokenizer.") and "/" not in name for name in names)
    if not single and not {"vocab.json", "merges.txt"} <= names:
        problems.append("no tokenizer (tokenizer.json): copy the base model's tokenizer files")
    elif "chat_template.jinja" not in names:  # else it wins
        problems += _template_problems(config.get("chat_template"), "chat_template.json" in names)
    return problems


def _template_problems(template: Any, for_processor: bool) -> list[str]:
    """Of the chat template in tokenizer_config.json: one, or several with names."""
    if not template:
        return [
            "no chat template (chat_template.jinja, or chat_template in tokenizer_config.json): "
            "copy the base model's"
            + (" (chat_template.json is a processor's, no tokenizer reads it)" * for_processor)
        ]
    if isinstance(template, list) and all(isinstance(each, dict) for each in template):
        named = {each.get("name"): each.get("template") for each in template}
        if "default" not in named:
            return [
                f"tokenizer_config.json: of its chat templates ({some_of([*map(str, named)])}) "
                "none is named default: name one so"
            ]
        template = named["default"]
    if not isinstance(template, str) or not template.strip():
        return ["tokenizer_config.json: chat_template is no text: copy the base model's"]
    return []


def _text_problems(directory: Path) -> list[str]:
    """Of template and system prompt: that they are text. Whether Jinja takes a template is told at
    the start."""
    problems = []
    for name, mend in (
        ("chat_template.jinja", "copy the base model's"),
        ("system_prompt.txt", "save it as UTF-8 (请存为 UTF-8)"),
    ):
        try:
            text = (directory / name).read_text(encoding="utf-8")
        except FileNotFoundError:
            continue
        except (OSError, ValueError) as error:
            reason = "is not UTF-8" if isinstance(error, ValueError) else "cannot be read"
            problems.append(f"{name} {reason}: {mend}")
            continue
        if not text.strip() and name.endswith(".jinja"):
            problems.append(f"{name} is empty: {mend}")
    return problems


def _vocabulary_problems(parsed: Mapping[str, Any]) -> list[str]:
    """A tokenizer without words, or with ids that are not the model's; an end never reached."""
    try:
        size = int(parsed["config.json"].get("vocab_size") or 0)
        tokenizer = parsed.get("tokenizer.json", {})
        words = tokenizer.get("model", {}).get("vocab", {})
        if "tokenizer.json" in parsed and not words:
            return ["tokenizer.json: no vocabulary in it (model.vocab): copy the base model's"]
        parts = tokenizer.get("model", {})
        if parts.get("type") == "BPE" and not parts.get("merges") and len(words) > _BYTES_ALONE:
            return ["tokenizer.json: no merges in it (model.merges): copy the base model's"]
        added = [int(each["id"]) for each in tokenizer.get("added_tokens", ())]
        if "tokenizer.json" not in parsed:  # the older files count
            words = parsed.get("vocab.json", {})
            added += map(int, parsed.get("added_tokens.json", {}).values())
        added += map(int, parsed.get("tokenizer_config.json", {}).get("added_tokens_decoder", {}))
        ids = words.values() if isinstance(words, dict) else range(len(words))
        known = {*map(int, ids), *added}
        highest = max(known, default=-1)
        generation = parsed.get("generation_config.json", {})
        ends = generation.get("eos_token_id", parsed["config.json"].get("eos_token_id"))
        ends = [
            int(each) for each in (ends if isinstance(ends, list) else [ends]) if each is not None
        ]
    except WRONG_SHAPE as error:
        return [
            f"tokenizer.json, tokenizer_config.json or generation_config.json: of an unknown form "
            f"({error!r})"
        ]
    problems = []
    if size and highest >= size:
        problems.append(
            f"the tokenizer has ids up to {highest}, the model {size} of them (vocab_size): a "
            "tokenizer of another model, or tokens added without resizing the model"
        )
    elif size and known and highest < _LEAST_OF_VOCABULARY * size:
        problems.append(
            f"the tokenizer has ids up to {highest}, the model {size} of them (vocab_size): a "
            "tokenizer of another model; copy the base model's"
        )
    if size and ends and min(ends) < 0:
        problems.append(
            f"eos_token_id {min(ends)} is no token: take the base model's generation_config.json"
        )
    if size and ends and min(ends) >= size:
        problems.append(f"eos_token_id {ends[0]} is none of the {size} tokens: no answer would end")
    if known and ends and not problems and known.isdisjoint(ends):
        problems.append(
            f"eos_token_id {ends[0]} is no token of the tokenizer: one of another model; copy the "
            "base model's"
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
        whole = isinstance(placed, dict) and all(isinstance(f, str) for f in placed.values())
        if not placed or not whole:
            placed = {}
            problems.append(f"{name}: no weight_map in it")
        absent = sorted(set(placed.values()) - set(files))
        if absent:
            problems.append(f"{name} names {some_of(absent)}, which is not there")
        stale = sorted(set(files) - set(placed.values())) if placed else []
        if stale and not absent:
            problems.append(f"{some_of(stale)} not named in {name}: of another model? Remove it")
    tensors: dict[str, tuple[str, Tensor]] = {}
    for file in files:
        try:
            header = read_header(directory / file)
        except ModelFileError as error:
            problems.append(str(error))
            continue
        twice = sorted(header.keys() & tensors.keys())
        if twice:
            problems.append(f"{some_of(twice)} in {file} and in {tensors[twice[0]][0]}")
        tensors |= {name: (file, tensor) for name, tensor in header.items()}
        astray = sorted(n for n, where in placed.items() if where == file and n not in header)
        if astray:
            problems.append(f"{file} lacks {some_of(astray)}, which its index places there")
    return tensors, problems
