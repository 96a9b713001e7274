"""LoRA adapters in small, as PEFT saves them, whole and changed."""

import json
from pathlib import Path

import torch
from peft import LoraConfig, PeftModel, get_peft_model
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM

from common.manifest import read_manifest
from common.model_files import model_files_problems
from train.merge import merge, probe_ids

LINEAR = ["q_proj", "v_proj", "down_proj"]


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


def copied(base: Path, out: Path) -> Path:
    out.mkdir()
    for path in base.iterdir():
        (out / path.name).write_bytes(path.read_bytes())
    return out
