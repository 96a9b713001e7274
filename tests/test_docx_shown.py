"""Word files are read as Word shows them, by the readers of test sets and of books."""

from pathlib import Path

import pytest

from common.read_pairs import read_pairs
from data.books import read_book
from tests.docx_files import box, p, r, tbl, tc, tr, write

CHANGE = 'w:id="1" w:author="A" w:date="2024-01-01T00:00:00Z"'
FIELD = '<w:r><w:fldChar w:fldCharType="{}"/></w:r>'
CODE = "<w:r><w:instrText> {} </w:instrText></w:r>"
PICTURE = '<w:r><w:drawing><a:blip r:embed="rId9"/></w:drawing></w:r>'
STYLES = (
    '<w:style w:type="character" w:styleId="Secret"><w:name w:val="Secret"/>'
    "<w:rPr><w:vanish/></w:rPr></w:style>"
    '<w:style w:type="paragraph" w:styleId="Notes"><w:name w:val="Notes"/>'
    "<w:rPr><w:vanish/></w:rPr></w:style>"
    '<w:style w:type="character" w:styleId="Above"><w:name w:val="Above"/>'
    '<w:rPr><w:vertAlign w:val="superscript"/></w:rPr></w:style>'
    '<w:style w:type="character" w:styleId="Del"><w:name w:val="Del"/>'
    "<w:rPr><w:strike/></w:rPr></w:style>"
)


def ins(*content: str) -> str:
    return f"<w:ins {CHANGE}>{''.join(content)}</w:ins>"


def gone(text: str) -> str:
    return f"<w:del {CHANGE}><w:r><w:delText>{text}</w:delText></w:r></w:del>"


def sdt(*content: str) -> str:
    return f"<w:sdt><w:sdtPr/><w:sdtContent>{''.join(content)}</w:sdtContent></w:sdt>"


def sym(font: str, char: str) -> str:
    return f'<w:r><w:sym w:font="{font}" w:char="{char}"/></w:r>'


def ruby(base: str, above: str) -> str:
    return f"<w:r><w:ruby><w:rt>{r(above)}</w:rt><w:rubyBase>{r(base)}</w:rubyBase></w:ruby></w:r>"


def wrapped(name: str, content: str) -> str:
    return f'<w:{name} w:uri="u" w:element="e" w:val="rtl">{content}</w:{name}>'


RUN = r("block")
# What stands between "网格由" and "组成。", as Word shows it.
INLINE = {
    "tracked insertion": (ins(RUN), "block"),
    "insertion in an insertion": (ins(ins(RUN)), "block"),
    "insertion beside a deletion": (gone("thread") + ins(RUN), "block"),
    "moved here": (f"<w:moveTo {CHANGE}>{RUN}</w:moveTo>", "block"),
    "moved away": (f"<w:moveFrom {CHANGE}>{r('warp')}</w:moveFrom>{RUN}", "block"),
    "content control": (sdt(RUN), "block"),
    "control in a control": (sdt(sdt(RUN)), "block"),
    "insertion in a control": (sdt(ins(RUN)), "block"),
    "smart tag": (wrapped("smartTag", f"<w:smartTagPr/>{RUN}"), "block"),
    "custom XML": (wrapped("customXml", f"<w:customXmlPr/>{RUN}"), "block"),
    "smart tag in a hyperlink": (f'<w:hyperlink w:anchor="x">{wrapped("smartTag", RUN)}'
                                 "</w:hyperlink>", "block"),
    "direction": (wrapped("dir", RUN) + wrapped("bdo", r("s")), "blocks"),
    "simple field": (f'<w:fldSimple w:instr=" REF a ">{RUN}</w:fldSimple>', "block"),
    "field": (FIELD.format("begin") + CODE.format("REF a") + FIELD.format("separate") + RUN
              + FIELD.format("end"), "block"),
    "field whose code shows a field": (
        FIELD.format("begin") + CODE.format("IF") + FIELD.format("begin") + CODE.format("PAGE")
        + FIELD.format("separate") + r("7") + FIELD.format("end") + FIELD.format("separate") + RUN
        + FIELD.format("end"), "block"),
    "phonetic guide": (ruby("block", "kuai"), "block"),
    "symbol": (sym("Symbol", "F061") + sym("Wingdings", "F0E0") + sym("Arial", "00D7"), "α→×"),
    "raised": (r("2") + r("10", '<w:vertAlign w:val="superscript"/>'), "2¹⁰"),
    "lowered": (r("x") + r("1", '<w:vertAlign w:val="subscript"/>'), "x₁"),
    "raised by a style": (r("2") + r("n", '<w:rStyle w:val="Above"/>'), "2ⁿ"),
    "no-break hyphen and tab": ("<w:r><w:t>a</w:t><w:noBreakHyphen/><w:tab/><w:t>b</w:t></w:r>",
                                "a-\tb"),
    "hidden": (r("x", "<w:vanish/>") + RUN, "block"),
    "hidden by a style": (r("x", '<w:rStyle w:val="Secret"/>') + RUN, "block"),
    "shown in a hidden style": (r("block", '<w:rStyle w:val="Secret"/><w:vanish w:val="0"/>'),
                                "block"),
}  # fmt: skip


@pytest.mark.parametrize("kind", INLINE)
def test_text_inside_a_paragraph(tmp_path: Path, kind: str) -> None:
    content, shown = INLINE[kind]
    blocks = [p("问题：网格由什么组成？"), p("答案：网格由", content, "组成。")]
    path = write(tmp_path / "a.docx", *blocks, styles=STYLES)
    assert [pair.answer for pair in read_pairs(path).pairs] == [f"网格由{shown}组成。"]
    # The book's Markdown squeezes white space and marks links; its words are the same.
    book = read_book(path).text.replace("[block](#x)", "block")
    assert "".join(f"网格由{shown}组成。".split()) in "".join(book.split())


Q, A = p("问题：丙？"), p("答案：丁。")
RESTART, MERGED = '<w:vMerge w:val="restart"/>', "<w:vMerge/>"
ONE = [("丙？", "丁。")]
DELETED_MARK = f"<w:rPr><w:del {CHANGE}/></w:rPr>"
# Blocks between two ordinary pairs, and the pairs that they hold.
BLOCKS = {
    "typed with tracking on": ([p(ins(r("问题：丙？"))), p(ins(r("答案：丁。")))], ONE),
    "block control": ([sdt(Q, A)], ONE),
    "block custom XML": ([wrapped("customXml", Q + A)], ONE),
    "control with a table": ([sdt(tbl(tr("问题：丙？"), tr("答案：丁。")))], ONE),
    "control around a row": ([tbl(sdt(tr("问题：丙？", "答案：丁。")))], ONE),
    "control around a cell": ([tbl(tr(tc("问题：丙？"), sdt(tc("答案：丁。"))))], ONE),
    "custom XML around a row": ([tbl(wrapped("customXml", tr("问题：丙？", "答案：丁。")))],
                                ONE),
    "second paragraph in a control": ([Q, A, sdt(p("戊。"))], [("丙？", "丁。\n戊。")]),
    "text box": ([Q, p("答案：代码如下：", box(p("f();"), p("g();")))],
                 [("丙？", "代码如下：\nf();\ng();")]),
    "text box of its own": ([Q, A, p(box(p("f();")))], [("丙？", "丁。\nf();")]),
    "text box in a text box": ([Q, p("答案：丁。", box(p("f();", box(p("g();")))))],
                               [("丙？", "丁。\nf();\ng();")]),
    "text box of old programs": (
        [Q, p("答案：丁。", "<w:r><w:pict><v:shape><v:textbox><w:txbxContent>" + p("f();")
              + "</w:txbxContent></v:textbox></v:shape></w:pict></w:r>")],
        [("丙？", "丁。\nf();")]),
    "deleted pair": ([p(gone("问题：丙？"), properties=DELETED_MARK),
                      p(gone("答案：丁。"), properties=DELETED_MARK)], []),
    "paragraphs joined by a deleted mark": ([Q, p("答案：丁", properties=DELETED_MARK), p("戊。")],
                                            [("丙？", "丁戊。")]),
    "hidden paragraph": ([Q, A, p(r("旧。", "<w:vanish/>"),
                                  properties="<w:rPr><w:vanish/></w:rPr>")], ONE),
    "paragraph hidden by its style": ([Q, A, p("旧。", properties='<w:pStyle w:val="Notes"/>')],
                                      ONE),
    "deleted row": ([tbl(tr("问题：丙？"), tr("答案：丁。"),
                         tr("旧。", properties=f"<w:del {CHANGE}/>"))], ONE),
    "deleted cell": ([tbl(tr("问题：丙？", tc("旧", properties=f"<w:cellDel {CHANGE}/>"),
                             "答案：丁。"))], ONE),
    "merged cells": ([tbl(tr("问题：丙？", tc("答案：丁。", properties=RESTART)),
                          tr("", tc("看不见", properties=MERGED)))], ONE),
    "a merge that nothing begins": ([tbl(tr(tc("问题：丙？", properties=MERGED), "答案：丁。"))],
                                    ONE),
}  # fmt: skip


@pytest.mark.parametrize("kind", BLOCKS)
def test_whole_paragraphs_and_tables(tmp_path: Path, kind: str) -> None:
    blocks, held = BLOCKS[kind]
    first = [p("问题：甲？"), p("答案：乙。")]
    last = [p("问题：己？"), p("答案：庚。")]
    path = write(tmp_path / "a.docx", *first, *blocks, *last, styles=STYLES)
    found = read_pairs(path)
    said = [(pair.question, pair.answer) for pair in found.pairs]
    assert said == [("甲？", "乙。"), *held, ("己？", "庚。")]
    assert found.warnings == []
    book = "".join(read_book(path).text.split())
    assert all(
        "".join(text.split()) in book.replace("```", "") for _, t in held for text in t.split("\n")
    )
    assert not any(word in book for word in ("旧", "看不见"))


UNREAD = {
    "formula": "<m:oMath><m:r><m:t>x</m:t></m:r></m:oMath>",
    "picture": PICTURE,
    "drawing": '<w:r><w:pict><v:shape><v:textpath string="x"/></v:shape></w:pict></w:r>',
    "drop-down field": "<w:r><w:fldChar><w:ffData><w:ddList/></w:ffData></w:fldChar></w:r>",
    "embedded object": '<w:r><w:object><o:OLEObject ProgID="Equation.3"/></w:object></w:r>',
    "footnote": '<w:r><w:footnoteReference w:id="2"/></w:r>',
    "symbol": sym("Wingdings", "F033"),
    "raised or lowered text": r("注", '<w:vertAlign w:val="superscript"/>'),
    "phonetic guide": ruby("块", "kuài"),
    "struck-through text": r("旧", '<w:rStyle w:val="Del"/>'),
    "field that draws its text": FIELD.format("begin") + CODE.format(r"EQ \f(1,2)")
    + FIELD.format("end"),
}  # fmt: skip


@pytest.mark.parametrize("kind", UNREAD)
def test_what_is_seen_and_not_read_is_named_with_its_paragraph(tmp_path: Path, kind: str) -> None:
    blocks = [
        p("问题：甲？"),
        p("答案：乙", UNREAD[kind], "。"),
        p(""),
        p("丙", UNREAD[kind], "。"),
    ]
    (warning,) = read_pairs(write(tmp_path / "a.docx", *blocks, styles=STYLES)).warnings
    assert warning.startswith("paragraph 2, 4: ") and kind in warning


def test_an_inserted_file_is_named(tmp_path: Path) -> None:
    blocks = [p("问题：甲？"), p("答案：乙。"), '<w:altChunk r:id="rId77"/>']
    assert "inserted file" in read_pairs(write(tmp_path / "a.docx", *blocks)).warnings[0]


def relations(*more: str) -> str:
    kind = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
    inner = "".join(f'<Relationship Id="r{n}" Type="{kind}/{t}"/>' for n, t in enumerate(more))
    space = "http://schemas.openxmlformats.org/package/2006/relationships"
    return f'<Relationships xmlns="{space}">{inner}</Relationships>'


@pytest.mark.parametrize(
    "link",
    [
        'image" Target="NULL',
        'hyperlink" Target="#_top',
        'image" Target="../../x.png',
        'styles" Target="',
    ],
)
def test_a_broken_relationship_costs_nothing(tmp_path: Path, link: str) -> None:
    blocks = [p("问题：甲？"), p("答案：乙。", PICTURE.replace("rId9", "r0"))]
    path = write(tmp_path / "a.docx", *blocks, document__xml__rels=relations(link))
    assert read_pairs(path).pairs[0].answer == "乙。"
    assert "乙。" in read_book(path).text


def test_a_package_that_lost_its_list_of_parts_is_read(tmp_path: Path) -> None:
    path = write(tmp_path / "a.docx", p("问题：甲？"), p("答案：乙。"), _rels___rels=relations())
    assert read_pairs(path).pairs[0].answer == "乙。"


@pytest.mark.parametrize("kind", ["strict", "macros", "template"])
def test_word_files_of_other_kinds_under_the_usual_name(tmp_path: Path, kind: str) -> None:
    path = write(tmp_path / "a.docx", p("问题：甲？"), p("答案：", ins(RUN)))
    import zipfile

    with zipfile.ZipFile(path) as archive:
        parts = {name: archive.read(name) for name in archive.namelist()}
    old = b"http://schemas.openxmlformats.org"
    main = b"vnd.openxmlformats-officedocument.wordprocessingml.document.main"
    for name, content in parts.items():
        if kind == "strict":
            content = content.replace(
                old + b"/wordprocessingml/2006/main",
                b"http://purl.oclc.org/ooxml/wordprocessingml/main",
            )
            content = content.replace(
                old + b"/officeDocument/2006/relationships",
                b"http://purl.oclc.org/ooxml/officeDocument/relationships",
            )
        elif kind == "macros":
            content = content.replace(main, b"vnd.ms-word.document.macroEnabled.main")
        else:
            content = content.replace(main, main.replace(b"document.main", b"template.main"))
        parts[name] = content
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in parts.items():
            archive.writestr(name, content)
    assert read_pairs(path).pairs[0].answer == "block"
    assert "block" in read_book(path).text


NUMBERING = (
    '<w:abstractNum w:abstractNumId="1"><w:lvl w:ilvl="0"><w:start w:val="1"/>'
    '<w:numFmt w:val="{form}"/><w:lvlText w:val="{text}"/></w:lvl></w:abstractNum>'
    '<w:num w:numId="5"><w:abstractNumId w:val="1"/></w:num>'
)
LIST = '<w:numPr><w:ilvl w:val="0"/><w:numId w:val="5"/></w:numPr>'


def test_labels_and_chapters_that_word_numbers_count(tmp_path: Path) -> None:
    numbering = NUMBERING.format(form="decimal", text="问题%1：")
    blocks = [
        p("甲？", properties=LIST),
        p("答案：乙。"),
        p("丙？", properties=LIST),
        p("答案：丁。"),
    ]
    found = read_pairs(write(tmp_path / "a.docx", *blocks, numbering=numbering))
    assert [(each.question, each.answer) for each in found.pairs] == [
        ("甲？", "乙。"),
        ("丙？", "丁。"),
    ]
    numbering = NUMBERING.format(form="chineseCounting", text="第%1章")
    blocks = [
        p("内存", properties=LIST),
        p("问题：甲？"),
        p("答案：乙。"),
        p("线程", properties=LIST),
    ]
    blocks += [p("问题：丙？"), p("答案：丁。")]
    found = read_pairs(write(tmp_path / "b.docx", *blocks, numbering=numbering))
    assert [pair.section for pair in found.pairs] == ["第一章 内存", "第二章 线程"]
    assert [pair.answer for pair in found.pairs] == ["乙。", "丁。"]


def test_list_numbers_inside_an_answer_are_named_bullets_are_not(tmp_path: Path) -> None:
    blocks = [
        p("问题：甲？"),
        p("答案：两点："),
        p("乙", properties=LIST),
        p("丙", properties=LIST),
    ]
    path = write(
        tmp_path / "a.docx", *blocks, numbering=NUMBERING.format(form="decimal", text="%1.")
    )
    found = read_pairs(path)
    assert found.pairs[0].answer == "两点：\n乙\n丙"
    assert found.warnings[0].startswith("paragraph 3, 4: a list number")
    path = write(tmp_path / "a.docx", *blocks, numbering=NUMBERING.format(form="bullet", text="•"))
    assert read_pairs(path).warnings == []
