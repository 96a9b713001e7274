"""What is most likely to raise the score: at most three steps, each from a number of a judged run.

Read from what is there already: the run's dev answers and verdict, its training rows, and, where
given, a report of eval_local.py on a test set. Each reason has the share of the score that it may
cost at most, a rough bound by which the reasons are ordered; it is no promise.
"""

import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from common.language import either
from common.manifest import read_manifest
from data.answer_profile import AnswerProfile, gap, measure
from judging.read_report import ReportError, read_report
from judging.scoring import Scores, score_answers
from train.base import ModelError
from train.recipe import Recipe
from train.samples import read_rows
from train.verdict import Verdict, read_verdict

SHORT = 0.7  # answers below this share of the references' length or words are short
LEAK_GAP = 0.15  # dev this far above a test set of the same book


@dataclass(frozen=True)
class Advice:
    """A reason with its number, the command that follows, and what it may cost of the score."""

    reason: str
    command: str
    cost: float


@dataclass(frozen=True)
class Judged:
    """Answers of the tuned model beside their references: dev questions, or a test set."""

    name: str
    questions: list[str]
    references: list[str]
    answers: list[str]
    passages: list[bool] | None  # whether the right one stood there; None: not known

    @property
    def scores(self) -> Scores:
        """The judge's numbers."""
        return score_answers(self.references, self.answers, self.questions)


def advise(out: Path, report: Path | None = None) -> list[Advice]:
    """The steps for a run's folder, the most promising first.

    report: a folder of eval_local.py. Raises ModelError for a run that was not judged.
    """
    verdict = read_verdict(out)
    if verdict is None:
        raise ModelError(
            f"{out}：没有评过（没有 verdict.json）：先 train run 或 train lora",
            f"{out}: not judged (no verdict.json): `train run` or `train lora` first",
        )
    recipe = _recipe(out)
    dev = _dev(out, verdict, recipe)
    shown = _report(report) if report else dev
    scores = shown.scores
    found: list[Advice | None] = [
        _worse(verdict, out),
        _style(shown, scores, recipe),
        _rambling(shown, scores, report),
        _retrieval(dev, shown, recipe),
        _leak(dev, shown, recipe) if report else None,
        _by_heart(out, recipe),
    ]
    return sorted((each for each in found if each), key=lambda each: -each.cost)[:3]


def _worse(verdict: Verdict, out: Path) -> Advice | None:
    if verdict.verdict != "worse":
        return None
    return Advice(
        either(
            f"微调后比基座低 {-verdict.difference:.3f}：训练得太多或数据的风格不对",
            f"tuned is {-verdict.difference:.3f} below its base: too much training, or rows of "
            "another style",
        ),
        f"bash run.sh train lora {out}/recipe.yaml num_train_epochs=1 learning_rate=5e-5 "
        f"lora_rank=8 output_dir={out}-gentle",
        -verdict.difference,
    )


def _style(shown: Judged, scores: Scores, recipe: Recipe) -> Advice | None:
    own, wanted = measure(shown.answers), measure(shown.references)
    if not _short(own, wanted) or scores.recall >= 0.6:
        return None
    told = gap(shown.answers, shown.references)
    return Advice(
        either(
            f"召回率 {scores.recall:.2f}，回答太短：{told}。训练数据要像目标",
            f"recall {scores.recall:.2f}, and answers are short: {told}. Rows must be like the "
            "target",
        ),
        f"bash run.sh data build {_book(recipe)} --out {recipe.dataset_dir} --like 测试集.docx",
        min(1 - scores.recall, 0.5),
    )


def _short(own: AnswerProfile, wanted: AnswerProfile) -> bool:
    return own.chars_mean < SHORT * wanted.chars_mean or (
        own.latin_words_mean < SHORT * wanted.latin_words_mean
    )


def _rambling(shown: Judged, scores: Scores, report: Path | None) -> Advice | None:
    long = scores.over_long / len(shown.answers)
    if scores.precision >= scores.recall - 0.05 or long < 0.1:
        return None
    command = (
        f".venv/bin/python -m judging.length_cap {report}"
        if report
        else "MAX_TOKENS=128 bash run.sh 测试集.docx"
    )
    return Advice(
        either(
            f"精确率 {scores.precision:.2f} 低于召回率 {scores.recall:.2f}，"
            f"{long:.0%} 的回答过长：限制长度",
            f"precision {scores.precision:.2f} is below recall {scores.recall:.2f}, and {long:.0%} "
            "of the answers are over-long: cap them",
        ),
        command,
        min(scores.recall - scores.precision, 0.5),
    )


def _retrieval(dev: Judged, shown: Judged, recipe: Recipe) -> Advice | None:
    found = shown.passages if shown.passages is not None else dev.passages
    if found is None:
        return Advice(
            either(
                "回答时没有翻书：实测中检索帮助最大（0.5B 从 0.17 到 0.39，1.5B 从 0.22 到 0.50，"
                "docs/retrieval.md）",
                "answered without the book: of all that was measured retrieval helps most (0.5B "
                "0.17 to 0.39, 1.5B 0.22 to 0.50, docs/retrieval.md)",
            ),
            f"bash run.sh retrieval build {_book(recipe)} --out index",
            0.22,
        )
    missed = found.count(False) / len(found)
    if missed < 0.15:
        return None
    return Advice(
        either(
            f"{missed:.0%} 的问题前面没有含答案的片段：检索没找到",
            f"{missed:.0%} of the questions had no passage that holds the answer: not found",
        ),
        f"bash run.sh retrieval evaluate {recipe.retrieval_dir} 测试集.docx",
        0.5 * missed,
    )


def _leak(dev: Judged, shown: Judged, recipe: Recipe) -> Advice | None:
    difference = dev.scores.accuracy - shown.scores.accuracy
    if difference < LEAK_GAP:
        return None
    return Advice(
        either(
            f"dev {dev.scores.accuracy:.3f} 远高于 {shown.name} 的 {shown.scores.accuracy:.3f}："
            "dev 题可能在训练集里，或与测试题风格不同",
            f"dev {dev.scores.accuracy:.3f} is far above {shown.name}'s "
            f"{shown.scores.accuracy:.3f}: dev questions leaked into training, or are of another "
            "style than the test's",
        ),
        f"bash run.sh data check-leak {recipe.dataset_dir / recipe.train_file} "
        f"{recipe.dataset_dir / (recipe.dev_file or recipe.train_file)}",
        difference,
    )


def _by_heart(out: Path, recipe: Recipe) -> Advice | None:
    """Dev loss that rises while the loss falls: the rows are being learnt by heart."""
    path = out / "trainer_log.json"
    log = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else []
    losses = [row["eval_loss"] for row in log if "eval_loss" in row]
    if len(losses) < 2 or losses[-1] < 1.1 * min(losses):
        return None
    return Advice(
        either(
            f"dev 损失从 {min(losses):.2f} 升到 {losses[-1]:.2f}：在背训练题，轮次太多",
            f"dev loss rose from {min(losses):.2f} to {losses[-1]:.2f}: rows are learnt by heart",
        ),
        f"bash run.sh train lora {out}/recipe.yaml num_train_epochs=1 output_dir={out}-short",
        0.05,
    )


def _dev(out: Path, verdict: Verdict, recipe: Recipe) -> Judged:
    rows = read_rows(out, verdict.best)
    questions = [row["question"] for row in rows]
    references = [row["reference"] for row in rows]
    found = _right_passages(recipe, questions, references) if verdict.book else None
    return Judged("dev", questions, references, [row["answer"] for row in rows], found)


def _right_passages(
    recipe: Recipe, questions: Sequence[str], references: Sequence[str]
) -> list[bool]:
    """Whether a passage found for each question shares most of its reference's terms."""
    from retrieval.search import Retriever
    from retrieval.terms import OVERLAP, index_terms, shares_of_terms

    assert recipe.retrieval_dir
    try:
        retriever = Retriever.load(recipe.retrieval_dir)
    except (ValueError, OSError) as error:
        raise ModelError(f"retrieval_dir={recipe.retrieval_dir}: {error}") from error
    hits = retriever.search(list(questions), recipe.retrieval_passages)
    terms = [[set(index_terms(hit.passage.text)) for hit in row] for row in hits]
    return [
        max(shares_of_terms(reference, row), default=0.0) >= OVERLAP
        for reference, row in zip(references, terms, strict=True)
    ]


def _report(folder: Path) -> Judged:
    try:
        report = read_report(folder)
    except ReportError as error:
        raise ModelError(f"--judged {error}") from error
    name = ", ".join(each["name"] for each in report.summary["testsets"])
    columns = ([row[key] for row in report.rows] for key in ("question", "reference", "answer"))
    return Judged(name, *columns, None)


def _recipe(out: Path) -> Recipe:
    path = out / "recipe.yaml"
    try:
        return Recipe.model_validate(yaml.safe_load(path.read_text(encoding="utf-8")))
    except (OSError, ValueError) as error:
        raise ModelError(f"{path}: {error}") from error


def _book(recipe: Recipe) -> str:
    """The books that the rows came from, by the manifest; else a word that stands for them."""
    manifest = read_manifest(recipe.dataset_dir) if recipe.dataset_dir.is_dir() else None
    return "教材.docx" if manifest is None else " ".join(_names(manifest.inputs)) or "教材.docx"


def _names(records: Iterable[Any]) -> list[str]:
    return [record.path for record in records]


Say = Callable[[str], None]


def tell(steps: Sequence[Advice], say: Say) -> None:
    """The steps for a person, numbered, each with its command."""
    if not steps:
        say(
            either(
                "这次运行的数字里看不出明显的原因：换更大的模型，或做更多的问答",
                "no number of this run stands out: a larger model, or more pairs",
            )
        )
    for number, step in enumerate(steps, 1):
        say(f"{number}. {step.reason}")
        say(f"   {step.command}")
