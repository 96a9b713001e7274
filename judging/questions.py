"""Test sets: docx in the contest's layout, or jsonl, as a list of questions with references."""

import json
import logging
from pathlib import Path
from typing import Any

from common.archives import check_archive as check_archive  # data/ reads books behind it, too
from judging.testset import Question as Question
from judging.testset import TestSet as TestSet
from judging.testset import TestSetError as TestSetError

log = logging.getLogger(__name__)

# Fields of a jsonl row that hold question and reference; the first pair present counts. A row of
# `answers.jsonl` holds both a reference and a model's answer, so the reference goes first.
_FIELD_PAIRS = [
    ("question", "reference"),
    ("question", "answer"),
    ("query", "response"),
    ("instruction", "output"),
]


def read_questions(path: str | Path) -> list[Question]:
    """The questions of a docx or jsonl test set, in file order; doubts go to the log.

    Raises TestSetError when the file cannot be read or holds no pair.
    """
    testset = read_testset(path)
    for warning in testset.warnings:
        log.warning("%s: %s", testset.path, warning)
    return testset.questions


def read_testset(path: str | Path) -> TestSet:
    """The questions of a docx or jsonl test set and the warnings about it.

    Raises TestSetError when the file cannot be read or holds no pair.
    """
    path = Path(path)
    readers = {".docx": _read_docx, ".jsonl": _read_jsonl}
    reader = readers.get(path.suffix.lower())
    if reader is None:
        raise TestSetError(f"{path}: expected a .docx or .jsonl file; save the test set as one")
    if not path.is_file():
        raise TestSetError(f"{path}: no such file")
    questions, warnings = reader(path)
    if not questions:
        reasons = "".join(f"\n  {warning}" for warning in warnings[:5])
        raise TestSetError(
            f"{path}: no question with an answer found; a docx needs paragraphs that begin "
            "with 问题： and 答案：, a jsonl question and answer (or messages) in each row"
            + reasons
        )
    return TestSet(path, questions, warnings)


def _read_docx(path: Path) -> tuple[list[Question], list[str]]:
    from judging import docx_layout  # python-docx loads only where a docx is read

    return docx_layout.read(path)


def _read_jsonl(path: Path) -> tuple[list[Question], list[str]]:
    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise TestSetError(f"{path}: not UTF-8 ({error}); convert the file") from error
    questions: list[Question] = []
    warnings: list[str] = []
    # Not splitlines(): JSON strings may hold U+2028 and its like unescaped.
    for number, line in enumerate(text.split("\n"), 1):
        if not line.strip():
            continue
        place = f"line {number}"
        try:
            row = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise TestSetError(f"{path}, {place}: not JSON ({error})") from error
        try:
            question, reference = _row_pair(row)
        except TestSetError as error:
            raise TestSetError(f"{path}, {place}: {error}") from None
        if not question or not reference:
            missing = "answer" if question else "question"
            warnings.append(f"{place}: the {missing} is empty, left out")
            continue
        section = row.get("section")
        questions.append(
            Question(question, reference, section if isinstance(section, str) else "", place)
        )
    return questions, warnings


def _row_pair(row: Any) -> tuple[str, str]:
    """Question and reference of one row. Raises TestSetError naming the field."""
    if not isinstance(row, dict):
        raise TestSetError("expected an object with question and answer, or messages")
    if "messages" in row:
        return _messages_pair(row["messages"])
    for names in _FIELD_PAIRS:
        if all(name in row for name in names):
            return _text(row, names[0]), _text(row, names[1])
    raise TestSetError("found neither question and answer nor messages")


def _messages_pair(messages: Any) -> tuple[str, str]:
    """The first user turn and the assistant's reply to it; later turns are no test question."""
    if not isinstance(messages, list) or not all(isinstance(turn, dict) for turn in messages):
        raise TestSetError("messages: expected a list of objects with role and content")
    roles = [turn.get("role") for turn in messages]
    if "user" not in roles or "assistant" not in roles[roles.index("user") :]:
        raise TestSetError("messages: expected a user turn and an assistant turn after it")
    user = roles.index("user")
    assistant = roles.index("assistant", user)
    return _text(messages[user], "content"), _text(messages[assistant], "content")


def _text(row: dict[str, Any], name: str) -> str:
    value = row.get(name)
    if not isinstance(value, str):
        raise TestSetError(f"{name}: expected text, got {type(value).__name__}")
    try:
        value.encode()
    except UnicodeEncodeError as error:
        raise TestSetError(f"{name}: half a surrogate pair at character {error.start}") from None
    return value.strip()
