"""Did this run help? Base and tuned model on the same dev questions, paired, as they are served.

The base is a candidate like every epoch ("epoch 0"). The gain is cross-fitted: the checkpoint that
answers a question for the verdict is the one that the other half of the questions would choose, so
that choosing the best of several epochs does not count as a gain.
"""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from statistics import fmean
from typing import Literal

from pydantic import BaseModel, ValidationError

from common.intervals import VERDICTS, interval
from common.language import either
from judging.scoring import rouge_l
from train.base import ModelError
from train.book import uses_book
from train.recipe import Recipe
from train.samples import read_rows, remove_samples

NAME = "verdict.json"
FEWEST = 10  # questions; of fewer nothing can be told
EXIT_WORSE = 3  # of `train run`: stopped before the export


class Point(BaseModel):
    """One candidate: the mean score and its 95 % interval. step 0 is the base."""

    step: int
    epoch: float
    score: float
    low: float
    high: float


class Verdict(BaseModel):
    """What a run brought on `questions` dev questions; scores are the judge's.

    difference: of tuned to base, cross-fitted, `low` … `high` its 95 % interval. chosen: the step
    with the best score, 0 for the base; best: the best step of the training itself.
    book: whether passages stood before the questions. cap: longest answer in tokens.
    """

    verdict: Literal["better", "same", "worse"]
    questions: int
    base: float
    tuned: float
    difference: float
    low: float
    high: float
    chosen: int
    best: int
    book: bool
    cap: int
    curve: list[Point]

    @property
    def word(self) -> str:
        """The verdict in a word."""
        return either(*VERDICTS[{"better": 1, "same": 0, "worse": -1}[self.verdict]])


def reach_verdict(recipe: Recipe, epochs: Mapping[int, float]) -> Verdict:
    """The verdict over the answers of step 0 and of these steps; written to the run's folder.

    epochs: step → epoch of every checkpoint that was judged. Raises OSError for missing answers.
    """
    out = recipe.output_dir
    scores = read_scores(out, (0, *epochs))
    found = decide(scores, {0: 0.0, **epochs}, uses_book(recipe), recipe.eval_max_new_tokens)
    (out / NAME).write_text(found.model_dump_json(indent=1) + "\n", encoding="utf-8")
    return found


def decide(
    scores: Mapping[int, Sequence[float]], epochs: Mapping[int, float], book: bool, cap: int
) -> Verdict:
    """The verdict by each candidate's scores a question; step 0 is the base, others are tuned.

    Raises ValueError when nothing but the base was judged.
    """
    base, fitted = scores[0], cross_fitted(scores)
    tuned = {step: values for step, values in scores.items() if step}
    size = len(base)
    gains = [b - a for a, b in zip(base, fitted, strict=True)]
    found = interval(gains)
    low, high = found.low, found.high
    verdict: Literal["better", "same", "worse"] = "same"
    if size >= FEWEST and low > 0:
        verdict = "better"
    elif size >= FEWEST and high < 0:
        verdict = "worse"
    return Verdict(
        verdict=verdict,
        questions=size,
        base=fmean(base),
        tuned=fmean(fitted),
        difference=fmean(gains),
        low=low,
        high=high,
        chosen=_best(scores, range(size)),
        best=_best(tuned, range(size)),
        book=book,
        cap=cap,
        curve=[_point(step, epochs[step], scores[step]) for step in sorted(scores)],
    )


def cross_fitted(scores: Mapping[int, Sequence[float]]) -> list[float]:
    """The tuned model's score of each question, by the checkpoint that the other half chooses.

    Raises ValueError when nothing but the base was judged.
    """
    tuned = {step: values for step, values in scores.items() if step}
    if not tuned:
        raise ValueError("no checkpoint was judged")
    size = len(scores[0])
    halves = [range(0, size, 2), range(1, size, 2)]
    fitted = [0.0] * size
    for own, other in (halves, halves[::-1]):
        step = _best(tuned, other if len(other) else own)
        for i in own:
            fitted[i] = tuned[step][i]
    return fitted


def read_scores(out: Path, steps: Iterable[int]) -> dict[int, list[float]]:
    """The judge's score of each dev question at these steps. Raises OSError for missing answers."""
    return {
        step: [rouge_l(row["reference"], row["answer"]) for row in read_rows(out, step)]
        for step in steps
    }


def read_verdict(out: Path) -> Verdict | None:
    """The verdict of a run's folder, or None. Raises ModelError for a file that is none."""
    path = out / NAME
    if not path.is_file():
        return None
    try:
        return Verdict.model_validate_json(path.read_text(encoding="utf-8"))
    except ValidationError as error:
        raise ModelError(
            f"{path}：坏了；请重新训练，或删掉它", f"{path}: damaged; train again, or remove it"
        ) from error


def forget_judgement(out: Path) -> None:
    """Remove what an earlier run in this folder was found to be."""
    remove_samples(out)
    (out / NAME).unlink(missing_ok=True)


def sentences(found: Verdict, out: Path) -> list[str]:
    """What a person reads: the verdict with its numbers, then what follows."""
    book = (
        either("，带着教材片段", ", with the book at hand")
        if found.book
        else either("，不翻书", ", without the book")
    )
    told = either(
        f"{found.word}：{found.questions} 道留出题{book}，基座 {found.base:.3f}，微调后 "
        f"{found.tuned:.3f}，差 {found.difference:+.3f}（95 % 区间 {found.low:+.3f} 至 "
        f"{found.high:+.3f}）",
        f"{found.word}: {found.questions} held-out questions{book}: base {found.base:.3f}, tuned "
        f"{found.tuned:.3f}, difference {found.difference:+.3f} (95 % interval {found.low:+.3f} "
        f"to {found.high:+.3f})",
    )
    return [told, _what_follows(found, out)]


def _what_follows(found: Verdict, out: Path) -> str:
    advise = f"bash run.sh train advise {out}"
    if found.questions < FEWEST:
        return either(
            f"题太少（不到 {FEWEST} 道），说明不了什么：多留一些 dev 题",
            f"fewer than {FEWEST} questions tell nothing: hold out more dev rows",
        )
    if found.verdict == "better":
        epoch = next(p.epoch for p in found.curve if p.step == found.best)
        return either(
            f"接下来合并、导出（第 {epoch:g} 轮的检查点），再用真的测试集评测",
            f"next: merge and export (the checkpoint of epoch {epoch:g}), then judge a test set",
        )
    if found.verdict == "same":
        return either(
            f"用基座也一样：先看怎样提高：{advise}",
            f"the base does as well; what may raise the score: {advise}",
        )
    return either(
        f"不要提交这个模型，基座更好；原因和办法：{advise}",
        f"do not submit this model, its base is better; why, and what to do: {advise}",
    )


def _best(scores: Mapping[int, Sequence[float]], places: Sequence[int]) -> int:
    """The step with the best mean on these places; of equal ones the earliest."""
    return max(sorted(scores), key=lambda step: fmean(scores[step][i] for i in places))


def _point(step: int, epoch: float, values: Sequence[float]) -> Point:
    found = interval(values)
    return Point(step=step, epoch=epoch, score=found.mean, low=found.low, high=found.high)
