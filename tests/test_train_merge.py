"""Merging: every tensor of an adapter in its place, or one line that says why not."""

import json
import os
import re
import sys
from pathlib import Path

import pytest

pytest.importorskip("trl")
pytest.importorskip("peft")

import torch  # noqa: E402
from peft import LoraConfig, PeftModel, get_peft_model  # noqa: E402
from safetensors.torch import load_file, save_file  # noqa: E402
from transformers import AutoModelForCausalLM  # noqa: E402

from common.manifest import read_manifest  # noqa: E402
from common.model_files import model_files_problems  # noqa: E402
from tests.finetuning import FACTS, make_base  # noqa: E402
from tests.model_dirs import lfs_pointer  # noqa: E402
from train.base import ModelError  # noqa: E402
from train.check import check_logits  # noqa: E402
from train.merge import merge, probe_ids  # noqa: E402

LINEAR = ["q_proj", "v_proj", "down_proj"]


@pytest.fixture(scope="module")
def base(tmp_path_factory) -> Path:
    return make_base(tmp_path_factory.mktemp("base") / "model")


@pytest.fixture(scope="module")
def untied(base, tmp_path_factory) -> Path:
    """The same base with a head of its own."""
    out = tmp_path_factory.mktemp("untied") / "model"
    out.mkdir()
    for path in base.iterdir():
        (out / path.name).write_bytes(path.read_bytes())
    config = json.loads((base / "config.json").read_text(encoding="utf-8"))
    (out / "config.json").write_text(json.dumps({**config, "tie_word_embeddings": False}))
    weights = load_file(base / "model.safetensors")
    weights["lm_head.weight"] = torch.randn_like(weights["model.embed_tokens.weight"]) * 0.05
    save_file(weights, out / "model.safetensors", metadata={"format": "pt"})
    assert model_files_problems(out) == []
    return out


def make_adapter(base: Path, out: Path, **fields) -> Path:
    """An adapter of random weights, saved by PEFT, that changes the base's answers much."""
    torch.manual_seed(1)
    model = AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32)
    config = {"target_modules": LINEAR, "r": 8, "lora_alpha": 16, "task_type": "CAUSAL_LM"}
    tuned = get_peft_model(model, LoraConfig(**{**config, **fields}))
    with torch.no_grad():
        for name, parameter in tuned.named_parameters():
            if parameter.requires_grad and "magnitude" not in name:
                parameter.add_(torch.randn_like(parameter) * 0.05)
    tuned.save_pretrained(out)
    return out


@pytest.fixture(scope="module")
def plain(base, tmp_path_factory) -> Path:
    return make_adapter(base, tmp_path_factory.mktemp("plain"))


def rewritten(plain: Path, out: Path, rename=None, keep=None, **config) -> Path:
    """The plain adapter with other tensor names, fewer tensors, or another configuration."""
    out.mkdir(parents=True)
    told = json.loads((plain / "adapter_config.json").read_text())
    (out / "adapter_config.json").write_text(json.dumps({**told, **config}))
    weights = load_file(plain / "adapter_model.safetensors")
    chosen = {name: tensor for name, tensor in weights.items() if keep is None or keep(name)}
    renamed = {rename(name) if rename else name: tensor for name, tensor in chosen.items()}
    save_file(renamed, out / "adapter_model.safetensors")
    return out


def logits(model) -> torch.Tensor:
    with torch.inference_mode():
        return model.eval()(torch.tensor(probe_ids(300))).logits


def assert_merged_is_base_and_adapter(base: Path, adapter: Path, out: Path) -> Path:
    """As a stranger would compare: PEFT's own forward against the written files."""
    merged = merge(base, [adapter], out)
    model = AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32)
    before = logits(model)
    wanted = logits(PeftModel.from_pretrained(model, adapter))
    got = logits(AutoModelForCausalLM.from_pretrained(merged, dtype=torch.float32))
    assert (wanted - before).norm() > 0.1 * before.norm(), "the adapter does something"
    assert (got - wanted).norm() < 0.02 * (wanted - before).norm()  # bfloat16 rounding
    assert model_files_problems(merged) == []
    proof = read_manifest(merged).settings["proof"]
    assert proof["error"] < 1e-3 and proof["effect"] > 0.1
    return merged


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"use_rslora": True},
        {"use_dora": True},
        {"target_modules": "all-linear"},
        {"target_modules": r".*layers\.1\..*_proj"},
        {"layers_to_transform": [0]},
        {"rank_pattern": {"down_proj": 4}, "alpha_pattern": {"q_proj": 64}},
        {"bias": "lora_only"},
        {"modules_to_save": ["norm"]},
        {"init_lora_weights": "pissa"},
        {"init_lora_weights": "olora"},
    ],
    ids=lambda fields: " ".join(map(str, fields.values())) or "plain",
)
def test_kinds_of_lora_merge_to_what_they_are(base, tmp_path, fields):
    adapter = make_adapter(base, tmp_path / "adapter", **fields)
    merged = assert_merged_is_base_and_adapter(base, adapter, tmp_path / "merged")
    assert (merged / "config.json").read_bytes() == (base / "config.json").read_bytes()


@pytest.mark.parametrize("tied", [True, False])
@pytest.mark.parametrize(
    "fields",
    [
        {"target_modules": [*LINEAR, "lm_head"]},
        {"target_modules": [*LINEAR, "embed_tokens"]},
        {"target_modules": [*LINEAR, "embed_tokens", "lm_head"]},
        {"modules_to_save": ["lm_head"]},
        {"modules_to_save": ["embed_tokens"]},
        {"modules_to_save": ["embed_tokens", "lm_head"]},
        {"modules_to_save": ["embed_tokens"], "ensure_weight_tying": True},
        {"target_modules": [*LINEAR, "embed_tokens"], "ensure_weight_tying": True},
        {"trainable_token_indices": {"embed_tokens": [5, 6, 7]}},
    ],
    ids=lambda f: " ".join(map(str, f.items())) if isinstance(f, dict) else str(f),
)
def test_adapters_on_embedding_and_head_merge_to_what_they_are(
    base, untied, tmp_path, fields, tied
):
    """A tied base gets a head of its own where the adapter has parted the two."""
    if not tied and fields.get("ensure_weight_tying"):
        pytest.skip("nothing to tie")
    chosen = base if tied else untied
    adapter = make_adapter(chosen, tmp_path / "adapter", **fields)
    merged = assert_merged_is_base_and_adapter(chosen, adapter, tmp_path / "merged")
    config = json.loads((merged / "config.json").read_text())
    head = "lm_head.weight" in load_file(merged / "model.safetensors")
    assert head == (not config["tie_word_embeddings"])


REFUSED = {
    "multimodal names": (
        {"rename": lambda n: n.replace(".model.layers", ".model.language_model.layers")},
        r"12 of its 12 tensors match nothing in the base \(base_model\.model\.model\.langu.*"
        r"12 of 12 that adapter_config\.json asks for are missing",
    ),
    "torch.compile's names": (
        {"rename": lambda n: n.replace("base_model.model.", "base_model.model._orig_mod.")},
        "12 of its 12 tensors match nothing .*_orig_mod",
    ),
    "DDP's names": ({"rename": lambda n: f"module.{n}"}, "12 of its 12 tensors match nothing"),
    "a raw state dict's names": (
        {"rename": lambda n: n.replace(".weight", ".default.weight")},
        "12 of its 12 tensors match nothing",
    ),
    "no PEFT prefix": (
        {"rename": lambda n: n.removeprefix("base_model.model.")},
        "12 of its 12 tensors match nothing",
    ),
    "half of the layers": (
        {"keep": lambda n: "layers.0." in n},
        r"6 of 12 that adapter_config\.json asks for are missing \(.*layers\.1\.mlp",
    ),
    "one tensor lost": ({"keep": lambda n: "layers.1.mlp.down_proj.lora_B" not in n}, "1 of 12"),
    "one module not in the configuration": (
        {"target_modules": ["q_proj", "v_proj"]},
        r"4 of its 12 tensors match nothing in the base \(.*down_proj",
    ),
    "a head that is not in the file": ({"modules_to_save": ["lm_head"]}, "1 of 13 .*lm_head"),
    "another rank": ({"r": 4}, r"lora_A\.weight has shape \[8, \d+\], the base \[4, \d+\]"),
    "IA3": ({"peft_type": "IA3"}, "peft_type=IA3; only LORA"),
    "prompt tuning": ({"peft_type": "PROMPT_TUNING"}, "peft_type=PROMPT_TUNING; only LORA"),
    "a classifier": ({"task_type": "SEQ_CLS"}, "task_type=SEQ_CLS"),
    "activated LoRA": ({"alora_invocation_tokens": [1, 2]}, "activated LoRA"),
    "a newer PEFT's": ({"use_magic": True}, "sets use_magic, unknown to PEFT"),
    "no such modules": ({"target_modules": ["W_pack"]}, "does not fit .*W_pack"),
    "nonsense in its configuration": ({"r": -1}, "adapter"),
    "a number as text": ({"lora_alpha": "16"}, "lora_alpha='16': expected a number"),
    "no number": ({"r": None}, "r=None: expected a number"),
    "a base changed by chance": (
        {"init_lora_weights": "pissa_niter_16"},
        "init_lora_weights=pissa_niter_16 changed the base .* convert it to a plain LoRA",
    ),
    "a base changed by its gradients": ({"init_lora_weights": "lora_ga"}, "=lora_ga changed"),
    "a base quantized for it": (
        {"init_lora_weights": "loftq", "loftq_config": {"loftq_bits": 4}},
        "=loftq changed the base",
    ),
    "layers used twice": ({"layer_replication": [[0, 2], [0, 2]]}, "layer_replication uses"),
}


def one_line(base: Path, adapter: Path, out: Path, told: str) -> None:
    with pytest.raises(ModelError) as error:
        merge(base, [adapter], out)
    assert re.search(told, str(error.value)), str(error.value)
    assert "\n" not in str(error.value) and str(adapter) in str(error.value)
    assert not list(out.glob("*.safetensors"))


@pytest.mark.parametrize("kind", REFUSED)
def test_an_adapter_that_does_not_fit_is_refused_in_one_line(base, plain, tmp_path, kind):
    changes, told = REFUSED[kind]
    one_line(base, rewritten(plain, tmp_path / "adapter", **changes), tmp_path / "out", told)


def test_a_newer_pefts_configuration_that_says_nothing_new_is_taken(base, plain, tmp_path):
    adapter = rewritten(plain, tmp_path / "adapter", use_magic=False, magic_config=None)
    assert_merged_is_base_and_adapter(base, adapter, tmp_path / "merged")


def test_an_older_pefts_configuration_in_notepads_encoding_is_taken(base, plain, tmp_path):
    adapter = rewritten(plain, tmp_path / "adapter", rank_pattern=None, alpha_pattern=None)
    path = adapter / "adapter_config.json"
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes())
    merge(base, [adapter], tmp_path / "merged")


def with_tensor(path: Path, change) -> None:
    weights = load_file(path / "adapter_model.safetensors")
    name = sorted(weights)[0]
    weights[name] = change(weights[name])
    save_file(weights, path / "adapter_model.safetensors")


BROKEN = {
    "LFS pointer": (
        lambda a: lfs_pointer(a / "adapter_model.safetensors"),
        r"adapter_model\.safetensors is a Git LFS pointer",
    ),
    "cut off": (
        lambda a: (a / "adapter_model.safetensors").write_bytes(
            (a / "adapter_model.safetensors").read_bytes()[:9000]
        ),
        "is cut off",
    ),
    "no weights": (lambda a: (a / "adapter_model.safetensors").unlink(), "no adapter_model"),
    "no configuration": (lambda a: (a / "adapter_config.json").unlink(), "no adapter_config.json"),
    "configuration is a pointer": (
        lambda a: lfs_pointer(a / "adapter_config.json"),
        "no adapter's",
    ),
    "a pickle of nonsense": (
        lambda a: (a / "adapter_model.safetensors").rename(a / "adapter_model.bin"),
        "adapter_model.bin cannot be read",
    ),
    "empty tensors of ZeRO-3": (lambda a: with_tensor(a, lambda t: t[:0]), "is empty.*ZeRO-3"),
    "NaN": (lambda a: with_tensor(a, lambda t: t * float("nan")), "NaN or infinity"),
    "whole numbers": (lambda a: with_tensor(a, lambda t: (t * 100).to(torch.int8)), "is int8"),
    "float8": (lambda a: with_tensor(a, lambda t: t.to(torch.float8_e4m3fn)), "is float8_e4m3fn"),
    "of a wider base": (
        lambda a: with_tensor(a, lambda t: torch.cat([t, t], 1)),
        r"has shape \[8, 512\], the base \[8, 256\]",
    ),
}


@pytest.mark.parametrize("kind", BROKEN)
def test_a_broken_adapter_is_refused_in_one_line(base, plain, tmp_path, kind):
    adapter = rewritten(plain, tmp_path / "adapter")
    change, told = BROKEN[kind]
    change(adapter)
    one_line(base, adapter, tmp_path / "out", told)


def test_a_pickled_adapter_is_taken(base, plain, tmp_path):
    adapter = rewritten(plain, tmp_path / "adapter")
    weights = load_file(adapter / "adapter_model.safetensors")
    torch.save(weights, adapter / "adapter_model.bin")
    (adapter / "adapter_model.safetensors").unlink()
    merge(base, [adapter], tmp_path / "merged")


def copied(base: Path, out: Path) -> Path:
    out.mkdir()
    for path in base.iterdir():
        (out / path.name).write_bytes(path.read_bytes())
    return out


@pytest.mark.parametrize("method", ["awq", "fp8", "compressed-tensors", "bitsandbytes"])
def test_a_quantized_base_is_refused_by_name(base, plain, tmp_path, method):
    other = copied(base, tmp_path / "base")
    config = json.loads((base / "config.json").read_text())
    config["quantization_config"] = {"quant_method": method}
    (other / "config.json").write_text(json.dumps(config))
    if method != "bitsandbytes":  # whose tensors have names of their own
        name = "_proj.qweight" if method == "awq" else "_proj.weight_packed"
        weights = load_file(base / "model.safetensors")
        packed = {k.replace("_proj.weight", name): t for k, t in weights.items()}
        (other / "model.safetensors").unlink()
        save_file(packed, other / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(ModelError, match=rf"quantized \({method}\).*give the unquantized base"):
        merge(other, [plain], tmp_path / "out")


def test_trained_tokens_beside_a_head_of_lora_are_refused_in_one_line(base, tmp_path):
    """PEFT parts a tied head from the embedding, and leaves a wrapper that holds no weight."""
    fields = {"trainable_token_indices": [5, 6], "target_modules": ["q_proj", "lm_head"]}
    adapter = make_adapter(base, tmp_path / "adapter", **fields)
    with pytest.raises(ModelError, match=f"^{adapter} cannot be merged into {base}: .*$"):
        merge(base, [adapter], tmp_path / "merged")


def test_an_adapter_in_a_folder_below_is_named(base, plain, tmp_path):
    rewritten(plain, tmp_path / "run" / "default")
    with pytest.raises(ModelError, match=r"no adapter_config\.json.*\(default\)$"):
        merge(base, [tmp_path / "run"], tmp_path / "merged")


def test_a_broken_base_is_refused_by_its_file(base, plain, tmp_path):
    other = copied(base, tmp_path / "base")
    lfs_pointer(other / "model.safetensors")
    with pytest.raises(ModelError, match=r"model\.safetensors is a Git LFS pointer"):
        merge(other, [plain], tmp_path / "out")


def test_a_merge_that_went_wrong_is_noticed(base, plain, tmp_path, monkeypatch):
    """PEFT unloading without merging stands for any merge that is none."""
    monkeypatch.setattr(
        PeftModel, "merge_and_unload", lambda self, **_: self.unload(), raising=False
    )
    with pytest.raises(
        ModelError, match="does not answer as base \\+ adapter do: logits differ by"
    ):
        merge(base, [plain], tmp_path / "out")


def test_untrained_adapters_merge_with_a_note(base, tmp_path, capsys):
    model = AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32)
    get_peft_model(model, LoraConfig(target_modules=LINEAR)).save_pretrained(tmp_path / "adapter")
    merge(base, [tmp_path / "adapter"], tmp_path / "merged")
    assert "changes nothing" in capsys.readouterr().out


def test_an_adapter_of_another_base_by_name_is_merged_with_a_note(base, plain, tmp_path, capsys):
    adapter = rewritten(plain, tmp_path / "adapter", base_model_name_or_path="Qwen/Qwen3-4B-Base")
    merge(base, [adapter], tmp_path / "merged")
    assert "was trained on Qwen3-4B-Base; merging into" in capsys.readouterr().out
    merge(base, [plain], tmp_path / "merged")
    assert "note" not in capsys.readouterr().out


def test_an_adapter_with_a_template_of_its_own_is_merged_with_a_note(base, plain, tmp_path, capsys):
    own = rewritten(plain, tmp_path / "a")
    for name in ("tokenizer.json", "tokenizer_config.json", "chat_template.jinja"):
        (own / name).write_bytes((base / name).read_bytes())
    merge(base, [own], tmp_path / "same")
    assert "another chat template" not in capsys.readouterr().out
    (own / "chat_template.jinja").write_text("{% for m in messages %}{{ m.content }}{% endfor %}")
    merge(base, [own], tmp_path / "m")
    assert "brings another chat template" in capsys.readouterr().out


def test_an_adapter_given_twice_is_refused(base, plain, tmp_path):
    with pytest.raises(ModelError, match="is given twice"):
        merge(base, [plain, plain / ".." / plain.name], tmp_path / "m")


def test_merging_twice_leaves_no_stale_shards(base, plain, tmp_path):
    out = merge(base, [plain], tmp_path / "out", shard_gb=0.0005)
    assert (out / "model.safetensors.index.json").is_file()
    merge(base, [plain], out)
    assert [path.name for path in out.glob("*.safetensors*")] == ["model.safetensors"]


QUESTIONS = [question for question, _ in FACTS[:3]]
OTHER_PYTHON = Path(os.environ.get("OLD_VLLM_PYTHON") or sys.executable)


@pytest.fixture
def merged(base, plain, tmp_path) -> Path:
    return merge(base, [plain], tmp_path / "merged")


def test_the_check_compares_logits_with_base_and_adapter_in_both_environments(merged, capsys):
    """OLD_VLLM_PYTHON names an environment with Transformers 4.55; else this one plays both."""
    told = check_logits(merged, QUESTIONS, OTHER_PYTHON)
    assert told["effect"] > 0.1 and told["here"] < 1e-4 and told["there"] < 1e-4
    assert read_manifest(merged).settings["logits"]["effect"] == told["effect"]
    assert "logits of 3 questions: adapters change them by" in capsys.readouterr().out


def test_the_check_finds_weights_that_are_not_base_and_adapter(base, merged):
    (merged / "model.safetensors").write_bytes((base / "model.safetensors").read_bytes())
    with pytest.raises(ModelError, match="logits differ by .*merge again"):
        check_logits(merged, QUESTIONS, OTHER_PYTHON)


def test_the_check_finds_a_transformers_that_reads_the_model_differently(merged, tmp_path):
    """Here by a rope_theta that the other one does not see."""
    other = copied(merged, tmp_path / "other")
    config = json.loads((merged / "config.json").read_text())
    (other / "config.json").write_text(json.dumps({**config, "rope_theta": 20.0}))
    python = tmp_path / "python"
    python.write_text(f'#!/bin/sh\nexec {sys.executable} -m train.logits {other} "$4" "$5"\n')
    python.chmod(0o755)
    with pytest.raises(ModelError, match="reads it differently: logits differ by"):
        check_logits(merged, QUESTIONS, python)


def test_the_check_finds_a_tokenizer_that_is_read_differently(merged, tmp_path):
    other = copied(merged, tmp_path / "other")
    (other / "system_prompt.txt").write_text("别的提示。")  # stands for any other text or tokens
    python = tmp_path / "python"
    python.write_text(f'#!/bin/sh\nexec {sys.executable} -m train.logits {other} "$4" "$5"\n')
    python.chmod(0o755)
    with pytest.raises(ModelError, match="makes other tokens of the prompts"):
        check_logits(merged, QUESTIONS, python)


def test_the_check_needs_a_python_that_can_read_the_model(merged, tmp_path):
    with pytest.raises(ModelError, match="serve_python=.*No such file"):
        check_logits(merged, QUESTIONS, tmp_path / "none")
    with pytest.raises(ModelError, match="cannot read it"):
        check_logits(merged, QUESTIONS, Path("/bin/false"))
