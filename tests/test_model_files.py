"""Directories that cannot be served are told by their files: each kind that users have brought."""

import json
import os
import re
from pathlib import Path

import pytest

from common.model_content import old_reader_problems
from common.model_files import layout_problems, model_files_problems
from common.safetensors_header import read_header
from preflight.checkout import Checkout
from preflight.model import chosen_model
from serving import startup
from serving.engine.base import ModelError
from serving.settings import Settings
from tests.model_dirs import CONFIG, lfs_pointer, shapes_of, write_model, write_safetensors

PARTS = [f"model-0000{n}-of-00003.safetensors" for n in (1, 2, 3)]


def change(path: Path, **fields) -> None:
    path.write_text(json.dumps({**json.loads(path.read_text()), **fields}))


def renamed(old: str, new: str):
    def act(model: Path) -> None:
        shapes = {k.replace(old, new, 1): v for k, v in shapes_of(CONFIG).items()}
        write_safetensors(model / "model.safetensors", shapes)

    return act


def cut(name: str, keep: float):
    def act(model: Path) -> None:
        data = (model / name).read_bytes()
        (model / name).write_bytes(data[: int(len(data) * keep)])

    return act


def without(*lost: str):
    def act(model: Path) -> None:
        shapes = {k: v for k, v in shapes_of(CONFIG).items() if not any(x in k for x in lost)}
        write_safetensors(model / "model.safetensors", shapes)

    return act


def with_more(shapes: dict):
    def act(model: Path) -> None:
        write_safetensors(model / "model.safetensors", {**shapes_of(CONFIG), **shapes})

    return act


def filled(value: bytes, only: str = ""):
    """All weights, or one of them, made of one 16-bit number."""

    def act(model: Path) -> None:
        path = model / "model.safetensors"
        data = bytearray(path.read_bytes())
        for name, tensor in read_header(path).items():
            if name == only or not only:
                data[tensor.start : tensor.end] = value * ((tensor.end - tensor.start) // 2)
        path.write_bytes(data)

    return act


def only(name: str):
    def act(model: Path) -> None:
        (model / "model.safetensors").unlink()
        (model / name).parent.mkdir(exist_ok=True)
        (model / name).write_bytes(b"weights")

    return act


def adapter_beside_bin(model: Path) -> None:
    only("pytorch_model.bin")(model)
    write_safetensors(model / "adapter_model.safetensors", {"a.lora_A.weight": [8, 64]})


def quantized_without_config(model: Path) -> None:
    shapes = {k.replace("proj.weight", "proj.qweight"): v for k, v in shapes_of(CONFIG).items()}
    write_safetensors(model / "model.safetensors", shapes)


def own_head_in_a_tied_model(model: Path) -> None:
    shapes = {**shapes_of(CONFIG), "lm_head.weight": [300, 64]}
    write_safetensors(model / "model.safetensors", shapes)


def only_nan(model: Path) -> None:
    """An untied head all of NaN, as float16 training leaves it."""
    path = model / "model.safetensors"
    change(model / "config.json", tie_word_embeddings=False)
    write_safetensors(path, {**shapes_of(CONFIG), "lm_head.weight": [300, 64]})
    head = read_header(path)["lm_head.weight"]
    with path.open("r+b") as stream:
        stream.seek(head.start)
        stream.write(b"\xc0\x7f" * ((head.end - head.start) // 2))


def writing(name: str, data: bytes):
    def act(model: Path) -> None:
        (model / name).write_bytes(data)

    return act


def configured(**fields):
    return lambda model: change(model / "config.json", **fields)


def words_of(count: int, **more):
    vocabulary = {f"w{number}": number for number in range(count)}
    return lambda model: change(model / "tokenizer.json", model={"vocab": vocabulary, **more})


def both(*acts):
    def act(model: Path) -> None:
        for each in acts:
            each(model)

    return act


def in_dtype(dtype: str, size: int):
    def act(model: Path) -> None:
        write_safetensors(model / "model.safetensors", shapes_of(CONFIG), dtype, size)

    return act


def legacy_tokenizer(model: Path) -> None:
    (model / "tokenizer.json").unlink()
    (model / "vocab.json").write_text(json.dumps({f"w{n}": n for n in range(290)}))
    (model / "merges.txt").write_text("#version: 0.2\n")
    (model / "added_tokens.json").write_text('{"<|end|>": 300}')


def processors_template(model: Path) -> None:
    (model / "tokenizer_config.json").write_text("{}")
    (model / "chat_template.json").write_text('{"chat_template": "{{ messages }}"}')


def link_to_nowhere(model: Path) -> None:
    (model / "model.safetensors").unlink()
    (model / "model.safetensors").symlink_to("../../blobs/0123abcd")


ONE_FILE = {
    "LFS pointer": (
        lambda m: lfs_pointer(m / "model.safetensors"),
        "is a Git LFS pointer, not the file (the file has 8,044,982,000",
    ),
    "LFS pointer, tokenizer": (
        lambda m: lfs_pointer(m / "tokenizer.json"),
        "tokenizer.json is a Git LFS",
    ),
    "LFS pointer, config": (lambda m: lfs_pointer(m / "config.json"), "config.json is a Git LFS"),
    "cut in half": (cut("model.safetensors", 0.5), "model.safetensors is cut off: "),
    "cut at the last byte": (cut("model.safetensors", 0.99999), "cut off"),
    "cut in its header": (cut("model.safetensors", 0.001), "model.safetensors is cut off after"),
    "empty": (writing("model.safetensors", b""), "model.safetensors is empty"),
    "a web page": (
        writing("model.safetensors", b"<!DOCTYPE html><html>"),
        "no safetensors file: it begins with b'<!DOCTYPE'",
    ),
    "a pickle": (
        writing("model.safetensors", b"PK\3\4\0\0\0\0" + b"x" * 99),
        "no safetensors file",
    ),
    "two downloads in one": (
        lambda m: writing("model.safetensors", (m / "model.safetensors").read_bytes() * 2)(m),
        "bytes too many",
    ),
    "link to nowhere": (link_to_nowhere, "a link to what is not there"),
    "GGUF alone": (
        only("qwen3-4b-q4_k_m.gguf"),
        "only qwen3-4b-q4_k_m.gguf: take the model in safetensors",
    ),
    "bin alone": (only("pytorch_model.bin"), "only pytorch_model.bin: save them as safetensors"),
    "bin beside an adapter": (adapter_beside_bin, "only pytorch_model.bin: save them"),
    "adapter alone": (
        only("adapter_model.safetensors"),
        "an adapter (adapter_model.safetensors): merge it",
    ),
    "checkpoint leftovers alone": (only("optimizer.pt"), "no weights (*.safetensors)"),
    "Mistral's format alone": (only("consolidated.safetensors"), "only consolidated.safetensors"),
    "weights in a folder": (only("final/model.safetensors"), "they lie in final: give that"),
    "no config": (lambda m: (m / "config.json").unlink(), "no config.json"),
    "broken config": (writing("config.json", b'{"model_type": '), "config.json: not valid JSON"),
    "cut tokenizer": (writing("tokenizer.json", b'{"model": {'), "tokenizer.json: not valid JSON"),
    "no tokenizer": (lambda m: (m / "tokenizer.json").unlink(), "no tokenizer"),
    "no chat template": (writing("tokenizer_config.json", b"{}"), "no chat template"),
    "adapter beside": (
        writing("adapter_config.json", b"{}"),
        "adapter_config.json beside full weights",
    ),
    "other weights beside": (
        lambda m: write_safetensors(m / "model_fp8.safetensors", {"x": [1]}),
        "model.safetensors beside model_fp8.safetensors",
    ),
    "untied without a head": (
        lambda m: change(m / "config.json", tie_word_embeddings=False),
        "no lm_head.weight",
    ),
    "untied by default": (
        lambda m: change(m / "config.json", tie_word_embeddings=None),
        "no lm_head.weight",
    ),
    "tied with a head of its own": (own_head_in_a_tied_model, "would be ignored: set it to false"),
    "half of the layers": (without("layers.1."), "no weights for 1 of 2 layers (1)"),
    "one tensor lost": (without("layers.1.mlp.up_proj"), "lack model.layers.1.mlp.up_proj.weight"),
    "no embedding": (without("embed_tokens"), "lack model.embed_tokens.weight"),
    "no norm": (without("model.norm"), "lack model.norm.weight"),
    "DDP's names": (renamed("model.", "module.model."), "it has module.model."),
    "no prefix": (renamed("model.", ""), "it has "),
    "config of another size": (
        lambda m: change(m / "config.json", intermediate_size=128),
        "by config.json it is [128, 64]",
    ),
    "resized vocabulary": (
        lambda m: change(m / "config.json", vocab_size=320),
        "model.embed_tokens.weight has shape [300, 64]",
    ),
    "config without dimensions": (
        writing("config.json", b'{"model_type": "qwen3"}'),
        "not the dimensions of a qwen3 model",
    ),
    "an adapter's tensors among them": (
        lambda m: write_safetensors(
            m / "model.safetensors",
            {**shapes_of(CONFIG), "model.layers.0.self_attn.q_proj.lora_A.weight": [8, 64]},
        ),
        "an adapter's tensors",
    ),
    "more layers than told": (
        lambda m: change(m / "config.json", num_hidden_layers=1),
        "says 1 layers, the weights hold",
    ),
    "no model type": (lambda m: change(m / "config.json", model_type=None), "has no model_type"),
    "no architecture": (
        lambda m: change(m / "config.json", architectures=None),
        "has no architectures",
    ),
    "two models' config": (
        lambda m: change(m / "config.json", architectures=["Qwen2ForCausalLM"]),
        "are two models",
    ),
    "a classifier": (
        lambda m: change(m / "config.json", architectures=["Qwen3ForSequenceClassification"]),
        "Qwen3ForSequenceClassification does not write text",
    ),
    "config quantized, weights not": (
        lambda m: change(m / "config.json", quantization_config={"quant_method": "awq"}),
        "says quant_method awq, and the weights are not quantized",
    ),
    "another tokenizer": (
        writing(
            "tokenizer.json",
            b'{"model": {"vocab": {"a": 0, "b": 299}}, "added_tokens": '
            b'[{"id": 300, "content": "<new>"}]}',
        ),
        "the tokenizer has ids up to 300, the model 300 of them",
    ),
    "an end that is no token": (
        writing("generation_config.json", b'{"eos_token_id": [151645, 151643]}'),
        "eos_token_id 151645 is none of the 300 tokens",
    ),
    "empty template": (writing("chat_template.jinja", b" \n"), "chat_template.jinja is empty"),
    "template in GBK": (
        writing("chat_template.jinja", "{{ messages }}中".encode("gbk")),
        "is not UTF-8",
    ),
    "system prompt in GBK": (
        writing("system_prompt.txt", "你是老师".encode("gbk")),
        "system_prompt.txt is not UTF-8",
    ),
    "diverged": (only_nan, "lm_head.weight hold NaN or infinity instead of numbers"),
    "overflown": (filled(b"\x80\x7f"), "hold NaN or infinity instead of numbers"),
    "zeros": (filled(b"\0\0"), "hold zeros only: the file was written without"),
    "zeros in the last norm": (
        filled(b"\0\0", "model.norm.weight"),
        "model.norm.weight hold zeros",
    ),
    "TRL's value head": (
        with_more({"v_head.summary.weight": [1, 64]}),
        "a reward model's head (v_",
    ),
    "a reward model": (with_more({"score.weight": [1, 64]}), "a reward model's head (score.weight"),
    "value head beside": (
        lambda m: write_safetensors(m / "value_head.safetensors", {"v_head.weight": [1, 64]}),
        "value_head.safetensors: a reward model's head",
    ),
    "another model's tensors": (with_more({"visual.patch.weight": [4, 4]}), "hold visual.patch.w"),
    "float8 without its scales": (in_dtype("F8_E4M3", 1), "are F8_E4M3, and config.json has no q"),
    "whole numbers": (in_dtype("I8", 1), "are I8, and config.json has no quantization_config"),
    "a file without tensors": (lambda m: write_safetensors(m / "model.safetensors", {}), "no tens"),
    "dtype as Python prints it": (configured(torch_dtype="torch.bfloat16"), "none of bfloat16"),
    "dtype auto": (configured(torch_dtype="auto"), "torch_dtype 'auto' is none of"),
    "dtype, newer field": (configured(torch_dtype=None, dtype="bf16"), "dtype 'bf16' is none of"),
    "fp8 by its config alone": (
        configured(quantization_config={"quant_method": "fp8"}),
        "quant_method fp8, and the weights are not quantized",
    ),
    "packed by its config alone": (
        configured(quantization_config={"quant_method": "compressed-tensors"}),
        "quant_method compressed-tensors, and the weights are not quantized",
    ),
    "quantized by no method": (configured(quantization_config={"bits": 4}), "no quant_method"),
    "legacy tokenizer with added tokens": (legacy_tokenizer, "ids up to 300, the model 300"),
    "added tokens in tokenizer_config.json": (
        lambda m: change(m / "tokenizer_config.json", added_tokens_decoder={"305": {}}),
        "ids up to 305, the model 300",
    ),
    "an end below zero": (
        writing("generation_config.json", b'{"eos_token_id": -1}'),
        "-1 is",
    ),
    "a processor's template": (processors_template, "chat_template.json is a processor's"),
    "templates, none the default": (
        writing("tokenizer_config.json", b'{"chat_template": [{"name": "rag", "template": "x"}]}'),
        "of its chat templates (rag) none is named default",
    ),
    "a template that is no text": (
        writing("tokenizer_config.json", b'{"chat_template": {"default": "x"}}'),
        "chat_template is no text",
    ),
    "a tokenizer that holds nothing": (writing("tokenizer.json", b"{}"), "no vocabulary in it"),
    "a tokenizer that is a list": (
        writing("tokenizer.json", b"[]"),
        "expected an object, got list",
    ),
    "a tokenizer that is null": (writing("tokenizer.json", b"null"), "got NoneType"),
    "a tokenizer cut off": (cut("tokenizer.json", 0.5), "tokenizer.json: not valid JSON"),
    "a tokenizer with no words": (words_of(0), "no vocabulary in it"),
    "a smaller model's tokenizer": (words_of(200), "up to 199, the model 300 of them (vocab_size)"),
    "a larger model's tokenizer": (words_of(400), "up to 399, the model 300 of them (vocab_size)"),
    "a tokenizer without the model's end": (
        both(words_of(290), writing("generation_config.json", b'{"eos_token_id": [295]}')),
        "eos_token_id 295 is no token of the tokenizer",
    ),
    "a tokenizer without merges": (words_of(1200, type="BPE"), "no merges in it"),
    "unfinished download": (writing("model.safetensors.aria2", b"x"), "a download that has not"),
    "quantized, config is not": (quantized_without_config, "no quantization_config in config.json"),
}


@pytest.mark.parametrize("kind", ONE_FILE)
def test_each_kind_of_broken_directory_is_named(tmp_path, kind):
    model = write_model(tmp_path / "model")
    assert model_files_problems(model) == []
    act, told = ONE_FILE[kind]
    act(model)
    problems = model_files_problems(model)
    assert any(told in problem for problem in problems), problems
    assert len(problems) <= 2, "one fault, not a list of what follows from it"


def stale_part(model: Path) -> None:
    write_safetensors(model / "model-00001-of-00002.safetensors", {"x": [1]})


def index_of_another(model: Path) -> None:
    placed = {"x": "model-00001-of-00007.safetensors"}
    change(model / "model.safetensors.index.json", weight_map=placed)


def parts_swapped(model: Path) -> None:
    (model / PARTS[0]).rename(model / "x")
    (model / PARTS[1]).rename(model / PARTS[0])
    (model / "x").rename(model / PARTS[1])


SHARDED = {
    "one part missing": (lambda m: (m / PARTS[1]).unlink(), f"{PARTS[1]} missing: 2 of 3 parts"),
    "no index, one missing": (
        lambda m: [(m / n).unlink() for n in ("model.safetensors.index.json", PARTS[2])],
        f"{PARTS[2]} missing",
    ),
    "one part is a pointer": (lambda m: lfs_pointer(m / PARTS[2]), f"{PARTS[2]} is a Git LFS"),
    "one part cut": (cut(PARTS[0], 0.7), f"{PARTS[0]} is cut off"),
    "index is a pointer": (
        lambda m: lfs_pointer(m / "model.safetensors.index.json"),
        "model.safetensors.index.json is a Git LFS",
    ),
    "broken index": (writing("model.safetensors.index.json", b"{"), "index.json: not valid JSON"),
    "index with an empty map": (
        writing("model.safetensors.index.json", b'{"weight_map": {}}'),
        "no weight_map in it",
    ),
    "index without a map": (writing("model.safetensors.index.json", b"{}"), "no weight_map in it"),
    "index of another model": (index_of_another, "names model-00001-of-00007.safetensors, which"),
    "parts swapped": (parts_swapped, "which its index places there"),
    "stale single file": (
        lambda m: write_safetensors(m / "model.safetensors", shapes_of(CONFIG)),
        "model.safetensors beside model-00001-of-00003.safetensors",
    ),
    "part of another split": (stale_part, "weights of several models"),
}


@pytest.mark.parametrize("kind", SHARDED)
def test_each_kind_of_broken_shards_is_named(tmp_path, kind):
    model = write_model(tmp_path / "model", shards=3)
    assert model_files_problems(model) == []
    act, told = SHARDED[kind]
    act(model)
    problems = model_files_problems(model)
    assert any(told in problem for problem in problems), problems


@pytest.mark.parametrize("family", ["qwen2", "qwen3", "llama", "mistral"])
@pytest.mark.parametrize("tied", [True, False])
def test_whole_models_pass_also_without_an_index_and_beside_other_formats(tmp_path, family, tied):
    model = write_model(tmp_path, shards=2, model_type=family, tie_word_embeddings=tied)
    assert model_files_problems(model) == []
    (model / "model.safetensors.index.json").unlink()
    (model / "pytorch_model.bin").write_bytes(b"pickle")
    (model / "model-q4.gguf").write_bytes(b"GGUF")
    (model / "onnx").mkdir()
    (model / "onnx" / "model.safetensors").write_bytes(b"")
    assert model_files_problems(model) == []


def test_quantized_and_unknown_models_pass(tmp_path):
    model = write_model(tmp_path / "awq", quantization_config={"quant_method": "awq"})
    shapes = shapes_of(CONFIG)
    packed = {k.replace("proj.weight", "proj.qweight"): [2, 2] for k in shapes if "proj" in k}
    plain = {k: v for k, v in shapes.items() if "proj" not in k}
    write_safetensors(model / "model.safetensors", packed | plain)
    assert model_files_problems(model) == []
    other = write_model(tmp_path / "other", model_type="brand_new")
    write_safetensors(other / "model.safetensors", {"anything": [3]})
    assert model_files_problems(other) == []


def test_a_block_that_starts_from_zeros_passes(tmp_path):
    """As LLaMA-Pro adds them: its outputs are zeros until it is trained."""
    model = write_model(tmp_path / "model")
    for name in ("self_attn.o_proj", "mlp.down_proj"):
        filled(b"\0\0", f"model.layers.1.{name}.weight")(model)
    assert model_files_problems(model) == []


def test_a_head_that_equals_the_embedding_is_no_other_head(tmp_path):
    """Some tied checkpoints hold the same matrix under both names."""
    model = write_model(tmp_path)
    shapes = {**shapes_of(CONFIG), "lm_head.weight": [300, 64]}
    path = write_safetensors(model / "model.safetensors", shapes)
    header = read_header(path)
    data = bytearray(path.read_bytes())
    embedding, head = header["model.embed_tokens.weight"], header["lm_head.weight"]
    data[head.start : head.end] = data[embedding.start : embedding.end]
    path.write_bytes(data)
    assert model_files_problems(model) == []
    data[head.end - 1] ^= 1
    path.write_bytes(data)
    assert "would be ignored" in model_files_problems(model)[0]


def test_names_alone_tell_before_a_download():
    assert layout_problems([*PARTS, "config.json", "onnx/model.safetensors"]) == []
    assert "no weights" in layout_problems(["config.json"])[0]
    assert "missing" in layout_problems([*PARTS[:2], "config.json"])[0]
    indexed = [*PARTS, "config.json", "model.safetensors.index.json"]
    assert layout_problems([*indexed, "mtp.safetensors"]) == []  # the index may name it
    assert "beside" in layout_problems([*indexed, "model.safetensors"])[0]


def test_what_is_no_directory_or_cannot_be_read_is_told(tmp_path):
    assert "not a directory" in model_files_problems(tmp_path / "nowhere")[0]
    model = write_model(tmp_path / "model")
    if os.geteuid() == 0:
        pytest.skip("root reads everything")
    (model / "model.safetensors").chmod(0)
    assert "cannot be read" in model_files_problems(model)[0]


def test_a_rope_base_where_the_judges_transformers_does_not_look_is_told(tmp_path, monkeypatch):
    model = write_model(tmp_path, rope_parameters={"rope_theta": 1000000.0, "rope_type": "default"})
    told = r'Transformers before 5 does not look: add "rope_theta": 1000000\.0 beside it'
    chosen, (line, *_) = chosen_model(Checkout(tmp_path), model, None, "bf16", offline=True)
    assert chosen is None and line.state == "fail" and re.search(told, line.why)
    monkeypatch.setattr(startup, "_version_of", lambda package: 4)
    with pytest.raises(ModelError, match=told):
        startup._start(Settings(model_dir=model), lambda *_: pytest.fail("no engine is built"))
    change(model / "config.json", rope_theta=1000000.0)
    assert old_reader_problems(json.loads((model / "config.json").read_text())) == []
