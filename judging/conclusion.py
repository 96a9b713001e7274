"""What a score means in one sentence, and the one thing to do next.

A model is of use once it beats the echo of its question, and the contest asks for WANTED_ACCURACY.
Whether a score is above or below either is said only where the 95 % interval allows it: mean ± 1.96
standard errors over the questions (of the differences, question by question, for the echo).
"""

import shlex
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from common.facts import WANTED_ACCURACY
from judging.scoring import Scores

Z_95 = 1.96
REPEATS_TOLD = 0.05  # of the answers; fewer are not worth a sentence
FEWEST = 6  # as in common/intervals.py, which loads numpy
REAL = "MODEL_ID=Qwen/Qwen3-4B BOOK=教材.docx TESTSET=测试集.docx bash runs/submit.sh"
_TUNED = {"lora", "full", "merge"}  # stages of a manifest that say the model was trained
_SIDES = {
    -1: ("低于", "below"),
    0: ("分不出高于还是低于", "not told apart from"),
    1: ("高于", "above"),
}


@dataclass(frozen=True)
class Standing:
    """An accuracy against its two marks: -1 below, 0 cannot be told, 1 above. `interval`: half of
    the 95 % interval; None for a single question. `echo`: None where it is not known."""

    accuracy: float
    interval: float | None
    echo: float | None
    over_echo: int
    over_wanted: int

    @property
    def chinese(self) -> str:
        """In Chinese, without a full stop."""
        echo, wanted = _SIDES[self.over_echo][0], _SIDES[self.over_wanted][0]
        over = "" if self.echo is None else f"{echo}复述问题（{self.echo:.3f}），"
        return (
            f"准确率 {self.accuracy:.3f}{self._spread}："
            f"{over}{wanted}比赛要求的 {WANTED_ACCURACY:g}"
        )

    @property
    def english(self) -> str:
        """In English, without a full stop."""
        echo, wanted = _SIDES[self.over_echo][1], _SIDES[self.over_wanted][1]
        over = "" if self.echo is None else f"{echo} the echo of the question ({self.echo:.3f}), "
        return (
            f"accuracy {self.accuracy:.3f}{self._spread}: "
            f"{over}{wanted} the contest's {WANTED_ACCURACY:g}"
        )

    @property
    def _spread(self) -> str:
        return "" if self.interval is None else f" ± {self.interval:.3f} (95 %)"


def standing(scores: Scores) -> Standing:
    """Where the scores of a test set, or of several together, stand."""
    return standing_of([item.score for item in scores.items], [item.echo for item in scores.items])


def standing_of(values: Sequence[float], echoes: Sequence[float | None]) -> Standing:
    """Where the scores of questions stand, each beside the score of its echo (None: not known)."""
    known = [each for each in echoes if each is not None]
    whole = len(known) == len(values)
    return Standing(
        accuracy=statistics.fmean(values),
        interval=Z_95 * statistics.stdev(values) / len(values) ** 0.5 if len(values) > 1 else None,
        echo=statistics.fmean(known) if whole else None,
        over_echo=_side([a - b for a, b in zip(values, known, strict=True)]) if whole else 0,
        over_wanted=_side([each - WANTED_ACCURACY for each in values]),
    )


def conclude(
    scores: Scores,
    failures: Sequence[str],
    model: Any,
    model_dir: str | None,
    url: str,
    testsets: Sequence[str],
) -> dict[str, str]:
    """The conclusion of a judgement: `zh` and `en`, one sentence each, and the next `command`.

    failures: why the judge would fail the submission. model: `model` of the service's GET /info,
    whatever it holds. model_dir: where the service says that its model lies.
    """
    model = model if isinstance(model, dict) else {}
    sets = shlex.join(testsets)
    directory = shlex.quote(model_dir) if model_dir else "模型目录"
    if failures:
        zh, en = (
            f"评测会判失败，得 0 分（{failures[0]}）",
            f"the judge would fail it: {failures[0]}",
        )
        then = ("改好后再评一次", "mend that and judge again")
        return _told(zh, en, then, f"bash run.sh judge {url} {sets}")
    found = standing(scores)
    zh, en = found.chinese, found.english
    if scores.repeats > REPEATS_TOLD * len(scores.items):
        zh += f"；{scores.repeats} 题只是把问题重说一遍"
        en += f"; {scores.repeats} answers only say their question again"
    if model.get("demo"):
        return _told(zh, en, ("换成真的模型", "a real model"), REAL)
    if found.over_echo > 0 and found.over_wanted >= 0:
        then = ("提交前检查", "check it before the push")
        return _told(zh, en, then, f"bash run.sh preflight --model-dir {directory} {sets}")
    stages = _stages(model.get("manifest"))
    if _TUNED & stages.keys():
        options = " ".join(f"--testset {shlex.quote(each)}" for each in testsets)
        base = base_of(model.get("manifest"))
        base = shlex.quote(base) if base else "基座目录"
        then = ("看看微调有没有帮助", "see whether tuning helped")
        return _told(zh, en, then, f"bash run.sh train compare {base} {directory} {options}")
    then = ("用教材微调", "fine-tune it on the book")
    tune = f"MODEL_DIR={directory} BOOK=教材.docx TESTSET=测试集.docx bash runs/submit.sh"
    return _told(zh, en, then, tune)


def _told(zh: str, en: str, then: tuple[str, str], command: str) -> dict[str, str]:
    return {"zh": f"{zh}。{then[0]}：", "en": f"{en}. Next, {then[1]}:", "command": command}


def _side(differences: Sequence[float]) -> int:
    """1 or -1 where the 95 % interval of the mean lies above or below 0, else 0."""
    if len(differences) < FEWEST:
        return 0
    mean = statistics.fmean(differences)
    spread = Z_95 * statistics.stdev(differences) / len(differences) ** 0.5
    return (mean > spread) - (mean < -spread)


def base_of(manifest: Any) -> str | None:
    """The model that was trained, by the manifest of the stage that trained it."""
    for stage in ("lora", "full"):
        settings = _stages(manifest).get(stage)
        name = settings.get("model_name_or_path") if isinstance(settings, dict) else None
        if isinstance(name, str):
            return name
    return None


def _stages(manifest: Any) -> dict[str, Any]:
    """The stages that a manifest and its parents name, with their settings; empty for anything
    else."""
    if not isinstance(manifest, dict):
        return {}
    found: dict[str, Any] = {}
    parents = manifest.get("parents")
    for parent in parents if isinstance(parents, list) else []:
        found |= _stages(parent)
    return found | {str(manifest.get("stage")): manifest.get("settings")}
