"""Word files as they come: fields, lists of styles, tables in parts, labels on one line."""

from pathlib import Path

import pytest

from common.read_pairs import read_pairs
from tests.docx_files import p, r, tbl, tc, tr, write

BOTH = [("甲？", "乙。"), ("丙？", "丁。")]
FIRST = [p("问题：甲？"), p("答案：乙。")]
CHAR = '<w:r><w:fldChar w:fldCharType="{}"/></w:r>'
CODE = "<w:r><w:instrText>{}</w:instrText></w:r>"
NAMES = tr("问题", "答案")
NUMBERED = [("1", "甲？", "乙。"), ("2", "丙？", "丁。")]
WIDE = '<w:gridSpan w:val="2"/>'


def pairs(path: Path) -> list[tuple[str, str]]:
    return [(pair.question, pair.answer) for pair in read_pairs(path).pairs]


@pytest.mark.parametrize(
    "tables",
    [
        [tbl(NAMES, tr("甲？", "乙。")), p(""), tbl(tr("丙？", "丁。"))],
        [tbl(NAMES, tr("甲？", "乙。")), tbl(tr("丙？", "丁。"))],
        [tbl(tr("用户问题", "期望答案"), tr("甲？", "乙。"), tr("丙？", "丁。"))],
        [tbl(tr("测试问题", "标准回答"), tr("甲？", "乙。"), tr("丙？", "丁。"))],
        [tbl(tr("Query", "Expected answer"), tr("甲？", "乙。"), tr("丙？", "丁。"))],
        [tbl(tr("问题", "甲？", "丙？"), tr("答案", "乙。", "丁。"))],
        [tbl(tr(*["问题", "答案"] * 2), tr("甲？", "乙。", "丙？", "丁。"))],
        [tbl(tr(*["问题", "答案"] * 2), tr("甲？", "乙。", "", ""), tr("丙？", "丁。", "", ""))],
        [tbl(tr(tc("问题", properties=WIDE), "答案"), *[tr(*row) for row in NUMBERED])],
        [*FIRST, tbl(tr("用户问题", "期望答案"), tr("丙？", "丁。"))],
    ],
)  # fmt: skip
def test_tables_of_questions_in_other_shapes(tmp_path: Path, tables: list[str]) -> None:
    found = read_pairs(write(tmp_path / "a.docx", *tables))
    assert [(pair.question, pair.answer) for pair in found.pairs] == BOTH
    assert found.warnings == []


def test_cards_end_with_their_answer_and_name_what_is_not_read(tmp_path: Path) -> None:
    cards = [
        tbl(tr("题号", n), tr("问题", q), tr("答案", a), tr("", "续。"), tr("难度", "易"))
        for n, q, a in NUMBERED
    ]
    found = read_pairs(write(tmp_path / "a.docx", *cards))
    said = [(pair.question, pair.answer) for pair in found.pairs]
    assert said == [("甲？", "乙。\n续。"), ("丙？", "丁。\n续。")]
    assert found.warnings == ["the table on top: not read: rows 难度"]


@pytest.mark.parametrize("names", [("問題", "參考答案"), ("題目", "標準答案"), ("試題", "回覆")])
def test_columns_named_in_traditional_chinese(tmp_path: Path, names: tuple[str, str]) -> None:
    blocks = [tbl(tr(*names), tr("甲？", "乙。"), tr("丙？", "丁。"))]
    assert pairs(write(tmp_path / "a.docx", *blocks)) == BOTH


def test_a_table_after_other_text_does_not_go_on_the_one_above(tmp_path: Path) -> None:
    blocks = [tbl(NAMES, tr("甲？", "乙。")), p("附表"), tbl(tr("x", "1"))]
    assert pairs(write(tmp_path / "a.docx", *blocks)) == BOTH[:1]


def test_a_table_that_may_be_questions_is_named(tmp_path: Path) -> None:
    blocks = [*FIRST, tbl(tr("考点提问句", "应答要点"), tr("丙？", "丁。"))]
    found = read_pairs(write(tmp_path / "a.docx", *blocks))
    assert len(found.pairs) == 1
    assert any("考点提问句" in each and "read as text" in each for each in found.warnings)


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("问：甲？答：乙。", "问：丙？答：丁。"),
        ("Q: 甲？ A: 乙。", "Q: 丙？ A: 丁。"),
        ("Question: 甲？ Answer: 乙。", "Question: 丙？ Answer: 丁。"),
        ("问题：甲？ 答案：乙。", "问题：丙？ 答：丁。"),
    ],
)
def test_question_and_short_answer_label_on_one_line(
    tmp_path: Path, first: str, second: str
) -> None:
    assert pairs(write(tmp_path / "a.docx", p(first), p(second))) == BOTH


def test_choices_on_a_questions_line_are_no_answer(tmp_path: Path) -> None:
    lines = ["Q: 哪个快？ A: 寄存器 B: 显存", "A: 寄存器。", "Q: 丙？", "A: 丁。"]
    found = pairs(write(tmp_path / "a.docx", *map(p, lines)))
    assert found[0] == ("哪个快？ A: 寄存器 B: 显存", "寄存器。")


@pytest.mark.parametrize(
    "lines",
    [
        ["Q1 丙？", "A1 丁。"],
        ["题目 丙？", "答案 丁。"],
        ["习题2：丙？", "解：丁。"],
        ["User: 丙？", "Assistant: 丁。"],
        ["用户：丙？", "助手：丁。"],
        ["Prompt: 丙？", "Response: 丁。"],
    ],
)
def test_a_pair_marked_in_other_words_is_named(tmp_path: Path, lines: list[str]) -> None:
    blocks = [*FIRST, *map(p, lines), p("问题：戊？"), p("答案：己。")]
    warnings = read_pairs(write(tmp_path / "a.docx", *blocks)).warnings
    assert any("paragraph 3" in each and "looks like a question" in each for each in warnings)


def test_an_answer_whose_question_went_into_the_one_above_says_so(tmp_path: Path) -> None:
    blocks = [*FIRST, p("第2题：丙？"), p("答案：丁。")]
    (warning,) = read_pairs(write(tmp_path / "a.docx", *blocks)).warnings
    assert warning.startswith("paragraph 4") and "is the line above" in warning


@pytest.mark.parametrize("mark", ["☐ ", "☑", "❓", "✅ ", "👉🏻", "①", "⑴", "③ ", "🔹🔹 "])
def test_a_symbol_or_circled_number_before_a_label(tmp_path: Path, mark: str) -> None:
    blocks = [p(f"{mark}问题：甲？"), p(f"{mark}答案：乙。"), p("问题：丙？"), p("答案：丁。")]
    assert pairs(write(tmp_path / "a.docx", *blocks)) == BOTH


def test_a_pair_before_the_first_known_one_is_named(tmp_path: Path) -> None:
    lines = ["用户：甲？", "助手：乙。", "问题：丙？", "答案：丁。"]
    found = read_pairs(write(tmp_path / "a.docx", *map(p, lines)))
    assert len(found.pairs) == 1 and "paragraph 1: looks like a question" in found.warnings[0]


def test_tables_in_a_frame_are_tables(tmp_path: Path) -> None:
    """Callouts of Feishu and text frames of WPS are tables of one cell."""
    inner = tbl(NAMES, tr("甲？", "乙。"))
    frame = tbl(tr(tc(p("说明"), inner)), tr(tc(tbl(tr(tc(p("问题：丙？"), p("答案：丁。")))))))
    assert pairs(write(tmp_path / "a.docx", frame)) == BOTH


def test_choices_are_no_column_of_answers(tmp_path: Path) -> None:
    rows = [["题目", "A", "B", "C", "答案"], ["甲？", "一", "二", "三", "乙。"]]
    assert pairs(write(tmp_path / "a.docx", tbl(*(tr(*row) for row in rows)))) == BOTH[:1]


def test_marks_of_direction_at_a_texts_end_are_none_of_it(tmp_path: Path) -> None:
    blocks = [p("\u202b问题：甲？\u202c"), p("\u2067答案：乙。\u2069")]
    assert pairs(write(tmp_path / "a.docx", *blocks)) == BOTH[:1]


def test_letters_that_are_none_are_named_in_word_files_too(tmp_path: Path) -> None:
    found = read_pairs(write(tmp_path / "a.docx", *FIRST, p("问题：丙？"), p("答案：con\ufb01g。")))
    (warning,) = found.warnings
    assert warning.startswith("paragraph 3: U+FB01") and found.pairs[1].answer == "con\ufb01g。"


def lvl(text: str, form: str = "decimal") -> str:
    return (
        f'<w:lvl w:ilvl="0"><w:start w:val="1"/><w:numFmt w:val="{form}"/>'
        f'<w:lvlText w:val="{text}"/></w:lvl>'
    )


def listed(text: str, number: int) -> str:
    return p(text, properties=f'<w:numPr><w:ilvl w:val="0"/><w:numId w:val="{number}"/></w:numPr>')


def num(number: int, abstract: int, change: str = "") -> str:
    return f'<w:num w:numId="{number}"><w:abstractNumId w:val="{abstract}"/>{change}</w:num>'


NUMBERINGS = {
    "by a list style": (
        '<w:abstractNum w:abstractNumId="90"><w:styleLink w:val="L"/>'
        f'{lvl("问题%1：")}</w:abstractNum>'
        '<w:abstractNum w:abstractNumId="91"><w:numStyleLink w:val="L"/></w:abstractNum>'
        + num(80, 90) + num(81, 91)
    ),
    "beside another list": (
        f'<w:abstractNum w:abstractNumId="90">{lvl("问题%1：")}</w:abstractNum>'
        f'<w:abstractNum w:abstractNumId="91">{lvl("%1", "bullet")}</w:abstractNum>'
        + num(81, 90) + num(82, 91)
    ),
    "by a changed level": (
        f'<w:abstractNum w:abstractNumId="90">{lvl("%1.")}</w:abstractNum>'
        + num(81, 90, f'<w:lvlOverride w:ilvl="0">{lvl("问题%1：")}</w:lvlOverride>')
    ),
}  # fmt: skip


@pytest.mark.parametrize("kind", NUMBERINGS)
def test_labels_that_a_list_draws(tmp_path: Path, kind: str) -> None:
    blocks = [listed("甲？", 81), p("答案：乙。"), listed("丙？", 81), p("答案：丁。")]
    assert pairs(write(tmp_path / "a.docx", *blocks, numbering=NUMBERINGS[kind])) == BOTH


def test_a_list_that_starts_again_counts_from_there(tmp_path: Path) -> None:
    again = '<w:lvlOverride w:ilvl="0"><w:startOverride w:val="5"/></w:lvlOverride>'
    numbering = (
        f'<w:abstractNum w:abstractNumId="90">{lvl("第%1章", "chineseCounting")}</w:abstractNum>'
        + num(80, 90) + num(81, 90, again)
    )  # fmt: skip
    blocks = [listed("线程", 80), *FIRST, listed("内存", 81), p("问题：丙？"), p("答案：丁。")]
    found = read_pairs(write(tmp_path / "a.docx", *blocks, numbering=numbering))
    assert [pair.section for pair in found.pairs] == ["第一章 线程", "第五章 内存"]


def test_text_in_a_fields_code_is_not_read_when_an_inner_field_has_no_result(
    tmp_path: Path,
) -> None:
    inner = CHAR.format("begin") + CODE.format("NUMPAGES") + CHAR.format("end")
    outer = CHAR.format("begin") + CODE.format("IF ") + inner + r("code")
    answer = p("答案：", outer, CHAR.format("separate"), r("乙。"), CHAR.format("end"))
    assert pairs(write(tmp_path / "a.docx", p("问题：甲？"), answer)) == BOTH[:1]


def test_a_control_that_nobody_filled_is_no_answer(tmp_path: Path) -> None:
    control = (
        "<w:sdt><w:sdtPr><w:showingPlcHdr/></w:sdtPr><w:sdtContent>"
        + r("单击此处输入文字。") + "</w:sdtContent></w:sdt>"
    )  # fmt: skip
    blocks = [*FIRST, p("问题：丙？"), p("答案：", control)]
    found = read_pairs(write(tmp_path / "a.docx", *blocks))
    assert [(pair.question, pair.answer) for pair in found.pairs] == BOTH[:1]
    assert any("paragraph 4" in each and "nobody has filled" in each for each in found.warnings)


def test_a_check_box_is_named(tmp_path: Path) -> None:
    box = CHAR.format("begin").replace("/>", "><w:ffData><w:checkBox/></w:ffData></w:fldChar>")
    blocks = [
        p("问题：甲？"),
        p("答案：", box, CODE.format("FORMCHECKBOX"), CHAR.format("end"), "乙。"),
    ]
    (warning,) = read_pairs(write(tmp_path / "a.docx", *blocks)).warnings
    assert "paragraph 2" in warning and "check box" in warning


def font(name: str) -> str:
    return f'<w:rFonts w:ascii="{name}" w:hAnsi="{name}"/>'


@pytest.mark.parametrize(
    ("run", "shown"),
    [
        (r("\uf061", font("Symbol")), "α"),
        (r("abc", font("Symbol")), "αβχ"),
        (r("l", font("Wingdings")), "●"),
        (r("乙", font("Wingdings")), "乙"),
    ],
)
def test_text_typed_in_a_symbol_font(tmp_path: Path, run: str, shown: str) -> None:
    found = read_pairs(write(tmp_path / "a.docx", p("问题：甲？"), p("答案：", run, "。")))
    assert [pair.answer for pair in found.pairs] == [f"{shown}。"] and found.warnings == []


@pytest.mark.parametrize(
    ("run", "what"),
    [
        (r("\uf0aa", font("Wingdings 2")), "a symbol is not in"),
        (r("Z", font("Webdings")), "a symbol is not in"),
        (r("\uf0aa", ""), "a symbol is not in"),
        (r("10", '<w:position w:val="10"/>'), "raised or lowered text"),
        (r("乙", "<w:strike/>"), "struck-through text is read"),
        (r("乙", "<w:dstrike/>"), "struck-through text is read"),
        ('<w:r><w:contentPart r:id="rId7"/></w:r>', "a drawing is not in"),
        ('<w:r><w:object><o:OLEObject ProgID="Equation.3"/></w:object></w:r>', "an embedded"),
    ],
)
def test_what_is_seen_otherwise_than_it_is_read_is_named(
    tmp_path: Path, run: str, what: str
) -> None:
    path = write(tmp_path / "a.docx", p("问题：甲？"), p("答案：乙", run, "。"))
    (warning,) = read_pairs(path).warnings
    assert warning.startswith("paragraph 2: ") and what in warning


@pytest.mark.parametrize("kind", ["page", "column"])
def test_a_question_after_a_page_break_in_the_same_paragraph(tmp_path: Path, kind: str) -> None:
    cut = f'<w:r><w:br w:type="{kind}"/></w:r>'
    blocks = [p(cut, "问题：甲？"), p("答案：乙。", cut, "问题：丙？"), p("答案：丁。", cut)]
    assert pairs(write(tmp_path / "a.docx", *blocks)) == BOTH


def test_a_fields_code_over_two_paragraphs_is_not_read(tmp_path: Path) -> None:
    begin, result, end = (CHAR.format(kind) for kind in ("begin", "separate", "end"))
    blocks = [
        p("问题：甲？"),
        p("答案：", begin, CODE.format("IF 1=1"), r("真")),
        p("假", result, "乙。", end),
        p("问题：丙？", begin, CODE.format("TOC")),  # never ends
        p("答案：丁。"),
    ]
    assert pairs(write(tmp_path / "a.docx", *blocks)) == BOTH
