"""A file of multiple-choice questions as a task of lm-evaluation-harness.

Read are rows (.jsonl, or .json with a list, alone or under `example` as GAOKAO-Bench has it):

    {"question": "…", "A": "…", "B": "…", "C": "…", "D": "…", "answer": "B"}    C-Eval's columns
    {"question": "… A. … B. … C. … D. …", "answer": ["B"]}                       options inside it

The task asks as the harness' own C-Eval does: the question, its options, `答案：`, and the letter
that the model finds likeliest is its answer.
"""

import json
import random
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from common.language import BilingualError, either
from common.text_encodings import decode

LETTERS = "ABCD"


class TaskError(BilingualError, ValueError):
    """A file that cannot be asked; the message names file, row and what to do."""


@dataclass(frozen=True)
class Choices:
    """Questions with one right letter each; `left_out`: rows that have several, or two parts."""

    rows: list[dict[str, str]]
    left_out: int


def is_file(task: str) -> bool:
    """Whether a task is meant as a file of questions; else it is a name that the harness knows."""
    return Path(task).suffix in (".json", ".jsonl")


def read_choices(path: Path) -> Choices:
    """The questions of a file. Raises TaskError naming the row at fault."""
    rows, left_out = [], 0
    for where, row in _rows(path):
        found = _choice(row, where)
        if found:
            rows.append(found)
        else:
            left_out += 1
    if not rows:
        raise TaskError(
            f"{path}：没有只有一个正确选项的题（{left_out} 行有几个选项或几个小题）",
            f"{path}: no question with one right answer ({left_out} have several, or parts)",
        )
    return Choices(rows, left_out)


def drawn(rows: Sequence[dict[str, str]], count: int | None, seed: int = 0) -> list[dict[str, str]]:
    """`count` rows drawn by seed, in the file's order; all of them where there are no more."""
    if count is None or count >= len(rows):
        return list(rows)
    return [rows[i] for i in sorted(random.Random(seed).sample(range(len(rows)), count))]


def write_task(folder: Path, name: str, rows: Sequence[dict[str, str]]) -> None:
    """NAME.yaml and NAME.jsonl for the harness' `--include_path`. Raises OSError."""
    folder.mkdir(parents=True, exist_ok=True)
    data = folder / f"{name}.jsonl"
    data.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), "utf-8")
    task = {
        "task": name,
        "dataset_path": "json",
        "dataset_kwargs": {"data_files": {"test": str(data.resolve())}},
        "test_split": "test",
        "output_type": "multiple_choice",
        "doc_to_text": "{{text}}\n答案：",
        "doc_to_choice": list(LETTERS),
        "doc_to_target": "{{answer}}",
        "metric_list": [{"metric": "acc", "aggregation": "mean", "higher_is_better": True}],
        "metadata": {"version": 1.0},
    }
    # JSON is YAML: nothing in a path or a name can be taken for anything else.
    text = json.dumps(task, ensure_ascii=False, indent=1)
    (folder / f"{name}.yaml").write_text(text + "\n", encoding="utf-8")


def _rows(path: Path) -> list[tuple[str, Any]]:
    try:
        text = decode(path.read_bytes())
    except FileNotFoundError as error:
        raise TaskError(f"{path}：没有这个文件", f"{path}: no such file") from error
    except (OSError, ValueError) as error:
        raise TaskError(f"{path}: {error}") from error
    if path.suffix == ".jsonl":
        lines = [(f"{path}, line {n}", line) for n, line in enumerate(text.split("\n"), 1)]
        return [(where, _parsed(line, where)) for where, line in lines if line.strip()]
    value = _parsed(text, str(path))
    if isinstance(value, dict):
        value = value.get("example")
    if not isinstance(value, list):
        raise TaskError(
            f"{path}：应是题目的列表，或 example 下的列表",
            f'{path}: expected a list of questions, or one under "example"',
        )
    return [(f"{path}, question {n}", row) for n, row in enumerate(value, 1)]


def _choice(row: Any, where: str) -> dict[str, str] | None:
    """Text and right letter; None for a row with several right letters or several parts."""
    if not isinstance(row, dict) or not str(row.get("question") or "").strip():
        raise TaskError(f"{where}：没有 question", f"{where}: no question")
    answer = row.get("answer")
    letters = answer if isinstance(answer, list) else [answer]
    if len(letters) != 1:
        return None
    letter = str(letters[0]).strip().upper()
    if len(letter) > 1 and set(letter) <= set(LETTERS):
        return None
    if letter not in LETTERS or not letter:
        wanted = ", ".join(LETTERS)
        raise TaskError(
            f"{where}：answer {answer!r} 不是 {wanted} 之一",
            f"{where}: answer {answer!r} is none of {wanted}",
        )
    text = str(row["question"]).strip()
    given = [name for name in LETTERS if name in row]
    if given:
        if given != list(LETTERS):
            raise TaskError(_without_options(where, [n for n in LETTERS if n not in row]))
        text += "".join(f"\n{name}. {row[name]}" for name in LETTERS)
    elif missing := [name for name in LETTERS if name not in text]:
        raise TaskError(_without_options(where, missing))
    return {"text": text, "answer": letter}


def _without_options(where: str, missing: Sequence[str]) -> str:
    names = ", ".join(missing)
    return either(
        f"{where}：没有选项 {names}（写成列，或写在 question 里）",
        f"{where}: no option {names} (in columns of their own, or inside the question)",
    )


def _parsed(text: str, where: str) -> Any:
    try:
        return json.loads(text)
    except ValueError as error:
        raise TaskError(f"{where}：不是 JSON（{error}）", f"{where}: not JSON ({error})") from error
