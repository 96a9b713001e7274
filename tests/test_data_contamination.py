"""Test questions in training data."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from common.read_pairs import read_pairs
from data.contamination import check, texts_of
from data.formats import read_told
from tests import docx_files

ROOT = Path(__file__).parents[1]
REAL = ROOT.parent / "shared" / "real"

TESTS = [
    ("CUDA 中的线程束是什么？", "线程束是 CUDA 设备中线程调度的基本单位，通常包含 32 个线程。")
]


@pytest.mark.parametrize(
    ("question", "answer", "leaks"),
    [
        ("CUDA中的线程束是什么", "别的", True),
        ("简答：CUDA 中的线程束是什么？", "别的", True),
        ("请问 CUDA 里的线程束是什么？", "别的", True),
        ("請問 CUDA 中的執行緒束是什麼？", "別的", True),  # Taiwan's letters and terms
        ("CUDA 中的線程束是甚麼？", "別的", True),  # Hong Kong's
        ("CUDA 中的執\u200b行緒束是甚麼\0？", "別的", True),
        ("何謂 warp？", "線程束是 CUDA 設備中線程調度的基本單位，通常包含 32 個線程", True),
        ("CUDA 中的網格是什麼？", "網格由執行緒塊組成。", False),
        ("何为 warp？", "线程束是 CUDA 设备中线程调度的基本单位，通常包含 32 个线程", True),
        ("CUDA 中的网格是什么？", "网格由线程块组成。", False),
        (f"{TESTS[0][1]}这句话说的是什么？", "线程束", True),
        ("概述？", f"先说网格，它由线程块组成。{TESTS[0][1]}最后说寄存器，它们最快。" * 2, True),
        (
            "概述？",
            "线程束通常包含 32 个线程。" + "网格由线程块组成，线程块由线程组成。" * 5,
            False,
        ),
        ("线程束", "别的", False),
    ],
)
def test_near_duplicates_of_test_pairs_are_leaks(question, answer, leaks):
    outcome = check([[(question, answer)]], TESTS)
    assert bool(outcome.leaks) is leaks
    assert len(outcome.leaks) + len(outcome.survivors) == 1


@pytest.mark.parametrize(
    ("question", "answer", "leaks"),
    [
        ("简答题：什么是 warp？", "", True),
        ("请用一句话回答。什么是  WARP ?", "", True),
        ("請用一句話回答。什麼是 warp？", "", True),
        ("回答问题\n什么是 warp？", "", True),
        ("列出常见问题。", "1. 什么是ｗａｒｐ？一组线程。2. 别的？别的。", True),
        ("系统：示例“什么是 warp”", "", True),
        ("<p>什么是<b class='a'>&nbsp;warp</b>？</p><br/>别的", "", True),
        ("说说什么是 warp 调度器？", "什么是 warp 调度器，见第 2 章。", False),
        ("别的？", "它说明什么是 warps。", False),
    ],
)
def test_a_short_test_question_spelled_anywhere_in_a_row_is_a_leak(question, answer, leaks):
    outcome = check([[(question, answer)]], [("什么是 warp？", "32 个。"), ("丙？", "丁。")])
    assert bool(outcome.leaks) is leaks
    assert outcome.found == ({0} if leaks else set())


def test_a_traditional_test_set_is_found_in_simplified_rows():
    tests = [("什麼是執行緒塊？", "執行緒塊是一組執行緒，它們可以共用記憶體。")]
    rows = ["什么是线程块？", "什麼是執行緒塊？", "什么是页表？"]
    outcome = check([[(question, "")] for question in rows], tests)
    assert sorted(match.row for match in outcome.leaks) == [0, 1]


def test_closest_survivors_come_first():
    rows = [("什么是网格？", "x"), ("CUDA 中的流式多处理器是什么？", "y"), ("页表？", "z")]
    outcome = check([[row] for row in rows], TESTS, keep_survivors=2)
    assert [match.row for match in outcome.survivors] == [1, 0]
    assert outcome.survivors[0].similarity > outcome.survivors[1].similarity


@pytest.mark.real
@pytest.mark.skipif(not REAL.is_dir(), reason="the real inputs are not here")
def test_all_100_test_questions_are_found_in_the_public_training_set():
    command = [sys.executable, "-m", "data", "check-leak", "--show", "2"]
    files = [str(REAL / "qa_pairs.jsonl"), str(REAL / "testset_basic.docx")]
    done = subprocess.run([*command, *files], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 1
    assert "100 of 100 test questions are in qa_pairs.jsonl" in done.stdout


@pytest.mark.real
@pytest.mark.skipif(not REAL.is_dir(), reason="the real inputs are not here")
def test_a_test_set_does_not_leak_into_unrelated_pairs():
    rows = [(f"第{n}座桥有多长？", f"第{n}座桥长 {n * 7} 米。") for n in range(200)]
    tests = [(p.question, p.answer) for p in read_pairs(REAL / "testset_basic.docx").pairs]
    assert not check([[row] for row in rows], tests).leaks


# --- what training learns is what the leak check reads

USER, ASSISTANT = {"role": "user", "content": "甲？"}, {"role": "assistant", "content": "乙。"}
ASKED = [("什么是线程束（warp）？", "线程束是 32 个线程的一组，一起执行同一条指令。")]


@pytest.mark.parametrize(
    "row",
    [
        {"question": "何物？", "answer": "甲", "rephrasings": ["什么是线程束（warp）？"]},
        {"messages": [USER, ASSISTANT, {"role": "user", "content": ASKED[0][0]}, ASSISTANT]},
        {"instruction": "谢谢", "output": "不客气", "history": [list(ASKED[0])]},
        {"instruction": "简答：", "input": ASKED[0][0], "output": "甲"},
        {"query": "甲？", "response": "乙", "system": f"题目：{ASKED[0][0]}"},
        {"conversations": [
            {"from": "human", "value": "甲？"}, {"from": "gpt", "value": ASKED[0][1]}]},
        {"question": "常见问题？", "answer": f"1. {ASKED[0][0]} 一组线程。2. 别的？ 别的。"},
        {"question": "<p>什么是<strong>线程束</strong>&#65288;warp）？</p>", "answer": "甲"},
        {"question": "甲？", "answer": f"<div>{ASKED[0][1].replace('，', '，</div><div>')}</div>"},
    ],
)  # fmt: skip
def test_a_test_question_anywhere_in_a_row_is_a_leak(tmp_path: Path, row: dict) -> None:
    path, other = tmp_path / "rows.jsonl", {"question": "丁？", "answer": "戊。"}
    path.write_text("".join(json.dumps(each) + "\n" for each in (row, other)), "utf-8")
    pairs = read_pairs(path).pairs
    outcome = check([texts_of(pair) for pair in pairs], ASKED)
    assert outcome.leaks and outcome.leaks[-1].row < len(pairs) - 1
    text = outcome.leaks[-1].text
    assert text in {t for pair in pairs for t, _ in texts_of(pair)}


def test_a_question_typed_with_tracking_on_is_a_test_question(tmp_path: Path) -> None:
    change = '<w:ins w:id="1" w:author="A" w:date="2024-01-01T00:00:00Z">{}</w:ins>'
    typed = [change.format(docx_files.r(t)) for t in ("问题：什么是网格？", "答案：一组线程块。")]
    path = docx_files.write(tmp_path / "t.docx", *map(docx_files.p, typed))
    tests = [(pair.question, pair.answer) for pair in read_told(path)]
    assert check([[("什么是网格？", "别的")]], tests).leaks


def test_several_test_questions_in_one_row_are_all_found() -> None:
    tests = [*ASKED, ("一个线程块最多有多少线程？", "1024 个。")]
    assert check([[(question, "") for question, _ in tests]], tests).found == {0, 1}
