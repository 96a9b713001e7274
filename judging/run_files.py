"""What a training run left in its folder, read for reports: manifests, curve, verdict, data.

Only files are read, so that a report needs neither the training environment nor its code.
"""

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from common.language import BilingualError, either
from common.manifest import Manifest, read_manifest
from judging.ability import NAME as ABILITY
from judging.ability import Ability, read_ability


class RunError(BilingualError, ValueError):
    """A folder that holds no training run; the message names it."""


@dataclass(frozen=True)
class RunFiles:
    """One run. `training`: the manifest of the stage that trained; `stages`: those of all results
    found, by folder name; `data`: the manifest of its data; `abilities`: what `judging ability`
    found of the merged model and its exports, by name. None and {}: not there."""

    folder: Path
    training: Manifest
    stages: dict[str, Manifest]
    data: Manifest | None
    verdict: dict[str, Any]
    curve: bytes | None
    abilities: dict[str, Ability] = field(default_factory=dict)

    @property
    def method(self) -> str:
        """Full fine-tuning, LoRA, or QLoRA with its bits."""
        if self.training.stage == "full":
            return either("全参数微调", "full fine-tuning")
        bits = self.training.settings.get("quantization_bit")
        name = "QLoRA" if bits == 4 else "LoRA"
        return either(f"{name}（{bits} 位）", f"{name} ({bits} bit)") if bits else name

    @property
    def base(self) -> str:
        """The model that was trained, as its recipe names it."""
        return str(self.training.settings.get("model_name_or_path", "?"))

    @property
    def data_dir(self) -> Path:
        """Where its data lay."""
        return Path(str(self.training.settings.get("dataset_dir", "")))

    def stage_of(self, model_dir: Path | None) -> str | None:
        """Which of its results a service's model directory is, by name; None for another's. A run
        that was trained and judged elsewhere and brought here is told by where it was written."""
        if model_dir is None:
            return None
        written = Path(str(self.training.settings.get("output_dir") or self.folder))
        here = model_dir.resolve().parent == self.folder.resolve()
        return model_dir.name if here or model_dir.parent == written else None

    def dev_questions(self) -> set[str]:
        """What the model was asked on the way, to choose the best step; from samples/."""
        found = set()
        for path in sorted((self.folder / "samples").glob("step-*.jsonl"))[:1]:
            for line in path.read_text("utf-8").split("\n"):
                try:
                    found.add(str(json.loads(line)["question"]))
                except (ValueError, KeyError, TypeError):  # cut by a kill, or another tool's
                    continue
        return found

    def rows(self) -> list[dict[str, Any]]:
        """The rows of its training file, where that still lies; else none."""
        path = self.data_dir / str(self.training.settings.get("train_file", ""))
        try:
            found = [
                json.loads(line) for line in path.read_text("utf-8").split("\n") if line.strip()
            ]
        except (OSError, ValueError):
            return []
        return [row for row in found if isinstance(row, dict)]

    def data_report(self) -> dict[str, Any]:
        """What `data build` told of its data (report.json), where that still lies; else nothing."""
        try:
            found = json.loads((self.data_dir / "report.json").read_text("utf-8"))
        except (OSError, ValueError):
            return {}
        return found if isinstance(found, dict) else {}


def question_of(row: dict[str, Any]) -> str:
    """What a training row asks last, whatever its fields are called."""
    return _turn(row, -2, ("question", "instruction", "query"))


def answer_of(row: dict[str, Any]) -> str:
    """What a training row answers last."""
    return _turn(row, -1, ("answer", "output", "response"))


def _turn(row: dict[str, Any], place: int, names: tuple[str, ...]) -> str:
    messages = row.get("messages")
    if isinstance(messages, list) and len(messages) > 1:
        return str(messages[place].get("content", ""))
    return str(next((row[name] for name in names if name in row), ""))


def read_run(folder: Path) -> RunFiles:
    """The run in `out/NAME`. Raises RunError."""
    stages = {}
    for path in sorted(folder.glob("*/manifest.json")):
        try:
            found = read_manifest(path.parent)
        except ValueError as error:
            raise RunError(f"{path}: not a manifest ({error})") from error
        if found:
            stages[path.parent.name] = found
    training = next(
        (
            each
            for m in stages.values()
            for each in _with_parents(m)
            if each.stage in ("lora", "full")
        ),
        None,
    )
    if training is None:
        raise RunError(
            f"{folder}：没有训练（子目录里没有训练过的模型的 manifest）",
            f"{folder}: no training run (no manifest of a trained model in a subfolder)",
        )
    data = next((each for each in _with_parents(training) if each.stage == "data"), None)
    curve = folder / "loss.png"
    return RunFiles(
        folder,
        training,
        stages,
        data,
        _verdict(folder / "verdict.json"),
        curve.read_bytes() if curve.is_file() else None,
        _abilities(folder),
    )


def _verdict(path: Path) -> dict[str, Any]:
    found = _json(path)
    wanted = ("verdict", "questions", "base", "tuned", "difference", "low", "high")
    if found and (missing := [name for name in wanted if name not in found]):
        names = ", ".join(missing)
        raise RunError(f"{path}：没有 {names}", f"{path}: no {names}")
    return found


def _abilities(folder: Path) -> dict[str, Ability]:
    try:
        return {
            path.stem.removeprefix(f"{ABILITY}-").replace(ABILITY, "merged"): read_ability(path)
            for path in sorted(folder.glob(f"{ABILITY}*.json"))
        }
    except ValueError as error:
        raise RunError(str(error)) from error


def _with_parents(manifest: Manifest) -> list[Manifest]:
    return [manifest, *(each for parent in manifest.parents for each in _with_parents(parent))]


def _json(path: Path) -> dict[str, Any]:
    if not path.is_file():
        return {}
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise RunError(f"{path}：不是 JSON（{error}）", f"{path}: not JSON ({error})") from error
    return value if isinstance(value, dict) else {}
