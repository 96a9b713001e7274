"""Merging what one has: paraphrases stay together, code is an answer, every drop is shown."""

import csv
import json
from pathlib import Path

import pytest

from data.dedupe import AS_WORDING
from tests.data_commands import SAMPLE, rows, run

FACT = "页表把虚拟地址翻译成物理地址，每个进程都有自己的一份。"
CODE = "int half(int n) {\n    return n / 2;\n}"
PAIRS = [
    ("什么是页表？", FACT),
    ("简答：什么是页表？", FACT),
    ("页表的作用是什么？", FACT),
    ("页表是用来做什么的？", FACT + "\n"),
    ("只给结论，什么是页表？", "结论：" + FACT),
    ("请写出把整数减半的函数 half。", CODE),
    (
        "什么是threadIdx/blockIdx/blockDim？",
        "内置索引变量：threadIdx 是块内坐标，blockIdx 是块坐标。",
    ),
    ("什么是栈？", "栈是后进先出的数据结构，只在一端进出。第3章 可扩展并行执行"),
    ("什么是栈？", "堆栈一词在网络里指的是一层层的协议，与数据结构无关。"),
    ("如上图所示，什么是队列？", "队列是先进先出的数据结构。"),
]


def written(folder: Path, name: str) -> Path:
    path = folder / name
    if name.endswith(".csv"):
        with path.open("w", encoding="utf-8", newline="") as stream:
            csv.writer(stream).writerows([("question", "answer"), *PAIRS])
    else:
        made = [{"instruction": q, "input": "", "output": a} for q, a in PAIRS]
        path.write_text(json.dumps(made, ensure_ascii=False), encoding="utf-8")
    return path


@pytest.fixture(params=["pairs.json", "pairs.csv"])
def merged(tmp_path, request) -> Path:
    source = written(tmp_path, request.param)
    run("build", SAMPLE, "--source", "none", "--merge", source, "--out", tmp_path / "out",
        "--cache", tmp_path / "cache", "--dev", "0", "--calibration", "0")  # fmt: skip
    return tmp_path / "out"


def test_paraphrases_of_a_fact_are_its_wordings_and_code_is_an_answer(merged):
    found = rows(merged, "train")
    asked = {row["question"]: row["answer"] for row in found}
    assert {q for q, a in PAIRS[:4]} <= asked.keys()
    groups = {row["group"] for row in found if "页表" in row["question"]}
    assert len(groups) == 1, "one fact, one group, one split; also where its form differs"
    assert asked["只给结论，什么是页表？"].startswith("结论："), "a wording keeps its own form"
    assert asked["请写出把整数减半的函数 half。"] == CODE
    assert "什么是threadIdx/blockIdx/blockDim？" in asked
    assert asked["什么是栈？"] == "栈是后进先出的数据结构，只在一端进出。"


def test_every_drop_stands_in_the_report_with_an_example(merged):
    report = json.loads((merged / "report.json").read_text(encoding="utf-8"))
    steps = [step for step in report["funnel"] if step["name"].startswith("after")]
    lost = {reason: count for step in steps for reason, count in step["lost"].items()}
    shown = {one["reason"]: one for one in report["dropped"]}
    assert shown.keys() == lost.keys() and {"conflict", "elsewhere", AS_WORDING} == lost.keys()
    for reason, count in lost.items():
        assert shown[reason]["count"] == count and shown[reason]["examples"][0]["answer"]
    assert "如上图所示" in (merged / "report.html").read_text(encoding="utf-8")
    conflict = shown["conflict"]["examples"][0]
    assert conflict["beside"].startswith("栈是") and conflict["answer"].startswith("堆栈")


def test_a_fact_goes_with_all_its_wordings_when_one_is_a_test_question(tmp_path):
    source, tests = written(tmp_path, "pairs.json"), tmp_path / "t.jsonl"
    tests.write_text(
        json.dumps({"question": "页表是用来做什么的？", "answer": "翻译地址。"}) + "\n"
    )
    run("build", SAMPLE, "--source", "none", "--merge", source, "--out", tmp_path / "out",
        "--cache", tmp_path / "cache", "--dev", "0", "--calibration", "0",
        "--exclude", tests)  # fmt: skip
    asked = [row["question"] for row in rows(tmp_path / "out", "train")]
    assert asked and not [q for q in asked if "页表" in q and not q.startswith("只给")]


def test_no_pair_left_is_told_in_a_sentence(tmp_path):
    path = tmp_path / "p.json"
    path.write_text(json.dumps([{"question": "上图说明什么？", "answer": "见上图中的说明。"}]))
    done = run("build", SAMPLE, "--source", "none", "--merge", path, "--out", tmp_path / "out",
               "--cache", tmp_path / "cache", ok=False)  # fmt: skip
    said = " ".join((done.stdout + done.stderr).split())
    assert "no pair is left: the last went at 'after cleaning' (1 elsewhere)" in said
    assert "{" not in said
