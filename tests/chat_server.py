"""The chat as a process, for tests: a folder with a tiny model and an adapter for it."""

import contextlib
import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import httpx
import numpy as np
import pytest
from safetensors.numpy import save_file

from common.service_process import ServiceProcess, running
from tests.conftest import ROOT

PYTHON = ROOT / ".venv-chat/bin/python"
needs_chat = pytest.mark.skipif(
    not PYTHON.exists(), reason="no .venv-chat: `bash run.sh chat` or `bash test.sh` makes it"
)


def make_root(root: Path, model: Path) -> Path:
    """A kit's folder with `model/tiny` and an adapter that changes its answers much."""
    shutil.copytree(model, root / "model/tiny")
    write_adapter(root / "out/tuned/adapter", root / "model/tiny")
    return root


def write_adapter(out: Path, base: Path, rank: int = 8) -> None:
    """A LoRA adapter of random weights in PEFT's files."""
    config = json.loads((base / "config.json").read_text("utf-8"))
    wide = config["num_attention_heads"] * config["head_dim"]
    random, tensors = np.random.default_rng(1), {}
    for layer in range(config["num_hidden_layers"]):
        name = f"base_model.model.model.layers.{layer}.self_attn.q_proj"
        for part, shape in (("A", (rank, config["hidden_size"])), ("B", (wide, rank))):
            tensors[f"{name}.lora_{part}.weight"] = random.normal(0, 1, shape).astype(np.float32)
    out.mkdir(parents=True)
    save_file(tensors, out / "adapter_model.safetensors")
    told = {"peft_type": "LORA", "task_type": "CAUSAL_LM", "r": rank, "lora_alpha": 64}
    told |= {"target_modules": ["q_proj"], "base_model_name_or_path": str(base)}
    (out / "adapter_config.json").write_text(json.dumps(told), "utf-8")


@contextlib.contextmanager
def chat(root: Path, *options: str, **variables: str) -> Iterator[ServiceProcess]:
    """`python -m chat` on a folder; ready when its page answers, models perhaps later."""
    command = [str(PYTHON), "-m", "chat", "--port", "{port}", "--root", str(root), *options]
    environment = {**os.environ, **variables}
    with running(command, environment=environment, cwd=ROOT, log=root / "chat.log") as service:
        service.wait_until_ready(120, "/health" if "CHAT_TOKEN" not in variables else None)
        yield service


def load(url: str, model: str) -> None:
    """Load a model and wait for it: minutes on a machine with much else to do."""
    told = httpx.post(f"{url}/chat/models/load", json={"model": model}, timeout=600)
    assert told.status_code == 200, told.text
