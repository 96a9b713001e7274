"""Directories that cannot be served are told by their files: each kind that users have brought."""

import json
import os
import re

import pytest

from common.model_content import old_reader_problems
from common.model_files import model_files_problems
from common.safetensors_header import read_header
from preflight.checkout import Checkout
from preflight.model import chosen_model
from serving import startup
from serving.engine.base import ModelError
from serving.settings import Settings
from tests.broken_models import (
    adapter_beside_bin,
    both,
    change,
    configured,
    cut,
    filled,
    in_dtype,
    legacy_tokenizer,
    link_to_nowhere,
    only,
    only_nan,
    own_head_in_a_tied_model,
    processors_template,
    quantized_without_config,
    renamed,
    with_more,
    without,
    words_of,
    writing,
)
from tests.model_dirs import CONFIG, lfs_pointer, shapes_of, write_model, write_safetensors

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
