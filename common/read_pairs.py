"""The one reader of question-answer files: every room sees the same pairs of the same file."""

import shlex
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

from common.language import either
from common.pairs import Pair, PairFile, PairsError, refused, spots
from common.row_formats import pairs_of
from common.row_talks import RowError
from common.text_doubts import doubts_about
from common.text_encodings import decode
from common.text_files import Row, rows_of
from common.workbooks import SUFFIXES as SHEET_SUFFIXES
from common.workbooks import sheet_rows

WORD_SUFFIXES = (".docx", ".docm")
TEXT_SUFFIXES = (".jsonl", ".json", ".ndjson", ".jsonlines", ".csv", ".tsv")


def read_pairs(path: str | Path, allow_empty: bool = False) -> PairFile:
    """The pairs of a Word document, workbook, jsonl, JSON or CSV in file order, with warnings.

    Rows may be in any layout of row_formats.LAYOUTS, each file in any of text_encodings'.
    Raises PairsError: no such file, an unknown format or encoding, rows that cannot be used (all
    are looked at, the first ten named), and no pair at all unless `allow_empty`.
    """
    path = Path(path)
    suffix = path.suffix.lower()
    if suffix not in (*WORD_SUFFIXES, *SHEET_SUFFIXES, *TEXT_SUFFIXES):
        raise PairsError(_expected(path))
    if not path.is_file():
        raise PairsError(f"{path}：没有这个文件", f"{path}: no such file")
    if suffix in WORD_SUFFIXES:
        from common.word.reader import read_docx  # lxml loads only where a docx is read

        found = read_docx(path)
        doubtful = [(p.place.spot, doubt) for p in found.pairs for doubt in doubts_about(p, False)]
        found = replace(found, warnings=[*found.warnings, *_by_note(doubtful)])
    else:
        found = _read_rows(path, suffix)
    if not found.pairs and not allow_empty:
        reasons = "".join(f"\n  {warning}" for warning in found.warnings[:5])
        raise PairsError(
            either(
                f"{path}：没有找到带答案的问题；docx 要有以“问题：”和“答案：”开头的段落"
                "（或有这两列的表格），xlsx、csv 要有这两列，jsonl 的每一行要有 question 和 answer"
                "（或 messages）",
                f"{path}: no question with an answer found; a docx needs paragraphs that begin "
                "with 问题： and 答案： (or a table with these columns), xlsx and csv need these "
                "columns, a jsonl question and answer (or messages) in each row",
            )
            + reasons
        )
    return found


def _expected(path: Path) -> str:
    old = {".doc": "docx", ".wps": "docx", ".xls": "xlsx", ".et": "xlsx", ".ods": "xlsx"}
    if into := old.get(path.suffix.lower()):
        command = f"soffice --headless --convert-to {into} {shlex.quote(path.name)}"
        return either(f"{path}：先转换：`{command}`", f"{path}: convert it first: `{command}`")
    return either(
        f"{path}：应是 .docx、.xlsx 或 .jsonl 文件（或 .json、.csv）；请另存为其中一种",
        f"{path}: expected a .docx, .xlsx or .jsonl file (or .json, .csv); save it as one of these",
    )


def _read_rows(path: Path, suffix: str) -> PairFile:
    rows: Iterable[Row]
    said_of: list[tuple[str, str]] = []  # (place, what is to be said)
    try:
        if suffix in SHEET_SUFFIXES:
            rows, said_of = sheet_rows(path)
        else:
            rows = rows_of(decode(path.read_bytes()), suffix)
    except OSError as error:
        raise PairsError(f"{path}: {error.strerror or error}") from error
    except ValueError as error:
        raise PairsError(f"{path}：{error}", f"{path}: {error}") from error
    pairs: list[Pair] = []
    problems: list[tuple[str, str]] = []
    for spot, row in rows:
        try:
            if isinstance(row, RowError):
                raise row
            of_row, said = pairs_of(row, path.name, spot)
        except RowError as error:
            problems.append((spot, str(error)))
            continue
        pairs += of_row
        said += [doubt for pair in of_row[-1:] for doubt in doubts_about(pair)]  # it holds the talk
        said_of += [(spot, note) for note in said]
    if problems:
        raise refused(path, problems)
    return PairFile(path, pairs, _by_note(said_of))


def _by_note(said: Iterable[tuple[str, str]]) -> list[str]:
    """Warnings of (place, note): each note once, with all of its places."""
    notes: dict[str, list[str]] = {}
    for spot, note in said:
        notes.setdefault(note, []).append(spot)
    mark = either("：", ": ")
    return [f"{spots(places)}{mark}{note}" for note, places in notes.items()]
