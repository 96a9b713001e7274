"""What the pipeline writes: jsonl in four shapes, dataset_info, testset.docx. What it merges."""

import json
import logging
import re
import zipfile
from collections.abc import Iterable, Sequence
from io import BytesIO
from pathlib import Path
from typing import Any, Literal, get_args

from common import pairs as common
from common.language import either
from common.prompting import SYSTEM_PROMPT, messages_for
from common.read_pairs import read_pairs
from data.code_lines import is_code
from data.records import CODE, Pair, digest
from data.split import SPLITS

log = logging.getLogger(__name__)

Shape = Literal["messages", "alpaca", "sharegpt", "query-response"]  # of a training row
_ZIP_TIME = (1980, 1, 1, 0, 0, 0)


def row_of(pair: Pair, shape: str = "messages", system: bool = False) -> dict[str, Any]:
    """One training row: the pair in the wanted shape, then where it comes from.

    `system` adds the system prompt of serving; this project's own training adds it by itself.
    Raises ValueError for an unknown shape.
    """
    prompt = pair.system or (SYSTEM_PROMPT if system else "")
    question = pair.prompt or pair.question
    if shape == "messages":
        turns: list[dict[str, Any]] = [*messages_for(question, prompt, pair.history)]
        if _learned_elsewhere(pair):
            turns = [
                each | {"weight": 0} if each["role"] == "assistant" else each for each in turns
            ]
        row: dict[str, Any] = {"messages": [*turns, {"role": "assistant", "content": pair.answer}]}
    elif shape == "alpaca":
        row = {"instruction": question, "input": "", "output": pair.answer}
    elif shape == "sharegpt":
        context = {"weight": 0} if _learned_elsewhere(pair) else {}
        row = {"conversations": []}
        for user, assistant in pair.history:
            row["conversations"] += [
                {"from": "human", "value": user},
                {"from": "gpt", "value": assistant, **context},
            ]
        row["conversations"] += [
            {"from": "human", "value": question},
            {"from": "gpt", "value": pair.answer},
        ]
    elif shape == "query-response":
        row = {"query": question, "response": pair.answer}
    else:
        raise ValueError(f"no format {shape!r}; there are: {', '.join(get_args(Shape))}")
    if pair.history and shape in ("alpaca", "query-response"):
        row["history"] = [list(turn) for turn in pair.history]
    if prompt and shape != "messages":
        row["system"] = prompt
    return {**row, **pair.provenance()}


def write_rows(path: Path, pairs: Iterable[Pair], shape: str, system: bool = False) -> None:
    """Write one jsonl file, line by line."""
    with path.open("w", encoding="utf-8", newline="\n") as stream:
        for pair in pairs:
            stream.write(json.dumps(row_of(pair, shape, system), ensure_ascii=False) + "\n")


def dataset_info(shape: str, system: bool = False) -> dict[str, Any]:
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
    return {f"textbook_{name}": {"file_name": f"{name}.jsonl", **entry} for name in SPLITS}


def read_told(path: Path) -> list[common.Pair]:
    """The pairs of a file (common/read_pairs.py), its warnings in the log. Raises PairsError."""
    found = read_pairs(path)
    for warning in found.warnings:
        log.warning("%s: %s", path, warning)
    return found.pairs


def merged_pairs(path: Path) -> list[Pair]:
    """Pairs of an existing file, to be cleaned and split with the book's own.

    Pairs with one answer, under one heading or of one talk stay together. A turn keeps the talk
    before it and its row's system message. Provenance that rows carry from an earlier build is
    kept. Raises PairsError.
    """
    given = read_told(path)
    for said, left in (
        (
            either(
                "粘在答案末尾的章标题，已去掉", "a chapter heading glued to the answer, cut off"
            ),
            [p.where for p in given if p.learn and _GLUED_HEADING.search(p.answer)],
        ),
        (
            either("权重为 0，不并入", "weight 0, left out"),
            [pair.where for pair in given if not pair.learn],
        ),
    ):
        if left:
            log.warning("%s: %s: %s", path, common.spots(left), said)
    return [_merged(pair, path) for pair in given if pair.learn]


def _merged(given: common.Pair, path: Path) -> Pair:
    given, row = given.alone, given.extra
    answer = _without_heading(given.answer)
    kind = CODE if is_code(answer) else "merged"
    made = isinstance(row.get("path"), list) and isinstance(row.get("book"), str)
    # All turns of a talk begin with the same one, whose answer names the place that they share.
    first = given.history[0][1] if given.history else answer
    pair = Pair(
        given.question,
        answer,
        kind=str(row.get("kind", kind)),
        source=f"merged:{path.name}",
        book=row["book"] if made else path.name,
        path=tuple(map(str, row["path"])) if made else (given.section or digest(first),),
        wordings=given.rephrasings,
        history=given.history,
        system=given.system,
    )
    said = [text for turn in pair.history for text in turn]
    pair.group = digest(pair.book, *pair.path, *said, pair.answer)
    return pair


# A chapter's heading that a careless reading of a Word file left at an answer's end.
def _learned_elsewhere(pair: Pair) -> bool:
    """Whether the answers before the last are learned in rows of their own: those of a merged talk
    are, each turn being a pair; a talk that a model wrote is one pair."""
    return pair.source.startswith("merged:")


_GLUED_HEADING = re.compile(
    r"(?<=[。！？.!?;；}])\s*第\s*[\d一二三四五六七八九十]+\s*章[^。！？\n]{0,40}$"
)


def _without_heading(answer: str) -> str:
    return _GLUED_HEADING.sub("", answer)


def write_testset(path: Path, pairs: Sequence[Pair]) -> list[Pair]:
    """Write pairs as a test set in the contest's layout; returns those it could not hold.

    The file is read back with the one reader of pairs: a pair that does not come back
    character for character (an answer with a line like "问题：", say) is left out. The bytes
    depend on the pairs only.
    """
    kept = [pair for pair in pairs if not pair.history]  # it asks one text a question
    for _ in range(len(pairs) + 1):
        _write_docx(path, kept)
        back = [(q.question, q.answer) for q in read_pairs(path).pairs] if kept else []
        wanted = [(pair.question, pair.answer) for pair in kept]
        if back == wanted:
            break
        present = set(back)
        lost = [pair for pair in kept if (pair.question, pair.answer) not in present]
        kept = [pair for pair in kept if (pair.question, pair.answer) in present]
        if not lost:
            raise common.PairsError(
                either(
                    f"{path}：写出的测试集读回来不一样",
                    f"{path}: the written test set reads back differently",
                )
            )
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
