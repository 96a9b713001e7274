"""A judgement as eval_local.py wrote it, read again: summary.json and answers.jsonl."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from common.language import either


class ReportError(ValueError):
    """A folder that holds no usable report; the message names it and what is missing."""


@dataclass(frozen=True)
class Report:
    """`summary` and `rows` as judging/report.py wrote them (rows: one a question, as asked)."""

    folder: Path
    summary: dict[str, Any]
    rows: list[dict[str, Any]]

    @property
    def name(self) -> str:
        """Short, for a column: the model, with its run where it is one's result, and the folder."""
        model = str(self.summary.get("model", "?"))
        directory = self.model_dir
        if directory and directory.name == model and (directory / "manifest.json").is_file():
            model = f"{directory.parent.name}/{model}"  # every run's are called merged, awq, …
        return f"{model} · {self.folder.name}"

    @property
    def model_dir(self) -> Path | None:
        """Where the service said that its model lies; None where it said nothing."""
        info = self.summary.get("info")
        settings = info.get("settings") if isinstance(info, dict) else None
        told = settings.get("model_dir") if isinstance(settings, dict) else None
        return Path(told) if isinstance(told, str) else None


def read_report(folder: Path) -> Report:
    """The report in a folder. Raises ReportError."""
    summary = _json(folder / "summary.json")
    rows = []
    path = folder / "answers.jsonl"
    try:
        lines = path.read_text(encoding="utf-8").split("\n")
    except (OSError, UnicodeDecodeError) as error:
        raise ReportError(
            either(
                f"{folder}：没有本地评测的报告（{error}）",
                f"{folder}: no report of the local judge ({error})",
            )
        ) from error
    for number, line in enumerate(lines, 1):
        if line.strip():
            rows.append(_parsed(line, f"{path}, line {number}"))
    if not isinstance(summary.get("testsets"), list) or not rows:
        raise ReportError(
            either(
                f"{folder}：summary.json 或 answers.jsonl 里没有评测结果",
                f"{folder}: its summary.json or answers.jsonl holds no judgement",
            )
        )
    return Report(folder, summary, rows)


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
    """The rows of all reports for the questions that all of them asked, in the first's order.

    A question is told by its text and its reference. Raises ReportError when they share none.
    """
    keyed = [{(row["question"], row["reference"]): row for row in each.rows} for each in reports]
    shared = [key for key in keyed[0] if all(key in rows for rows in keyed)]
    if not shared:
        names = ", ".join(str(report.folder) for report in reports)
        raise ReportError(either(f"没有共同的问题：{names}", f"no question in common: {names}"))
    return [[rows[key] for key in shared] for rows in keyed]


def _json(path: Path) -> dict[str, Any]:
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ReportError(
            either(
                f"{path.parent}：没有本地评测的报告（{error}）",
                f"{path.parent}: no report of the local judge ({error})",
            )
        ) from error
    return _parsed(text, str(path))


def _parsed(text: str, where: str) -> dict[str, Any]:
    try:
        value = json.loads(text)
    except ValueError as error:
        raise ReportError(
            either(f"{where}：不是 JSON（{error}）", f"{where}: not JSON ({error})")
        ) from error
    if not isinstance(value, dict):
        raise ReportError(either(f"{where}：不是对象", f"{where}: not an object"))
    return value
