"""A judgement as eval_local.py wrote it, read again: summary.json and answers.jsonl."""

import json
import math
import statistics
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from common.language import BilingualError, either
from judging.report_words import book_at_hand
from judging.scoring import rouge_l


class ReportError(BilingualError, ValueError):
    """A folder that holds no usable report; the message names it and what is missing."""


@dataclass(frozen=True)
class Report:
    """`summary` and `rows` as judging/report.py wrote them (rows: one a question, as asked)."""

    folder: Path
    summary: dict[str, Any]
    rows: list[dict[str, Any]]

    @property
    def name(self) -> str:
        """Short, for a column: the model and the folder."""
        return f"{self.model} · {self.folder.name}"

    @property
    def model(self) -> str:
        """The model's name, with its run where it is one's result."""
        name = str(self.summary.get("model") or "?")
        directory = self.model_dir
        if directory and directory.name == name and self.summary.get("manifest_chain"):
            return f"{directory.parent.name}/{name}"  # every run's are called merged, awq, …
        return name

    @property
    def failures(self) -> list[str]:
        """Why the judge would fail this submission: it then scores 0, whatever was answered."""
        return [str(each) for each in self.summary.get("failures") or []]

    @property
    def book(self) -> str:
        """Which book the service had at hand, in the reader's language where the service told it;
        "" where it had none."""
        info = self.summary.get("info")
        told = book_at_hand(info) if isinstance(info, dict) else ""
        return told or str(self.summary.get("book") or "")

    @property
    def model_dir(self) -> Path | None:
        """Where the service said that its model lies; None where it said nothing."""
        info = self.summary.get("info")
        settings = info.get("settings") if isinstance(info, dict) else None
        told = settings.get("model_dir") if isinstance(settings, dict) else None
        return Path(told) if isinstance(told, str) else None


def read_report(folder: Path) -> Report:
    """The report in a folder. Raises ReportError."""
    if not (folder / "summary.json").is_file():
        inside = sorted(each.parent for each in folder.glob("*/summary.json"))
        raise ReportError(
            f"{folder}：没有本地评测的报告（summary.json）"
            + (f"；里面最近的一份：{inside[-1]}" if inside else ""),
            f"{folder}: no report of the local judge (summary.json)"
            + (f"; the last one in it: {inside[-1]}" if inside else ""),
        )
    summary = _json(folder / "summary.json")
    rows = []
    path = folder / "answers.jsonl"
    try:
        lines = path.read_text(encoding="utf-8").split("\n")
    except (OSError, UnicodeDecodeError) as error:
        raise ReportError(
            f"{folder}：没有本地评测的报告（{error}）",
            f"{folder}: no report of the local judge ({error})",
        ) from error
    for number, line in enumerate(lines, 1):
        if line.strip():
            where = f"{path}, line {number}"
            rows.append(_row(_parsed(line, where), where))
    if not rows:
        raise ReportError(
            f"{folder}：answers.jsonl 里没有回答", f"{folder}: its answers.jsonl holds no answer"
        )
    return Report(folder, _checked(summary, rows, folder / "summary.json"), rows)


def read_reports(folder: Path) -> tuple[list[Report], list[str]]:
    """Every report below a folder, oldest first, and a line for each that cannot be read."""
    found, problems = [], []
    for path in sorted(folder.glob("*/summary.json")):
        try:
            found.append(read_report(path.parent))
        except ReportError as error:
            problems.append(str(error))
    found.sort(key=lambda report: str(report.summary.get("created", "")))
    return found, problems


def same_questions(reports: list[Report]) -> list[list[dict[str, Any]]]:
    """The rows of all reports for the questions that all of them asked, in the first's order: see
    `scored_rows`. Raises ReportError when there is none."""
    keyed = [{_key(row): row for row in scored_rows(each.rows)} for each in reports]
    shared = [key for key in keyed[0] if all(key in rows for rows in keyed)]
    if not shared:
        raise ReportError(_nothing_shared(reports))
    return [[rows[key] for key in shared] for rows in keyed]


def scored_rows(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The rows that can be scored and counted: with a reference, and each question (told by its
    text and its reference) once, since the same question twice is not more evidence."""
    found: dict[tuple[str, str], dict[str, Any]] = {}
    for row in rows:
        if row["reference"].strip():
            found.setdefault(_key(row), row)
    return list(found.values())


def without_reference(rows: list[dict[str, Any]]) -> int:
    """How many questions have no reference, so that no answer can be scored."""
    return sum(not row["reference"].strip() for row in rows)


def _key(row: dict[str, Any]) -> tuple[str, str]:
    return row["question"], row["reference"]


def _nothing_shared(reports: list[Report]) -> str:
    names = ", ".join(str(report.folder) for report in reports)
    for report in reports:
        if without_reference(report.rows) == len(report.rows):
            return either(
                f"{report.folder}：没有一题有参考答案，没有可以算的分"
                "（让模型来评：bash run.sh judging rate）",
                f"{report.folder}: no question has a reference, so there is no score "
                "(a model may judge: bash run.sh judging rate)",
            )
    asked = [{row["question"] for row in report.rows} for report in reports]
    if alike := len(set.intersection(*asked)):
        return either(
            f"{alike} 题问法相同而参考答案不同，不是同一套题：{names}",
            f"{alike} questions are alike but their references differ: other test sets: {names}",
        )
    return either(f"没有共同的问题：{names}", f"no question in common: {names}")


def _row(row: dict[str, Any], where: str) -> dict[str, Any]:
    """A row with what every command reads. Raises ReportError naming the field at fault."""
    for name in ("question", "answer"):
        if not isinstance(row.get(name), str):
            raise ReportError(f"{where}：没有 {name}", f"{where}: no {name}")
    row["reference"] = row.get("reference") or ""
    row.setdefault("testset", "?")
    if not isinstance(row["reference"], str):
        raise ReportError(f"{where}：reference 不是文字", f"{where}: its reference is no text")
    if row.get("score") is None:  # rows of another tool
        row["score"] = rouge_l(row["reference"], row["answer"]) if row["reference"].strip() else 0.0
    score = row["score"]
    if not _is_number(score) or not 0 <= score <= 1:
        told = either(f"score {score!r} 不是 0 到 1 的数", f"score {score!r} is not within 0 and 1")
        raise ReportError(f"{where}: {told}")
    return row


def _checked(summary: dict[str, Any], rows: list[dict[str, Any]], path: Path) -> dict[str, Any]:
    """A summary with the totals that are shown; those it does not tell are those of the rows.
    Raises ReportError naming the field at fault."""
    sets, total = summary.get("testsets"), summary.get("total") or {}
    if not isinstance(sets, list) or not all(
        isinstance(each, dict) and isinstance(each.get("name"), str) for each in sets
    ):
        told = either("testsets 不是题集的列表", "testsets is no list of test sets")
        raise ReportError(f"{path}: {told}")
    scores = [row["score"] for row in rows]
    known = {
        "accuracy": statistics.fmean(scores),
        "stderr": statistics.stdev(scores) / len(scores) ** 0.5 if len(scores) > 1 else 0.0,
        "speed": 0.0,
    }
    summary["total"] = known | total if isinstance(total, dict) else {}
    for name in known:
        if not _is_number(summary["total"].get(name)):
            told = either(f"total.{name} 不是数", f"total.{name} is no number")
            raise ReportError(f"{path}: {told}")
    return summary


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _json(path: Path) -> dict[str, Any]:
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ReportError(
            f"{path.parent}：没有本地评测的报告（{error}）",
            f"{path.parent}: no report of the local judge ({error})",
        ) from error
    return _parsed(text, str(path))


def _parsed(text: str, where: str) -> dict[str, Any]:
    try:
        value = json.loads(text)
    except ValueError as error:
        raise ReportError(
            f"{where}：不是 JSON（{error}）", f"{where}: not JSON ({error})"
        ) from error
    if not isinstance(value, dict):
        raise ReportError(f"{where}：不是对象", f"{where}: not an object")
    return value
