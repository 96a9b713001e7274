"""Questions and answers in a Word file, labelled as teachers label them, or in table columns."""

from pathlib import Path

import pytest

from common.pairs import PairsError
from common.read_pairs import read_pairs
from tests.docx_files import p, tbl, tc, tr, write


def said(path: Path) -> list[tuple[str, str]]:
    return [(pair.question, pair.answer) for pair in read_pairs(path).pairs]


# The same label to every reader's eye: such a pair counts in any file.
ALIKE = [
    ("问题：", "答案："),
    ("问题:", "答案:"),
    ("问题∶", "答案∶"),  # the ratio sign
    ("问题﹕", "答案﹕"),  # the small colon
    ("问题︰", "答案︰"),  # the vertical forms
    ("问题︓", "答案︓"),
    ("问题꞉", "答案꞉"),
    ("问 题：", "答 案："),
    ("问　题　：　", "答　案　："),
    ("问\u00a0题：", "答\u2003案："),
    ("\u200e问题：", "\u200f答案："),
    ("问题\u200b：", "答案\u200d："),
    ("问\u2060题\ufe0f：", "答\u00ad案："),
    ("\ufeff问题：\ufeff", "\u202a答案：\u202c"),
    ("【问题】", "【答案】"),
    ("【问题】：", "【参考答案】："),
    ("【 问题 】", "〖答案〗"),
    ("[问题]", "[答案]"),
    ("「问题」", "「答案」"),
    ("（问题）", "（答案）"),
    ("**问题：**", "**答案：**"),
    ("**问题**：", "**答案**："),
    ("__问题：__ ", "__答案：__ "),
    ("【问题：】", "【答案：】"),
    ("問題：", "參考答案："),
]
# Looser ones: they count where the file begins with one of them.
LOOSER = [
    *ALIKE,
    ("问题1：", "答案1："),
    ("问题１：", "答案１："),
    ("问题①：", "答案①："),
    ("问题一：", "答案一："),
    ("问题十二：", "答案十二："),
    ("问题(3)：", "答案(3)："),
    ("问题（三）：", "答案（三）："),
    ("问题1.", "答案1."),
    ("问题1、", "答案1、"),
    ("问题一、", "答案一、"),
    ("问题 2．", "答案 2．"),
    ("问题1）", "答案1）"),
    ("【问题1】", "【答案1】"),
    ("【问题一】：", "【答案一】："),
    ("3. 问题：", "答案："),
    ("3、问题：", "参考答案："),
    ("（3）问题：", "标准答案："),
    ("一、问题：", "答案："),
    ("- 问题：", "- 答案："),
    ("## 问题1：", "答案："),
    ("问：", "答："),
    ("问 ： ", "答 ："),
    ("问1：", "答1："),
    ("1. 问：", "答："),
    ("【问】", "【答】"),
    ("提问：", "回答："),
    ("题目：", "解答："),
    ("题目1：", "参考答案："),
    ("题目一、", "【答案解析】"),
    ("【题目】", "答案如下："),
    ("Q:", "A:"),
    ("Q：", "A："),
    ("Ｑ：", "Ａ："),
    ("q1: ", "a1: "),
    ("Q1. ", "A1. "),
    ("Q1、", "A1、"),
    ("【Q】", "【A】"),
    ("**Q:** ", "**A:** "),
    ("Question: ", "Answer: "),
    ("Question 1: ", "Answer 1: "),
    ("Question：", "Reference answer："),
    ("问题 ", "答案 "),
    ("问题1 ", "答案1 "),
]


@pytest.mark.parametrize(("ask", "answer"), LOOSER)
def test_a_file_in_any_of_these_labels(tmp_path: Path, ask: str, answer: str) -> None:
    blocks = [p(f"{ask}什么是甲？"), p(f"{answer}__甲__(x)是乙。"), p("  code();")]
    blocks += [p(f"{ask}什么是丙？"), p(f"{answer}丁。")]
    path = write(tmp_path / "a.docx", p("CUDA 问题集"), *blocks)
    wanted = [("什么是甲？", "__甲__(x)是乙。\n  code();"), ("什么是丙？", "丁。")]
    assert said(path) == wanted and read_pairs(path).warnings == []


@pytest.mark.parametrize(("ask", "answer"), LOOSER)
def test_one_pair_labelled_otherwise_is_a_pair_or_is_named(
    tmp_path: Path, ask: str, answer: str
) -> None:
    blocks = [p("问题：什么是甲？"), p("答案：乙。")]
    blocks += [p(f"{ask}什么是丙？"), p(f"{answer}丁。"), p("问题：什么是戊？"), p("答案：己。")]
    found = read_pairs(write(tmp_path / "a.docx", *blocks))
    assert len(found.pairs) == 3 or "paragraph 3" in " ".join(found.warnings)
    if (ask, answer) in ALIKE:
        wanted = [("什么是甲？", "乙。"), ("什么是丙？", "丁。"), ("什么是戊？", "己。")]
        assert [(pair.question, pair.answer) for pair in found.pairs] == wanted
        assert found.warnings == []


@pytest.mark.parametrize(
    "line",
    [
        "问题在于带宽。",
        "问题1.5倍加速的来源",
        "答案很简单。",
        "(问题的根源)是显存",
        "Q = 3;",
        "A: 32",
    ]
    + ["__global__ void f();", "**注意**：甲", "* 问答", "问道于盲：成语", "提问者：甲"],
)
def test_what_only_resembles_a_label_is_text(tmp_path: Path, line: str) -> None:
    blocks = [p("问题：什么是甲？"), p("答案：乙。"), p(line), p("丙。")]
    assert said(write(tmp_path / "a.docx", *blocks)) == [("什么是甲？", f"乙。\n{line}\n丙。")]


def test_choices_are_no_answers(tmp_path: Path) -> None:
    blocks = [
        p("Q: 几个线程？"),
        p("A: 32"),
        p("B: 64"),
        p("Answer: A"),
        p("Q: 甲？"),
        p("A: 乙。"),
    ]
    wanted = [("几个线程？\nA: 32\nB: 64", "A"), ("甲？", "乙。")]
    assert said(write(tmp_path / "a.docx", *blocks)) == wanted


def test_question_and_answer_on_one_line(tmp_path: Path) -> None:
    blocks = [p("问题：什么是甲？ 答案：乙。"), p("问题：丙？【答案】丁。")]
    assert said(write(tmp_path / "a.docx", *blocks)) == [("什么是甲？", "乙。"), ("丙？", "丁。")]


def test_a_title_that_looks_like_a_label_does_not_decide_the_form(tmp_path: Path) -> None:
    blocks = [p("题目：CUDA 基础"), p("问题：甲？"), p("答案：乙。"), p("问：丙"), p("丁。")]
    found = read_pairs(write(tmp_path / "a.docx", *blocks))
    assert [(pair.question, pair.answer) for pair in found.pairs] == [
        ("甲？", "乙。\n问：丙\n丁。")
    ]


# --- tables

NAMES, ROWS = tr("问题", "答案"), [tr("甲？", "乙。"), tr("丙？", "丁。")]
NUMBERED = [tr("1", "甲？", "乙。"), tr("2", "丙？", "丁。")]
TWO = [("甲？", "乙。"), ("丙？", "丁。")]
TABLES = {
    "question and answer": [NAMES, *ROWS],
    "with numbers": [tr("序号", "问题", "参考答案"), *NUMBERED],
    "numbers without a name": [tr("", "题目", "答"), *NUMBERED],
    "in English": [tr("No.", "Question", "Answer"), *NUMBERED],
    "answer first": [tr("答案", "问题"), tr("乙。", "甲？"), tr("丁。", "丙？")],
    "names spaced and in two languages": [
        tr("问 题（Question）", "参 考 答 案 / Answer"), *ROWS],
    "labels in the cells, too": [NAMES, tr("问题1：甲？", "答案：乙。"),
                                 tr("问题2：丙？", "答案：丁。")],
    "under a title": [tr(tc("CUDA 问答", properties='<w:gridSpan w:val="2"/>')), NAMES,
                      *ROWS],
    "header again": [NAMES, ROWS[0], NAMES, ROWS[1]],
    "blank row": [NAMES, ROWS[0], tr("", ""), ROWS[1]],
    "no names, labels in the cells": [tr("问题：甲？", "答案：乙。"),
                                      tr("问题：丙？", "答案：丁。")],
    "no names, labels and numbers": [tr("1", "问题：甲？", "答案：乙。"),
                                     tr("（2）", "问题：丙？", "答案：丁。")],
    "labels in the first column": [tr("问题", "甲？"), tr("答案", "乙。"), tr("问题", "丙？"),
                                   tr("答案", "丁。")],
    "labels with numbers in the first column": [tr("问题1", "甲？"), tr("答案1：", "乙。"),
                                                tr("问题2", "丙？"), tr("答案2：", "丁。")],
}  # fmt: skip


@pytest.mark.parametrize("kind", TABLES)
def test_tables(tmp_path: Path, kind: str) -> None:
    path = write(tmp_path / "a.docx", p("第1章 起步"), tbl(*TABLES[kind]))
    assert said(path) == TWO and read_pairs(path).warnings == []


def test_an_answer_in_a_table_ends_with_its_cell_and_has_many_lines(tmp_path: Path) -> None:
    rows = [NAMES, tr("甲？", tc("乙。", p("  code();")))]
    blocks = [tbl(*rows), p("以上是第一部分。"), p("第2章 丙"), p("问题：丙？"), p("答案：丁。")]
    found = read_pairs(write(tmp_path / "a.docx", *blocks))
    assert [(each.question, each.answer) for each in found.pairs] == [
        ("甲？", "乙。\n  code();"),
        ("丙？", "丁。"),
    ]
    assert [each.section for each in found.pairs] == ["", "第2章 丙"]
    assert "table row 2" in found.pairs[0].where


def test_a_question_over_several_rows_takes_all_their_answers(tmp_path: Path) -> None:
    first = tc("甲？", properties='<w:vMerge w:val="restart"/>')
    below = tc("", properties="<w:vMerge/>")
    rows = [NAMES, tr(first, "乙。"), tr(below, "又。"), tr("丙？", "丁。")]
    assert said(write(tmp_path / "a.docx", tbl(*rows))) == [
        ("甲？", "乙。\n又。"),
        ("丙？", "丁。"),
    ]


def test_chapters_and_columns_that_are_not_read(tmp_path: Path) -> None:
    rows = [
        tr("章节", "问题", "答案", "备注"),
        tr("第1章", "甲？", "乙。", "易"),
        tr("第2章", "丙？", "", ""),
    ]
    found = read_pairs(write(tmp_path / "a.docx", p("前言"), tbl(*rows)))
    assert [(each.section, each.question) for each in found.pairs] == [("第1章", "甲？")]
    assert found.warnings == [
        "paragraph 1, table: not read: column 备注",
        "paragraph 1, table row 3: a question without an answer, left out",
    ]


def test_a_table_inside_an_answer_is_text(tmp_path: Path) -> None:
    rows = [tr("名称", "大小"), tr("A", "1"), tr("B", "2")]
    blocks = [p("问题：甲？"), p("答案：如下："), tbl(*rows), p("完。")]
    answer = "如下：\n名称\n大小\nA\n1\nB\n2\n完。"
    assert said(write(tmp_path / "a.docx", *blocks)) == [("甲？", answer)]


def test_a_table_that_says_nothing_of_questions_is_refused_with_what_to_do(tmp_path: Path) -> None:
    path = write(tmp_path / "a.docx", tbl(tr("什么是甲？", "乙。"), tr("什么是丙？", "丁。")))
    with pytest.raises(PairsError, match="or a table with these columns"):
        read_pairs(path)
