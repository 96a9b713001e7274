"""What the pipeline writes and reads back: jsonl in four shapes, dataset_info, testset.docx."""

import json
import re
import zipfile
from collections.abc import Iterable, Iterator, Sequence
from io import BytesIO
from pathlib import Path
from typing import Any, Literal, get_args

from common.prompting import SYSTEM_PROMPT, messages_for
from data.records import Pair, digest
from data.split import SPLITS
from judging.questions import TestSetError, read_questions

Shape = Literal["messages", "alpaca", "sharegpt", "query-response"]  # of a training row
_ZIP_TIME = (1980, 1, 1, 0, 0, 0)


def row_of(pair: Pair, shape: str = "messages", system: bool = False) -> dict[str, Any]:
    """One training row: the pair in the wanted shape, then where it comes from.

    `system` adds the system prompt of serving; this project's own training adds it by itself.
    Raises ValueError for an unknown shape.
    """
    prompt = SYSTEM_PROMPT if system else ""
    if shape == "messages":
        turns = messages_for(pair.question, prompt)
        row: dict[str, Any] = {"messages": [*turns, {"role": "assistant", "content": pair.answer}]}
    elif shape == "alpaca":
        row = {"instruction": pair.question, "input": "", "output": pair.answer}
    elif shape == "sharegpt":
        row = {
            "conversations": [
                {"from": "human", "value": pair.question},
                {"from": "gpt", "value": pair.answer},
            ]
        }
    elif shape == "query-response":
        row = {"query": pair.question, "response": pair.answer}
    else:
        raise ValueError(f"no format {shape!r}; there are: {', '.join(get_args(Shape))}")
    if prompt and shape != "messages":
        row["system"] = prompt
    return {**row, **pair.provenance()}


def write_rows(path: Path, pairs: Iterable[Pair], shape: str, system: bool = False) -> None:
    """Write one jsonl file, line by line."""
    with path.open("w", encoding="utf-8", newline="\n") as stream:
        for pair in pairs:
            stream.write(json.dumps(row_of(pair, shape, system), ensure_ascii=False) + "\n")


def dataset_info(shape: str, prefix: str = "textbook", system: bool = False) -> dict[str, Any]:
    """LLaMA-Factory's description of the three files (ms-swift reads the jsonl as they are)."""
    columns: dict[str, dict[str, Any]] = {
        "messages": {
            "formatting": "sharegpt",
            "columns": {"messages": "messages"},
            "tags": {
                "role_tag": "role",
                "content_tag": "content",
                "user_tag": "user",
                "assistant_tag": "assistant",
                "system_tag": "system",
            },
        },
        "alpaca": {"columns": {"prompt": "instruction", "query": "input", "response": "output"}},
        "sharegpt": {"formatting": "sharegpt", "columns": {"messages": "conversations"}},
        "query-response": {"columns": {"prompt": "query", "response": "response"}},
    }
    entry = columns[shape]
    if system and shape != "messages":
        entry["columns"]["system"] = "system"
    return {f"{prefix}_{name}": {"file_name": f"{name}.jsonl", **entry} for name in SPLITS}


def read_rows(path: Path) -> Iterator[dict[str, Any]]:
    """Rows of a jsonl in any of the shapes, each with "question" and "answer", one at a time.

    Raises TestSetError naming file and line of the first row that cannot be used.
    """
    with path.open(encoding="utf-8-sig") as stream:
        for number, line in enumerate(stream, 1):
            if not line.strip():
                continue
            try:
                row = json.loads(line)
                question, answer = _both(row)
            except (ValueError, TypeError, KeyError, AttributeError, IndexError) as error:
                raise TestSetError(
                    f"{path}, line {number}: no question and answer in it ({error}); known: "
                    "messages, conversations, instruction/output, query/response, question/answer"
                ) from error
            yield {**row, "question": question, "answer": answer}


def _both(row: dict[str, Any]) -> tuple[str, str]:
    if "messages" in row:
        said = [(turn["role"], turn["content"]) for turn in row["messages"]]
        return _first(said, "user"), _first(said, "assistant")
    if "conversations" in row:
        said = [(turn["from"], turn["value"]) for turn in row["conversations"]]
        return _first(said, "human"), _first(said, "gpt")
    if "instruction" in row:
        extra = row.get("input") or ""
        return f"{row['instruction']}\n{extra}".strip(), row["output"].strip()
    if "query" in row:
        return row["query"].strip(), row["response"].strip()
    answer = row["reference"] if "reference" in row else row["answer"]
    return row["question"].strip(), answer.strip()


def _first(said: list[tuple[str, str]], role: str) -> str:
    for who, text in said:
        if who == role:
            return text.strip()
    raise ValueError(f"no turn of {role}")


def read_pairs(path: Path) -> list[tuple[str, str]]:
    """(question, answer) of a training or test file: jsonl in any shape, or the contest's docx.

    Raises TestSetError.
    """
    if not path.is_file():
        raise TestSetError(f"{path}: no such file")
    if path.suffix.lower() == ".docx":
        return [(q.question, q.reference) for q in read_questions(path)]
    return [(row["question"], row["answer"]) for row in read_rows(path)]


def merged_pairs(path: Path) -> list[Pair]:
    """Pairs of an existing docx or jsonl, to be cleaned and split with the book's own.

    Pairs with one answer, or under one heading, stay together. Provenance that rows carry
    from an earlier build is kept.
    """
    if path.suffix.lower() == ".docx":
        rows: Iterable[dict[str, Any]] = (
            {"question": q.question, "answer": q.reference, "section": q.section}
            for q in read_questions(path)
        )
    else:
        rows = read_rows(path)
    found = []
    for row in rows:
        section = row.get("section") or digest(row["answer"])
        made = isinstance(row.get("path"), list) and isinstance(row.get("book"), str)
        pair = Pair(
            row["question"],
            row["answer"],
            kind=str(row.get("kind", "merged")),
            source=f"merged:{path.name}",
            book=row["book"] if made else path.name,
            path=tuple(row["path"]) if made else (str(section),),
        )
        pair.group = digest(pair.book, *pair.path, pair.answer)
        others = row.get("rephrasings") or row.get("wordings") or []
        pair.wordings = tuple(text for text in others if isinstance(text, str) and text.strip())
        found.append(pair)
    return found


def write_testset(path: Path, pairs: Sequence[Pair]) -> list[Pair]:
    """Write pairs as a test set in the contest's layout; returns those it could not hold.

    The file is read back with the judge's own reader: a pair that does not come back
    character for character (an answer with a line like "问题：", say) is left out. The bytes
    depend on the pairs only.
    """
    kept = list(pairs)
    for _ in range(len(pairs) + 1):
        _write_docx(path, kept)
        back = [(q.question, q.reference) for q in read_questions(path)] if kept else []
        wanted = [(pair.question, pair.answer) for pair in kept]
        if back == wanted:
            break
        present = set(back)
        lost = [pair for pair in kept if (pair.question, pair.answer) not in present]
        kept = [pair for pair in kept if (pair.question, pair.answer) in present]
        if not lost:
            raise TestSetError(f"{path}: the written test set reads back differently")
    return [pair for pair in pairs if pair not in kept]


def _write_docx(path: Path, pairs: Sequence[Pair]) -> None:
    import docx

    document = docx.Document()
    chapter = ""
    count = 0
    for pair in pairs:
        title = pair.path[0] if pair.path else pair.book
        if title != chapter:
            chapter = title
            count += 1
            numbered = re.match(r"第.{1,5}[章节篇]", title)
            heading = title if numbered else f"第{count}章 {title}"
            document.add_paragraph().add_run(heading[:60]).bold = True
        document.add_paragraph(f"问题：{pair.question}")
        first, *rest = pair.answer.split("\n")
        document.add_paragraph(f"答案：{first}")
        for line in rest:
            document.add_paragraph(line)
    buffer = BytesIO()
    document.save(buffer)
    with zipfile.ZipFile(buffer) as source, zipfile.ZipFile(path, "w") as target:
        for name in source.namelist():
            info = zipfile.ZipInfo(name, _ZIP_TIME)
            info.compress_type = zipfile.ZIP_DEFLATED
            target.writestr(info, source.read(name))
