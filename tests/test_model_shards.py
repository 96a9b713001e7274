"""Sharded weights are told by their names, their index and what lies in each part."""

from pathlib import Path

import pytest

from common.model_files import layout_problems, model_files_problems
from tests.broken_models import PARTS, change, cut, writing
from tests.model_dirs import CONFIG, lfs_pointer, shapes_of, write_model, write_safetensors


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


def test_names_alone_tell_before_a_download():
    assert layout_problems([*PARTS, "config.json", "onnx/model.safetensors"]) == []
    assert "no weights" in layout_problems(["config.json"])[0]
    assert "missing" in layout_problems([*PARTS[:2], "config.json"])[0]
    indexed = [*PARTS, "config.json", "model.safetensors.index.json"]
    assert layout_problems([*indexed, "mtp.safetensors"]) == []  # the index may name it
    assert "beside" in layout_problems([*indexed, "model.safetensors"])[0]
