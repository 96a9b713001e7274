"""What could be loaded: model directories and adapters in `model/` and `out/`."""

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from common.manifest import read_manifest
from common.model_files import file_sizes, weight_bytes

FOLDERS = ("model", "out")
DEPTH = 3  # out/NAME/merged; checkpoints lie deeper


@dataclass(frozen=True)
class Model:
    """A causal language model's directory. id: its path as seen from the root."""

    id: str
    path: Path
    weight_bytes: int
    context: int
    demo: bool


@dataclass(frozen=True)
class Adapter:
    """A LoRA adapter's directory. base: what its adapter_config.json names (a path or hub id)."""

    id: str
    path: Path
    base: str
    rank: int

    def fits(self, model: Model, root: Path) -> bool:
        """Whether it was trained on this model: the same directory, or, for a base that is not on
        this machine, the same name."""
        for base in (Path(self.base), root / self.base):
            if base.is_dir():
                return base.resolve() == model.path.resolve()
        return Path(self.base).name == model.path.name


@dataclass(frozen=True)
class Catalogue:
    """Models and adapters by id. problems: what lies there and cannot be read, in words."""

    models: dict[str, Model]
    adapters: dict[str, Adapter]
    problems: tuple[str, ...] = ()


def catalogue(root: Path, more: Iterable[Path] = ()) -> Catalogue:
    """Look through `model/` and `out/` of the root, and the directories named beside them."""
    models: dict[str, Model] = {}
    adapters: dict[str, Adapter] = {}
    problems: list[str] = []
    seen: set[Path] = set()
    for directory in [*_directories(root), *(path.resolve() for path in more)]:
        if directory.resolve() in seen:  # a link beside what it points to, or named again
            continue
        seen.add(directory.resolve())
        name = _id(directory, root)
        try:
            if (directory / "adapter_config.json").is_file():
                told = _json(directory / "adapter_config.json")
                base, rank = str(told.get("base_model_name_or_path")), int(told.get("r", 8))
                adapters[name] = Adapter(name, directory, base, rank)
            elif model := _model(name, directory):
                models[name] = model
        except (OSError, ValueError, TypeError) as error:
            problems.append(f"{name}: {error}")
    return Catalogue(models, adapters, tuple(problems))


def _model(name: str, directory: Path) -> Model | None:
    if not (directory / "config.json").is_file():
        return None
    config = _json(directory / "config.json")
    if not any("CausalLM" in str(each) for each in config.get("architectures") or ()):
        return None  # an encoder, a reranker
    size = weight_bytes(file_sizes(directory))
    if not size:
        return None
    manifest = read_manifest(directory)
    context = int(config.get("max_position_embeddings") or 2048)
    return Model(name, directory, size, context, bool(manifest and manifest.demo))


def _directories(root: Path) -> Iterator[Path]:
    for folder in FOLDERS:
        for depth in range(1, DEPTH + 1):
            for found in sorted((root / folder).glob("/".join("*" * depth))):
                if found.is_dir():
                    yield found


def _id(directory: Path, root: Path) -> str:
    try:
        return directory.absolute().relative_to(root.absolute()).as_posix()
    except ValueError:
        return directory.name


def _json(path: Path) -> dict[str, Any]:
    told = json.loads(path.read_text(encoding="utf-8"))
    if not isinstance(told, dict):
        raise ValueError(f"{path.name}: expected an object")
    return told
