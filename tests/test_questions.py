"""Test sets: what the contest's docx files and jsonl rows hold, and nothing else."""

import json
from pathlib import Path

import docx
import pytest
from docx.oxml import OxmlElement
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from common.pairs import Pair, PairsError
from common.read_pairs import read_pairs
from common.word.reader import parse_lines
from common.word.text import Line
from judging.testset import read_testset

REAL = Path(__file__).parents[2] / "shared" / "real"


def pairs_of(text):
    """Questions and references of a text, one paragraph a line."""
    questions, _ = parse_lines(lines_of(text))
    return [(row.question, row.answer) for row in questions]


def lines_of(text):
    return [Line(number, line) for number, line in enumerate(text.strip("\n").split("\n"), 1)]


def warnings_of(text):
    return parse_lines(lines_of(text))[1]


def write_docx(path, paragraphs):
    document = docx.Document()
    for text in paragraphs:
        document.add_paragraph(text)
    document.save(str(path))
    return path


def write_lines(path, *rows):
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), "utf-8")
    return path


@pytest.mark.real
@pytest.mark.skipif(not REAL.is_dir(), reason="needs ../shared/real")
def test_the_real_test_set():
    testset = read_testset(REAL / "testset_basic.docx")
    assert len(testset.pairs) == 100
    assert testset.pairs[0].question == "什么是数据并行性？"
    assert testset.pairs[0].where == "paragraph 2"
    assert {row.section.split()[0] for row in testset.pairs} == {f"第{n}章" for n in "23456"}
    for row in testset.pairs:
        assert not any(word in row.question + row.answer for word in ("答案：", "问题：", "第3章"))
    # The file's two formulas are in no paragraph's text; the judge cannot see them either.
    assert len(testset.warnings) == 1
    assert "paragraph 171, 203: a formula" in testset.warnings[0]


@pytest.mark.parametrize(
    ("question", "answer"),
    [
        ("问题：什么是warp？", "答案：32个线程。"),
        ("问题:什么是warp？", " 答案:32个线程。"),
        ("　　问题 ： 什么是warp？", "　答案： 32个线程。"),
        ("\ufeff问题：什么是warp？", "\t答案：\xa032个线程。"),
        ("问：什么是warp？", "答：32个线程。"),
        ("问题1：什么是warp？", "答案1：32个线程。"),
        ("问题（12）：什么是warp？", "参考答案：32个线程。"),
        ("3. 问题：什么是warp？", "答案：32个线程。"),
        ("问题：什么是warp？", "答：32个线程。"),
        ("问题：\n什么是warp？\n", "答案：\n\n32个线程。\n\n"),
    ],
)
def test_marks_are_read_in_their_common_forms(question, answer):
    assert pairs_of(f"{question}\n{answer}") == [("什么是warp？", "32个线程。")]


def test_code_keeps_its_indentation_and_captions_stay():
    text = """
问题：怎样写一个向量加法核函数？
答案：先算下标，再检查边界。
一、核函数
__global__ void add(float *c) {
    int i = threadIdx.x;

\tif (i < n)
        c[i] = 0;
}
主机代码
add<<<1, 32>>>(c);
第3章 内存
问题：什么是寄存器？
答案：
    int r;
"""
    first, second = pairs_of(text)
    assert first[1] == (
        "先算下标，再检查边界。\n一、核函数\n"
        "__global__ void add(float *c) {\n    int i = threadIdx.x;\n"
        "\n\tif (i < n)\n        c[i] = 0;\n}\n主机代码\nadd<<<1, 32>>>(c);"
    )
    assert second == ("什么是寄存器？", "    int r;")


@pytest.mark.parametrize(
    "heading",
    ["第3章 内存", "第十二节 线程", "三、内存", "（三）内存", "3.1 内存", "3.1.2 内存", "3.1内存"]
    + ["附录A 术语", "Chapter 3 Memory", "第3章 内存\n3.1 共享内存", "第3章\n\n一、内存\n"],
)
def test_numbered_lines_before_a_question_are_headings(heading):
    text = f"问题：甲？\n答案：乙。\n{heading}\n问题：丙？\n答案：丁。"
    questions, warnings = parse_lines(lines_of(text))
    assert [row.answer for row in questions] == ["乙。", "丁。"]
    assert questions[0].section == ""
    assert questions[1].section == heading.strip().split("\n")[-1]
    assert warnings == []


@pytest.mark.parametrize(
    "answer",
    [
        "甲。\n一、乙；\n二、丙",  # the points of a list, the last without a full stop
        "一、乙\n二、丙",
        "甲。\n1.1 乙\n1.2 丙",
        "甲。\n第3章会讲到它。",  # a sentence
        "甲。\nint a[4];",
        "甲。\n1. 乙",
        "甲。\n3.14",
        "甲。\n第3章 内存\n乙。",  # no question follows
    ],
)
def test_what_only_resembles_a_heading_stays_in_the_answer(answer):
    text = f"问题：问？\n答案：{answer}\n问题：丙？\n答案：丁。"
    assert pairs_of(text)[0] == ("问？", answer)


def test_a_heading_swallowed_by_an_answer_is_warned_of():
    warnings = warnings_of(
        "问题：甲？\n答案：乙。\n第3章 内存\n本章共十题。\n问题：丙？\n答案：丁。"
    )
    assert len(warnings) == 1
    assert warnings[0].startswith("paragraph 3: looks like a heading")


def test_question_marks_of_another_form_inside_an_answer_are_text():
    text = "问题：有哪些问题？\n答案：两个。\n问题1：太慢。\n问：为什么？\n答：不知道。"
    assert pairs_of(text) == [("有哪些问题？", "两个。\n问题1：太慢。\n问：为什么？\n答：不知道。")]
    assert [warning.split(":")[0] for warning in warnings_of(text)] == [
        "paragraph 3",
        "paragraph 4",
    ]


def test_halves_of_pairs_are_left_out_with_the_paragraphs_number():
    text = """
答案：没有问题。
问题：没有答案？
问题：甲？
答案：乙。
答案：又一个。
还有。
问题：空的？
答案：
问题：
答案：空的问题。
"""
    assert pairs_of(text) == [("甲？", "乙。")]
    assert warnings_of(text) == [
        "paragraph 1: an answer without a question, left out",
        "paragraph 2: a question without an answer, left out",
        "paragraph 5: an answer without a question, left out",
        "paragraph 7: a question without an answer, left out",
        "paragraph 9: an empty question, left out",
    ]


def test_docx_soft_breaks_tables_and_outline_levels(tmp_path):
    document = docx.Document()
    document.add_heading("向量加法", 1)  # known by its style, though not numbered
    document.add_paragraph("问题：怎样启动核函数？\n答案：用三重尖括号：")  # one soft line break
    table = document.add_table(rows=1, cols=1)
    table.cell(0, 0).text = "add<<<1, 32>>>(c);\n  sync();"
    document.add_paragraph("就这样。")
    caption = document.add_paragraph()
    caption.add_run("小结").bold = True
    level = OxmlElement("w:outlineLvl")
    level.set(docx.oxml.ns.qn("w:val"), "1")
    document.add_paragraph("内存模型")._p.get_or_add_pPr().append(level)
    document.add_paragraph("问题：甲？")
    document.add_paragraph("答案：乙。")
    path = tmp_path / "set.docx"
    document.save(str(path))

    testset = read_testset(path)
    assert testset.pairs == [
        Pair(
            "怎样启动核函数？",
            "用三重尖括号：\nadd<<<1, 32>>>(c);\n  sync();\n就这样。\n小结",
            "向量加法",
        ),
        Pair("甲？", "乙。", "内存模型"),
    ]
    assert [pair.where for pair in testset.pairs] == ["paragraph 2", "paragraph 6"]
    assert testset.name == "set"
    assert testset.warnings == [
        "paragraph 4: a bold last line, kept in the answer; "
        "number it (第2章, 一、) if it is a heading"
    ]


# Every example writes and reads a file, so there are fewer of them.
FEWER = settings(
    deadline=None, max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture]
)

# Anything python-docx can write: XML takes no control characters; \r and \n break lines.
PARAGRAPHS = st.text(
    st.characters(exclude_categories=["Cs", "Cc"], exclude_characters="\ufffe\uffff"), max_size=40
)
WILD = st.one_of(
    PARAGRAPHS,
    st.sampled_from(
        ["问题：甲？", "答案：乙。", "第1章 丙", "一、丁", "问题:", "答案:", "", "\t\t\n"]
    ),
)


@FEWER
@given(st.lists(WILD, max_size=12))
def test_no_docx_crashes_the_reader(tmp_path, paragraphs):
    path = write_docx(tmp_path / "wild.docx", paragraphs)
    try:
        testset = read_testset(path)
    except PairsError as error:
        assert "wild.docx" in str(error)
    else:
        assert all(row.question and row.answer for row in testset.pairs)


PLAIN = st.text(
    st.characters(categories=["L", "N", "Po"], exclude_characters=":："), min_size=1, max_size=30
).filter(lambda text: text.strip() == text and text[0] not in "第附（(问答参" and text[0].isalpha())
CODE = st.sampled_from(["int i = 0;", "    if (i < n) {", "\treturn;", "}", "", "核函数代码"])


@FEWER
@given(
    st.lists(
        st.tuples(PLAIN, PLAIN, st.lists(CODE, max_size=4), st.booleans()), min_size=1, max_size=6
    )
)
def test_generated_pairs_come_back_as_they_were(tmp_path, rows):
    paragraphs, expected, section = [], [], ""
    for number, (question, answer, code, heading) in enumerate(rows):
        if heading:
            section = f"第{number}章 内容"
            paragraphs.append(section)
        paragraphs += [f"问题：{question}", f"答案：{answer}", *code]
        expected.append((question, "\n".join([answer, *code]).rstrip("\n"), section))
    read = read_pairs(write_docx(tmp_path / "pairs.docx", paragraphs)).pairs
    assert [(row.question, row.answer, row.section) for row in read] == expected


def test_damaged_or_foreign_files_are_named(tmp_path):
    whole = write_docx(tmp_path / "whole.docx", ["问题：甲？", "答案：乙。"]).read_bytes()
    for name, content in {
        "empty.docx": b"",
        "text.docx": "问题：甲？".encode(),
        "cut.docx": whole[: len(whole) // 2],
        "flipped.docx": whole[:2000] + b"\0" * 3000 + whole[5000:],
    }.items():
        (tmp_path / name).write_bytes(content)
        with pytest.raises(PairsError, match=name):
            read_pairs(tmp_path / name)
    with pytest.raises(PairsError, match="no such file"):
        read_pairs(tmp_path / "missing.docx")
    with pytest.raises(PairsError, match="soffice --headless --convert-to docx old.doc"):
        read_pairs(tmp_path / "old.doc")
    with pytest.raises(PairsError, match="no question with an answer"):
        read_pairs(write_docx(tmp_path / "prose.docx", ["第1章", "只有正文。"]))


@FEWER
@given(st.data())
def test_a_damaged_docx_is_refused_or_read_never_a_crash(tmp_path, data):
    whole = write_docx(tmp_path / "whole.docx", ["问题：甲？", "答案：乙。"]).read_bytes()
    start = data.draw(st.integers(0, len(whole) - 1))
    noise = data.draw(st.binary(min_size=1, max_size=200))
    path = tmp_path / "damaged.docx"
    path.write_bytes(whole[:start] + noise + whole[start + len(noise) :])
    try:
        read_testset(path)
    except PairsError as error:
        assert "damaged.docx" in str(error)


def test_jsonl_rows_of_every_kind(tmp_path):
    chat = [
        {"role": "system", "content": "你是助教"},
        {"role": "user", "content": "甲？"},
        {"role": "assistant", "content": " 乙。 "},
    ]
    path = write_lines(
        tmp_path / "set.jsonl",
        {"messages": chat},
        {"question": "甲？", "answer": "乙。", "section": "第1章"},
        {"question": "甲？", "reference": "乙。", "answer": "a model's answer"},
        {"query": "甲？", "response": "乙。"},
        {"instruction": "甲？", "output": "乙。"},
        {"question": "甲\u2028？", "answer": "乙。"},
    )
    rows = read_pairs(path).pairs
    assert [(row.question, row.answer) for row in rows[:5]] == [("甲？", "乙。")] * 5
    assert rows[5].question == "甲\u2028？"
    assert rows[1].section == "第1章"
    assert rows[5].where == "line 6"


def test_jsonl_takes_a_byte_order_mark_blank_lines_and_windows_line_ends(tmp_path):
    path = tmp_path / "set.jsonl"
    path.write_bytes('\ufeff{"question": "甲？", "answer": "乙。"}\r\n\r\n'.encode())
    assert [row.answer for row in read_pairs(path).pairs] == ["乙。"]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("{", "line 2: not JSON"),
        ("[" * 100_000, "line 2: not JSON"),
        ("[1]", "line 2: expected an object"),
        ('{"question": "甲", "question": "乙", "answer": "丙"}', "line 2: question: stands twice"),
        ('{"question": "甲？"}', "line 2: reference or answer: missing"),
        ('{"question": 1, "answer": "乙"}', "line 2: question: expected text, got int"),
        ('{"question": "甲", "answer": null}', "line 2: answer: expected text, got NoneType"),
        ('{"messages": "甲"}', "line 2: messages: expected a list"),
        ('{"messages": [{"role": "user", "content": "甲"}]}', "line 2: messages: expected a user"),
        ('{"question": "\\ud800", "answer": "乙"}', "line 2: question: half a surrogate"),
    ],
)
def test_a_bad_jsonl_row_is_named(tmp_path, line, message):
    path = tmp_path / "bad.jsonl"
    path.write_text('{"question": "甲？", "answer": "乙。"}\n' + line, "utf-8")
    with pytest.raises(PairsError, match=message):
        read_pairs(path)


def test_jsonl_in_an_unknown_encoding_or_empty(tmp_path):
    path = tmp_path / "set.jsonl"
    path.write_bytes('{"question": "なに？", "answer": "こたえ"}'.encode("shift_jis"))
    with pytest.raises(PairsError, match="not UTF-8"):
        read_pairs(path)
    path.write_text("", "utf-8")
    with pytest.raises(PairsError, match="no question with an answer"):
        read_pairs(path)


def test_empty_fields_are_left_out_with_a_warning(tmp_path):
    path = write_lines(
        tmp_path / "set.jsonl",
        {"question": "甲？", "answer": " "},
        {"question": "甲？", "answer": "乙。"},
    )
    found = read_pairs(path)
    assert len(found.pairs) == 1 and found.warnings == ["line 1: the answer is empty, left out"]
