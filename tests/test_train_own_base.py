"""An adapter goes onto the base that it was trained on, not onto another of the same shapes."""

import shutil
from pathlib import Path
from types import SimpleNamespace

import pytest

pytest.importorskip("peft")

import torch  # noqa: E402
from safetensors.torch import load_file, save_file  # noqa: E402

from common.manifest import Manifest, write_manifest  # noqa: E402
from train.adapters import _note_few_layers, need_own_base  # noqa: E402
from train.base import ModelError, fingerprint  # noqa: E402


def changed(base: Path, out: Path, **files: slice) -> Path:
    """The base's weights in the given files, each a part of the names."""
    shutil.copytree(base, out)
    weights = load_file(base / "model.safetensors")
    (out / "model.safetensors").unlink()
    names = sorted(weights)
    for file, part in files.items():
        save_file({name: weights[name] for name in names[part]}, out / f"{file}.safetensors")
    return out


def test_the_same_weights_have_the_same_fingerprint_however_they_are_cut(base, tmp_path):
    cut = changed(base, tmp_path / "cut", a=slice(0, 9), b=slice(9, None))
    assert fingerprint(cut) == fingerprint(base)
    fewer = changed(base, tmp_path / "fewer", a=slice(0, 9))
    assert fingerprint(fewer) != fingerprint(base)


def test_other_weights_of_the_same_shapes_are_refused(base, tmp_path):
    adapter = tmp_path / "adapter"
    adapter.mkdir()
    need_own_base(adapter, base)  # of another tool: nothing is known of its base
    settings = {"base_fingerprint": fingerprint(base), "model_name_or_path": "me/base"}
    write_manifest(adapter, Manifest(stage="lora", name="a", settings=settings))
    need_own_base(adapter, base)
    other = tmp_path / "other"
    shutil.copytree(base, other)
    weights = load_file(base / "model.safetensors")
    weights["model.norm.weight"] = weights["model.norm.weight"] + 1
    save_file(weights, other / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(ModelError, match=r"another base \(me/base\)"):
        need_own_base(adapter, other)


@pytest.mark.parametrize(("asked", "noted"), [(None, True), ([0, 1], False)])
def test_an_adapter_of_a_smaller_model_is_noted(capsys, tmp_path, asked, noted):
    weights = {f"m.layers.{n}.q_proj.lora_A.weight": torch.ones(1) for n in (0, 1)}
    model = SimpleNamespace(config=SimpleNamespace(num_hidden_layers=3))
    _note_few_layers(SimpleNamespace(layers_to_transform=asked), weights, model, tmp_path)
    assert ("layers 0 to 1 of the base's 3" in capsys.readouterr().out) == noted
    model.config.num_hidden_layers = 2
    _note_few_layers(SimpleNamespace(layers_to_transform=asked), weights, model, tmp_path)
    assert capsys.readouterr().out == ""
