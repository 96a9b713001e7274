"""Random inputs for what strangers can reach: the request model, every route, the pair reader.

    python -m tests.fuzz --inputs 100000

A few hundred of them run in tests/test_fuzz.py. Inputs are good ones, damaged: a parser's doors
open only to what looks right. Anything but a clean refusal or a whole answer is a finding; the
input is printed, and the exit code is 1.
"""

import argparse
import asyncio
import collections
import io
import json
import logging
import random
import sys
import tempfile
import time
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx

from common.pairs import PairsError
from common.read_pairs import read_pairs
from serving.http.schema import parse_predict
from serving.settings import Settings
from tests import docx_files
from tests.instant_engine import instant_app, running_app

PIECES = [
    *("什么是 warp？", "cudaMemcpy", "<|im_end|>", "<think>", "</think>", "<tool_response>", "{%"),
    *(
        "\0",
        "\u202e",
        "\u200b",
        "\ufeff",
        "\ud800",
        "\udfff",
        "😀",
        "👩‍👩‍👧",
        "e\u0301",
        "\r\n",
        '"',
        "\\",
    ),
    *(
        "x" * 3000,
        " " * 500,
        "1e999",
        "NaN",
        "null",
        "../../x",
        "%s%n",
        "${jndi:x}",
        "问题：",
        "答案：",
    ),
]
OK = {200, 400, 401, 404, 405, 408, 413, 422, 431}


def text(dice: random.Random) -> str:
    """A text of odd pieces."""
    return "".join(dice.choice(PIECES) for _ in range(dice.choice((0, 1, 1, 2, 5))))


def value(dice: random.Random, depth: int = 0) -> Any:
    """Any JSON value, more likely one of the contract's."""
    kind = dice.random()
    if kind < 0.45 or depth > 4:
        return text(dice)
    if kind < 0.7:
        return [value(dice, depth + 1) for _ in range(dice.choice((0, 1, 2, 5, 30)))]
    if kind < 0.8:
        return {text(dice): value(dice, depth + 1) for _ in range(dice.randrange(4))}
    return dice.choice((None, True, False, 0, -1, 10**30, 1.5, float("nan"), float("inf")))


def damaged(dice: random.Random, data: bytes) -> bytes:
    """Some bytes changed, dropped, doubled or moved."""
    for _ in range(dice.choice((0, 1, 1, 3, 20))):
        if not data:
            break
        at, size = dice.randrange(len(data)), dice.choice((1, 1, 4, 64))
        piece = data[at : at + size]
        change = dice.randrange(4)
        if change == 0:
            piece = dice.randbytes(len(piece))
        elif change == 1:
            piece = b""
        elif change == 2:
            piece *= dice.choice((2, 2, 100))
        else:
            other = dice.randrange(len(data))
            piece = data[other : other + size]
        data = data[:at] + piece + data[at + size :]
    return data


def body(dice: random.Random) -> bytes:
    """A body of POST /predict, right or nearly so."""
    shape = dice.random()
    if shape < 0.6:
        data = {"prompt": value(dice)}
    elif shape < 0.8:
        data = {"prompt": [text(dice) for _ in range(dice.randrange(20))], text(dice): 1}
    else:
        data = value(dice)
    encoding = dice.choice(("utf-8", "utf-8", "utf-8", "utf-16", "utf-32"))
    plain = json.dumps(data, ensure_ascii=dice.random() < 0.5).encode(encoding, "surrogatepass")
    return plain if dice.random() < 0.5 else damaged(dice, plain)


def good_docx(path: Path) -> bytes:
    """A small test set in which Word has left all that it leaves in files."""
    change = 'w:id="1" w:author="A" w:date="2024-01-01T00:00:00Z"'
    field = '<w:r><w:fldChar w:fldCharType="{}"/></w:r>'
    run, merge = docx_files.r("int x = 1;"), "<w:vMerge/>"
    blocks = [
        docx_files.p("第一章 起步", properties='<w:pStyle w:val="Heading1"/>'),
        docx_files.p("问题：第一个？"),
        docx_files.p("答案：", f"<w:ins {change}>{run}</w:ins>", f"<w:del {change}>{run}</w:del>"),
        docx_files.p("    printf(1);", docx_files.box(docx_files.p("f();"))),
        f"<w:sdt><w:sdtContent>{docx_files.p('问题：第二个？')}</w:sdtContent></w:sdt>",
        docx_files.p("答案：", *map(field.format, ("begin", "separate")), run, field.format("end")),
        docx_files.p("乙", properties=f"<w:numPr/><w:rPr><w:del {change}/></w:rPr>"),
        docx_files.p('<w:r><w:sym w:font="Symbol" w:char="F061"/></w:r>', "<m:oMath/>"),
        docx_files.tbl(
            docx_files.tr("问题", "答案"),
            docx_files.tr("第三个？", docx_files.tc("丙。", properties=merge)),
        ),
        docx_files.tbl(
            docx_files.tr(
                docx_files.tc(
                    docx_files.tbl(docx_files.tr("题目", "答案"), docx_files.tr("丁", "1"))
                )
            )
        ),
        docx_files.p("☐①问题：第五个？"),
        docx_files.p("☑ 答案：戊。"),
    ]
    return docx_files.write(path, *blocks).read_bytes()


def docx_bytes(dice: random.Random, parts: dict[str, bytes], whole: bytes) -> bytes:
    """The docx with damage to the archive, or to what is in it."""
    if dice.random() < 0.3:
        return damaged(dice, whole)
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_STORED) as archive:
        chosen = dice.choice(["word/document.xml", dice.choice(list(parts))])
        for name, content in parts.items():
            if name != chosen or dice.random() < 0.9:
                archive.writestr(name, damaged(dice, content) if name == chosen else content)
    return out.getvalue()


async def ask_bodies(
    client: httpx.AsyncClient, dice: random.Random, count: int
) -> Iterator[tuple[str, Any]]:
    """Findings among `count` bodies; the first item counts the statuses."""
    statuses: collections.Counter[int] = collections.Counter()
    findings: list[tuple[str, Any]] = []
    for _ in range(count):
        sent = body(dice)
        try:
            reply = await client.post("/predict", content=sent)
        except Exception as error:  # noqa: BLE001 - any that gets here is a finding
            findings.append((f"{type(error).__name__}: {error}", sent))
            continue
        statuses[reply.status_code] += 1
        if reply.status_code == 200:
            asked = parse_predict(sent).prompt
            answered = reply.json()["response"]
            whole = type(answered) is type(asked)
            if not whole or (isinstance(asked, list) and len(asked) != len(answered)):
                findings.append(("another shape than asked", sent))
        elif reply.status_code not in OK or "error" not in reply.json():
            findings.append((f"HTTP {reply.status_code}", sent))
    return iter([(str(dict(statuses)), None), *findings])


async def ask_routes(
    client: httpx.AsyncClient, dice: random.Random, count: int
) -> Iterator[tuple[str, Any]]:
    """Findings among `count` calls of every route of the OpenAPI schema with any method."""
    schema = (await client.get("/openapi.json")).json()
    paths = [*schema["paths"], "/", "/docs", "/nowhere", "/predict/", "//", "/%00", "/..%2f"]
    methods = ["GET", "POST", "PUT", "DELETE", "PATCH", "HEAD", "OPTIONS", "TRACE", "PROPFIND"]
    statuses: collections.Counter[int] = collections.Counter()
    findings: list[tuple[str, Any]] = []
    for _ in range(count):
        call = (dice.choice(methods), dice.choice(paths))
        kinds = ("application/json", "text/plain", "multipart/form-data; boundary=x", "", "ü;;=")
        headers = {"content-type": dice.choice(kinds).encode(), "x": dice.randbytes(9).hex()}
        if dice.random() < 0.1:
            headers["x"] = "y" * 40_000
        try:
            reply = await client.request(
                *call, content=body(dice), headers=headers, params={"q": dice.randbytes(5).hex()}
            )
        except Exception as error:  # noqa: BLE001 - any that gets here is a finding
            findings.append((f"{call}: {type(error).__name__}: {error}", headers))
            continue
        statuses[reply.status_code] += 1
        if reply.status_code not in OK | {307}:
            findings.append((f"{call}: HTTP {reply.status_code}", headers))
    return iter([(str(dict(statuses)), None), *findings])


def read_docx_files(dice: random.Random, count: int) -> Iterator[tuple[str, Any]]:
    """Findings among `count` damaged docx files."""
    with tempfile.TemporaryDirectory() as folder:
        whole = good_docx(Path(folder) / "whole.docx")
    with zipfile.ZipFile(io.BytesIO(whole)) as archive:
        parts = {name: archive.read(name) for name in archive.namelist()}
    outcomes: collections.Counter[str] = collections.Counter()
    findings: list[tuple[str, Any]] = []
    slowest = 0.0
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "fuzz.docx"
        for _ in range(count):
            data = docx_bytes(dice, parts, whole)
            path.write_bytes(data)
            began = time.monotonic()
            try:
                outcomes["read" if read_pairs(path).pairs else "empty"] += 1
            except PairsError as error:
                outcomes["refused"] += 1
                if str(path) not in str(error):
                    findings.append((f"the file is not named: {error}", data))
            except Exception as error:  # noqa: BLE001 - any other is a finding
                findings.append((f"{type(error).__name__}: {error}", data))
            slowest = max(slowest, time.monotonic() - began)
    outcomes[f"slowest {slowest:.2f} s"] += 1
    return iter([(str(dict(outcomes)), None), *findings])


def row(dice: random.Random) -> Any:
    """A row of some layout, right or nearly so."""
    roles = ("system", "user", "user", "assistant", "assistant", "human", "gpt", "tool", 7)
    turns = [
        {
            dice.choice(("role", "role", "from")): dice.choice(roles),
            dice.choice(("content", "content", "value")): value(dice, 3),
            dice.choice(("weight", "loss", "x")): dice.choice((0, 1, True, None, "0", 0.5)),
        }
        for _ in range(dice.randrange(5))
    ]
    names = ["question", "answer", "reference", "query", "response", "instruction", "output"]
    names += ["input", "system", "id", "group", "section", "rephrasings", "images", "问题", "答案"]
    found = {name: value(dice, 3) for name in dice.sample(names, dice.randrange(6))}
    talks = ("messages", "conversations", "history")
    found |= {name: turns for name in talks if dice.random() < 0.3}
    return found if dice.random() < 0.9 else value(dice)


def pair_bytes(dice: random.Random, suffix: str) -> bytes:
    """A file of rows in any layout and encoding, whole or damaged."""
    rows = [row(dice) for _ in range(dice.choice((0, 1, 1, 3)))]
    indent = dice.choice((None, None, 1))
    whole = [json.dumps(each, ensure_ascii=dice.random() < 0.3, indent=indent) for each in rows]
    good = '{"question": "什么是线程？", "answer": "一组指令。"}'
    lines = dice.sample([*whole, good, good], dice.randrange(1, len(whole) + 3))
    if suffix in (".csv", ".tsv"):
        asked, answered = dice.choice(
            (("question", "answer"), ("*题干（一）", " 参考 答案"), ("q", "a"))
        )
        cells = [["第一章", "", ""], ["sep=;"]][: dice.choice((0, 0, 1, 2))]
        cells += [[asked, answered, dice.choice(("history", "input", "id", "answer", "B", "章节"))]]
        cells += [[text(dice) for _ in range(dice.choice((3, 3, 2, 4)))] for _ in lines]
        content = "\n".join(dice.choice(",,,\t;").join(f'"{c}"' for c in line) for line in cells)
    elif suffix == ".json":
        content = "[" + dice.choice((",", ",\n", "")).join(lines) + "]"
    else:
        content = dice.choice(("\n", "\r\n", "\n\n", ",\n", "")).join(lines)
    encodings = ("utf-8", "utf-8-sig", "gb18030", "utf-16", "utf-16-be", "big5", "utf-32")
    encoding = dice.choice(encodings)
    try:
        plain = content.encode(encoding, dice.choice(("surrogatepass", "replace", "ignore")))
    except UnicodeEncodeError:
        plain = content.encode("utf-8", "replace")
    return plain if dice.random() < 0.6 else damaged(dice, plain)


def read_row_files(dice: random.Random, count: int) -> Iterator[tuple[str, Any]]:
    """Findings among `count` files of rows."""
    outcomes: collections.Counter[str] = collections.Counter()
    findings: list[tuple[str, Any]] = []
    with tempfile.TemporaryDirectory() as folder:
        for _ in range(count):
            suffix = dice.choice((".jsonl", ".jsonl", ".json", ".csv", ".tsv"))
            path = Path(folder) / f"fuzz{suffix}"
            data = pair_bytes(dice, suffix)
            path.write_bytes(data)
            try:
                found = read_pairs(path)
                outcomes["read"] += 1
                if not all(pair.question and pair.answer and pair.where for pair in found.pairs):
                    findings.append(("a pair without question, answer or place", data))
                json.dumps([vars(p) for p in found.pairs], ensure_ascii=False, default=str).encode()
            except PairsError as error:
                outcomes["refused"] += 1
                if str(path) not in str(error):
                    findings.append((f"the file is not named: {error}", data))
                str(error).encode()  # it can be printed
            except Exception as error:  # noqa: BLE001 - any other is a finding
                findings.append((f"{type(error).__name__}: {error}", data))
    return iter([(str(dict(outcomes)), None), *findings])


def run(inputs: int, seed: int, say: Callable[[str], None]) -> int:
    """`inputs` of all kinds; returns the number of findings."""
    dice = random.Random(seed)
    logging.disable(logging.CRITICAL)

    async def http() -> dict[str, list[tuple[str, Any]]]:
        async with running_app(instant_app(Settings(max_body_bytes=1 << 20))) as client:
            return {
                "request bodies": list(await ask_bodies(client, dice, inputs * 8 // 10)),
                "routes": list(await ask_routes(client, dice, inputs // 10)),
            }

    try:
        kinds = asyncio.run(http())
        kinds["docx files"] = list(read_docx_files(dice, inputs // 10))
        kinds["row files"] = list(read_row_files(dice, inputs))
    finally:
        logging.disable(logging.NOTSET)
    total = 0
    for kind, ((summary, _), *findings) in kinds.items():
        say(f"{kind}: {summary}; {len(findings)} findings")
        for what, data in findings[:10]:
            say(f"  {what[:300]}\n    {repr(data)[:500]}")
        total += len(findings)
    return total


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--inputs", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=0)
    chosen = parser.parse_args()
    began = time.monotonic()
    found = run(chosen.inputs, chosen.seed, lambda line: sys.stdout.write(line + "\n"))
    sys.stdout.write(
        f"{chosen.inputs} inputs, {found} findings, {time.monotonic() - began:.0f} s\n"
    )
    sys.exit(1 if found else 0)
