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
    the 95 % interval; None for a single question, of which nothing can be told."""

    accuracy: float
    interval: float | None
    echo: float
    over_echo: int
    over_wanted: int

    @property
    def chinese(self) -> str:
        """In Chinese, without a full stop."""
        echo, wanted = _SIDES[self.over_echo][0], _SIDES[self.over_wanted][0]
        return (
            f"准确率 {self.accuracy:.3f}{self._spread}："
            f"{echo}复述问题（{self.echo:.3f}），{wanted}比赛要求的 {WANTED_ACCURACY:g}"
        )

    @property
    def english(self) -> str:
        """In English, without a full stop."""
        echo, wanted = _SIDES[self.over_echo][1], _SIDES[self.over_wanted][1]
        return (
            f"accuracy {self.accuracy:.3f}{self._spread}: {echo} the echo of the question "
            f"({self.echo:.3f}), {wanted} the contest's {WANTED_ACCURACY:g}"
        )

    @property
    def _spread(self) -> str:
        return "" if self.interval is None else f" ± {self.interval:.3f} (95 %)"


def standing(scores: Scores) -> Standing:
    """Where the scores of a test set, or of several together, stand. They must have an echo."""
    items = [item for item in scores.items if item.echo is not None]
    over_echo = [item.score - (item.echo or 0.0) for item in items]
    over_wanted = [item.score - WANTED_ACCURACY for item in scores.items]
    known = len(scores.items) > 1
    return Standing(
        accuracy=scores.accuracy,
        interval=Z_95 * scores.stderr if known else None,
        echo=scores.echo or 0.0,
        over_echo=_side(over_echo),
        over_wanted=_side(over_wanted),
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
    if model.get("demo"):
        return _told(zh, en, ("换成真的模型", "a real model"), REAL)
    if found.over_echo > 0 and found.over_wanted >= 0:
        then = ("提交前检查", "check it before the push")
        return _told(zh, en, then, f"bash run.sh preflight --model-dir {directory} {sets}")
    if _stages(model.get("manifest")) & _TUNED:
        options = " ".join(f"--testset {shlex.quote(each)}" for each in testsets)
        then = ("看看微调有没有帮助", "see whether tuning helped")
        return _told(zh, en, then, f"bash run.sh train compare 基座目录 {directory} {options}")
    then = ("用教材微调", "fine-tune it on the book")
    tune = f"MODEL_DIR={directory} BOOK=教材.docx TESTSET=测试集.docx bash runs/submit.sh"
    return _told(zh, en, then, tune)


def _told(zh: str, en: str, then: tuple[str, str], command: str) -> dict[str, str]:
    return {"zh": f"{zh}。{then[0]}：", "en": f"{en}. Next, {then[1]}:", "command": command}


def _side(differences: Sequence[float]) -> int:
    """1 or -1 where the 95 % interval of the mean lies above or below 0, else 0."""
    if len(differences) < 2:
        return 0
    mean = statistics.fmean(differences)
    spread = Z_95 * statistics.stdev(differences) / len(differences) ** 0.5
    return (mean > spread) - (mean < -spread)


def _stages(manifest: Any) -> set[str]:
    """The stages that a manifest and its parents name; empty for anything else."""
    if not isinstance(manifest, dict):
        return set()
    parents = manifest.get("parents")
    found = {str(manifest.get("stage"))}
    return found.union(*map(_stages, parents if isinstance(parents, list) else []))
