"""Did it help? Several models served in turn, judged on the same test sets, side by side.

A model that `eval_local.py` has just judged need not be served again: its report is taken.
"""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from common.intervals import difference, interval
from common.manifest import read_manifest
from common.model_files import model_files_problems
from common.pairs import PairFile
from judging.read_report import Report, ReportError, read_report
from judging.scoring import score_answers, speed
from judging.testset import read_testsets
from train.base import ModelError, weight_bytes
from train.served import serve

TIE = 1e-9


@dataclass(frozen=True)
class Judged:
    """One model on one test set; scores are the judge's, `low` … `high` their 95 % interval.

    None: the service did not say. `max_tokens` is the longest answer that the model was allowed.
    """

    model: str
    testset: str
    demo: bool
    score: float
    low: float
    high: float
    ceiling: float
    echo: float | None
    chinese: float
    speed: float
    load_seconds: float | None
    peak_bytes: int | None
    device_bytes: int | None
    weight_bytes: int
    max_tokens: int | None
    wins: int
    losses: int
    difference: float
    difference_low: float
    difference_high: float


@dataclass(frozen=True)
class Comparison:
    """All results, the first model being what the others are compared with, and the answers.

    `questions`: one a question with `testset`, `question`, `reference`, and `answers` and `scores`
    by model.
    """

    models: list[str]
    results: list[Judged]
    questions: list[dict[str, Any]]


@dataclass(frozen=True)
class Asked:
    """One model's answers to every test set (in order) and the seconds of each set's calls."""

    answers: list[list[str]]
    seconds: list[float]
    load_seconds: float | None
    info: dict[str, Any]


def compare_models(
    models: list[Path],
    testsets: list[Path],
    python: Path,
    max_tokens: int | None = None,
    judged: Sequence[Path] = (),
) -> Comparison:
    """Judge each model on each test set and compare all with the first.

    max_tokens: longest answer of the models served here; None: the service's own setting.
    judged: folders that eval_local.py wrote; a model judged there is not served again.
    Raises ModelError when there is nothing to compare, a model cannot be served, or a folder does
    not fit; PairsError for a test set that cannot be read.
    """
    if len(models) < 2:
        raise ModelError("至少给两个模型：基座 微调后的", "give at least two models: BASE TUNED")
    if not testsets:
        raise ModelError("至少给一个 --testset", "give at least one --testset")
    sets = read_testsets(testsets)
    reports = [_read(folder) for folder in judged]
    known = {_model_of(report): report for report in reports}
    if strange := set(known) - {model.resolve() for model in models}:
        one = sorted(strange)[0]
        raise ModelError(
            f"--judged：那里评的是 {one}，它不在要比较的模型里",
            f"--judged: {one} was judged there, which is not compared",
        )
    judged_before = {at: _from_report(report, sets) for at, report in known.items()}
    served = [model for model in models if model.resolve() not in judged_before]
    for model in served:  # before the first is served for minutes
        if not model.is_dir():
            raise ModelError(f"{model}：没有这个目录", f"{model}: no such folder")
        if problems := model_files_problems(model):
            raise ModelError(f"{model}: {'; '.join(problems)}")
    asked = [
        judged_before.get(model.resolve()) or _ask(model, sets, python, max_tokens)
        for model in models
    ]
    return _compared(models, sets, asked)


def _ask(model: Path, sets: list[PairFile], python: Path, max_tokens: int | None) -> Asked:
    limit = {} if max_tokens is None else {"MAX_TOKENS": str(max_tokens)}
    with serve(model, python, **limit) as served:
        replies = [served.answers([q.question for q in s.pairs]) for s in sets]
        return Asked(
            [r.answers for r in replies],
            [r.total_seconds for r in replies],
            served.load_seconds,
            served.info,
        )


def _read(folder: Path) -> Report:
    try:
        report = read_report(folder)
    except ReportError as error:
        raise ModelError(f"--judged {error}") from error
    if failures := report.summary.get("failures"):
        raise ModelError(
            f"--judged {folder}：那次评测没有通过：{failures[0]}",
            f"--judged {folder}: that judgement failed: {failures[0]}",
        )
    return report


def _model_of(report: Report) -> Path:
    if report.model_dir is None:
        raise ModelError(
            f"--judged {report.folder}：没有写明是哪个模型",
            f"--judged {report.folder}: it does not say which model",
        )
    return report.model_dir.resolve()


def _from_report(report: Report, sets: list[PairFile]) -> Asked:
    answers, seconds = [], []
    for testset in sets:
        asked = [(q.question, q.answer) for q in testset.pairs]
        for told in report.summary["testsets"]:
            rows = [row for row in report.rows if row["testset"] == told["name"]]
            if [(row["question"], row["reference"]) for row in rows] == asked:
                answers.append([row["answer"] for row in rows])
                seconds.append(told["seconds"])
                break
        else:
            raise ModelError(
                f"--judged {report.folder}：那里没有评 {testset.name}",
                f"--judged {report.folder}: {testset.name} was not judged there",
            )
    info = report.summary["info"]
    return Asked(answers, seconds, info.get("startup", {}).get("ready_seconds"), info)


def _compared(models: list[Path], sets: list[PairFile], asked: list[Asked]) -> Comparison:
    results: list[Judged] = []
    questions = [
        {"testset": s.name, "question": q.question, "reference": q.answer}
        | {"answers": {}, "scores": {}}
        for s in sets
        for q in s.pairs
    ]
    first: list[list[float]] = []
    for model, given in zip(models, asked, strict=True):
        manifest, rows = read_manifest(model), iter(questions)
        memory = given.info.get("memory", {})
        for index, testset in enumerate(sets):
            answers, texts = given.answers[index], [q.question for q in testset.pairs]
            scores = score_answers([q.answer for q in testset.pairs], answers, texts)
            values = [item.score for item in scores.items]
            if model is models[0]:
                first.append(values)
            for answer, value in zip(answers, values, strict=True):
                row = next(rows)
                row["answers"][str(model)], row["scores"][str(model)] = answer, value
            own, gap = interval(values), difference(first[index], values)
            results.append(
                Judged(
                    model=str(model),
                    testset=testset.name,
                    demo=bool(manifest and manifest.demo),
                    score=scores.accuracy,
                    low=own.low,
                    high=own.high,
                    ceiling=scores.ceiling,
                    echo=scores.echo,
                    chinese=scores.chinese,
                    speed=speed(sum(map(len, answers)), given.seconds[index]),
                    load_seconds=given.load_seconds,
                    peak_bytes=memory.get("host_peak_bytes"),
                    device_bytes=memory.get("device_used_bytes"),
                    weight_bytes=weight_bytes(model),
                    max_tokens=given.info.get("settings", {}).get("max_tokens"),
                    wins=gap.wins,
                    losses=gap.losses,
                    difference=gap.mean,
                    difference_low=gap.low,
                    difference_high=gap.high,
                )
            )
    return Comparison([str(model) for model in models], results, questions)


def as_json(comparison: Comparison) -> str:
    """Everything, for programs."""
    told = {
        "models": comparison.models,
        "results": [asdict(result) for result in comparison.results],
        "questions": comparison.questions,
    }
    return json.dumps(told, ensure_ascii=False, indent=1) + "\n"
