"""Adapters and bases that do not fit are refused in one line; odd ones that do fit are taken."""

import json
import re
from pathlib import Path

import pytest

pytest.importorskip("trl")
pytest.importorskip("peft")

import torch  # noqa: E402
from peft import PeftModel  # noqa: E402
from safetensors.torch import load_file, save_file  # noqa: E402

from tests.adapters import assert_merged_is_base_and_adapter, copied, make_adapter, rewritten  # noqa: E402  # noqa: E402
from tests.model_dirs import lfs_pointer  # noqa: E402
from train.base import ModelError  # noqa: E402
from train.merge import merge  # noqa: E402

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
    merged, wanted = (merge(base, [a], tmp_path / f"of {a.name}") for a in (adapter, plain))
    named = [path / "model.safetensors" for path in (merged, wanted)]
    assert named[0].read_bytes() == named[1].read_bytes()


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
    assert_merged_is_base_and_adapter(base, adapter, tmp_path / "merged")


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


def test_an_adapter_given_twice_is_refused(base, plain, tmp_path):
    with pytest.raises(ModelError, match="is given twice"):
        merge(base, [plain, plain / ".." / plain.name], tmp_path / "m")
