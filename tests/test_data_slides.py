"""Lecture slides as books: headings, reading order, tables, formulas, notes, what is not read."""

import io
import zipfile
from pathlib import Path
from typing import Any

import pptx
import pytest
from lxml import etree
from PIL import Image
from pptx.chart.data import CategoryChartData
from pptx.enum.chart import XL_CHART_TYPE
from pptx.opc.constants import RELATIONSHIP_TYPE
from pptx.opc.package import Part
from pptx.opc.packuri import PackURI
from pptx.oxml import parse_xml
from pptx.util import Inches

from common.archives import OLD_OFFICE
from data.books import BookError, EmptyBookError, read_book
from data.kinds import advice
from data.sections import read_sections
from tests.data_commands import run

A = "http://schemas.openxmlformats.org/drawingml/2006/main"
M = "http://schemas.openxmlformats.org/officeDocument/2006/math"
P = "http://schemas.openxmlformats.org/presentationml/2006/main"
MC = "http://schemas.openxmlformats.org/markup-compatibility/2006"
A14 = "http://schemas.microsoft.com/office/drawing/2010/main"
COVER, CONTENT, DIVIDER, TITLE, EMPTY = 0, 1, 2, 5, 6  # layouts of the library's own template


class Deck:
    def __init__(self) -> None:
        self.file = pptx.Presentation()

    def slide(self, title: str = "", *lines: str, layout: int = CONTENT) -> Any:
        slide = self.file.slides.add_slide(self.file.slide_layouts[layout])
        if title:
            slide.shapes.title.text = title
        if lines:
            slide.placeholders[1].text = "\n".join(lines)
        return slide

    def read(self, folder: Path, name: str = "deck.pptx") -> Any:
        self.file.save(folder / name)
        return read_book(folder / name)


def box(slide: Any, text: str, left: float, top: float, width: float = 4, height: float = 1) -> Any:
    shape = slide.shapes.add_textbox(*map(Inches, (left, top, width, height)))
    shape.text_frame.text = text
    return shape


def test_titles_are_headings_and_slides_that_go_on_one_section(tmp_path: Path) -> None:
    deck = Deck()
    deck.slide("操作系统", layout=COVER)
    deck.slide("本章内容", "进程", "线程")
    deck.slide("第一章 进程", layout=DIVIDER)
    deck.slide("进程的状态", "就绪", "运行")
    deck.slide("进程的状态（续）", "阻塞")
    box(deck.slide(layout=EMPTY), "没有标题的一张接着上一张讲。", 1, 4)
    deck.slide("进程的状态 3/3", "终止")
    deck.slide("线程", "线程共享进程的地址空间。")
    book = deck.read(tmp_path)
    sections = {section.path: section for section in read_sections(book.text)}
    chapter = ("操作系统", "第一章 进程")
    assert list(sections) == [
        ("操作系统",),
        ("操作系统", "目录"),
        chapter,
        (*chapter, "进程的状态"),
        (*chapter, "线程"),
    ]
    assert sections["操作系统", "目录"].is_apparatus
    texts = [block.text for block in sections[(*chapter, "进程的状态")].blocks]
    assert texts == ["就绪", "运行", "阻塞", "没有标题的一张接着上一张讲。", "终止"]
    assert [book.page_at(book.text.index(text)) for text in ("就绪", "阻塞", "终止")] == [4, 5, 7]


def test_columns_are_read_one_after_another_and_levels_stay(tmp_path: Path) -> None:
    deck = Deck()
    slide = deck.slide("比较", layout=TITLE)
    # In the file they stand as they were drawn: from right to left, from below.
    box(slide, "右下", 5, 3.1)
    box(slide, "右上", 5, 2)
    box(slide, "左下", 0.5, 3.1)
    box(slide, "左上", 0.5, 2)
    box(slide, "整行的结论。", 0.5, 6, 8.5)
    frame = deck.slide("列表", "第一点").placeholders[1].text_frame
    inner = frame.add_paragraph()
    inner.text, inner.level = "它的细节", 1
    rows = deck.slide("逐行", layout=TITLE)
    for number, top in enumerate((4, 2)):  # a name and what it means, row by row
        box(rows, f"意思{number}", 2.2, top, 6)
        box(rows, f"名字{number}", 0.5, top, 1.5)
    text = deck.read(tmp_path).text
    for names in (("左上", "左下", "右上", "右下", "整行"), ("名字1", "意思1", "名字0", "意思0")):
        order = [text.index(each) for each in names]
        assert order == sorted(order)
    assert "- 第一点\n   - 它的细节" in text


def test_tables_code_and_notes(tmp_path: Path) -> None:
    deck = Deck()
    slide = deck.slide("存储器", layout=TITLE)
    table = slide.shapes.add_table(3, 2, *map(Inches, (1, 2, 6, 2))).table
    for row, texts in enumerate((("名称", "位置"), ("寄存器|缓存", "片上"), ("共享", ""))):
        for column, text in enumerate(texts):
            table.cell(row, column).text = text
    table.cell(1, 1).merge(table.cell(2, 1))
    code = box(slide, "", 1, 5)
    code.text_frame.text = "#include <cuda.h>\n__global__ void f(int *a) {\n    a[0] = 1;\n}"
    box(slide, "# 不是标题，a<b 也不是标签", 1, 6.5)
    slide.notes_slide.notes_text_frame.text = "讲的时候说明寄存器最快。"
    text = deck.read(tmp_path).text
    assert "| 名称 | 位置 |\n| --- | --- |\n| 寄存器\\|缓存 | 片上 |\n| 共享 | 片上 |" in text
    assert "```\n#include <cuda.h>\n__global__ void f(int *a) {\n    a[0] = 1;\n}\n```" in text
    (section,) = read_sections(text)
    assert section.blocks[-2].text == "# 不是标题，a<b 也不是标签"
    assert section.blocks[-1].text == "讲的时候说明寄存器最快。"


def test_formulas_scripts_and_shapes_in_alternatives(tmp_path: Path) -> None:
    deck = Deck()
    slide = deck.slide("矩阵", layout=TITLE)
    shape = box(slide, "乘法 x", 1, 2)
    paragraph = shape.text_frame.paragraphs[0]
    raised = paragraph.add_run()
    raised.text = "2"
    raised._r.get_or_add_rPr().set("baseline", "30000")
    formula = (
        f'<a14:m xmlns:a14="{A14}"><m:oMath xmlns:m="{M}"><m:sSub><m:e><m:r><m:t>C</m:t></m:r>'
        "</m:e><m:sub><m:r><m:t>ij</m:t></m:r></m:sub></m:sSub></m:oMath></a14:m>"
    )
    paragraph._p.append(parse_xml(formula))
    # PowerPoint keeps a shape with a formula beside a picture of it for older programs.
    tree = slide.shapes._spTree
    held = etree.SubElement(tree, f"{{{MC}}}AlternateContent")
    etree.SubElement(held, f"{{{MC}}}Choice").append(shape._element)
    etree.SubElement(held, f"{{{MC}}}Fallback").append(box(slide, "旧图", 1, 2)._element)
    book = deck.read(tmp_path)
    assert "乘法 x^2$C_{ij}$" in book.text and "旧图" not in book.text
    assert not book.losses


def test_smartart_is_a_list_and_what_is_not_read_is_named(tmp_path: Path) -> None:
    deck = Deck()
    slide = deck.slide("流程", layout=TITLE)
    picture = io.BytesIO()
    Image.new("RGB", (8, 8)).save(picture, "PNG")
    shown = slide.shapes.add_picture(picture, Inches(1), Inches(5))
    shown._element.nvPicPr.cNvPr.set("descr", "图 1.1 内存的层次")
    model = (
        '<dgm:dataModel xmlns:dgm="http://schemas.openxmlformats.org/drawingml/2006/diagram" '
        f'xmlns:a="{A}"><dgm:ptLst><dgm:pt modelId="0" type="doc"/>'
        + "".join(
            f'<dgm:pt modelId="{n}"><dgm:t><a:p><a:r><a:t>{t}</a:t></a:r></a:p></dgm:t></dgm:pt>'
            for n, t in enumerate(("取指令", "译码", "查表"), 1)
        )
        + '</dgm:ptLst><dgm:cxnLst><dgm:cxn srcId="0" destId="2" srcOrd="1"/>'
        '<dgm:cxn srcId="0" destId="1" srcOrd="0"/><dgm:cxn srcId="2" destId="3" srcOrd="0"/>'
        "</dgm:cxnLst></dgm:dataModel>"
    )
    package = deck.file.part.package
    part = Part(PackURI("/ppt/diagrams/data1.xml"), "application/xml", package, model.encode())
    link = slide.part.relate_to(part, RELATIONSHIP_TYPE.DIAGRAM_DATA)
    slide.shapes._spTree.append(
        parse_xml(
            f'<p:graphicFrame xmlns:p="{P}" xmlns:a="{A}"><p:nvGraphicFramePr>'
            '<p:cNvPr id="99" name="d"/><p:cNvGraphicFramePr/><p:nvPr/></p:nvGraphicFramePr>'
            '<p:xfrm><a:off x="900000" y="1800000"/><a:ext cx="900" cy="900"/></p:xfrm><a:graphic>'
            '<a:graphicData uri="http://schemas.openxmlformats.org/drawingml/2006/diagram">'
            '<dgm:relIds xmlns:dgm="http://schemas.openxmlformats.org/drawingml/2006/diagram" '
            'xmlns:r="http://schemas.openxmlformats.org/officeDocument/2006/relationships" '
            f'r:dm="{link}"/></a:graphicData></a:graphic></p:graphicFrame>'
        )
    )
    data = CategoryChartData()
    data.categories = ["一"]
    data.add_series("列", (1,))
    kind = XL_CHART_TYPE.COLUMN_CLUSTERED
    slide.shapes.add_chart(kind, *map(Inches, (5, 5, 2, 2)), data)
    deck.slide("备用", "不讲的内容").element.set("show", "0")
    book = deck.read(tmp_path)
    assert "- 取指令\n- 译码\n  - 查表" in book.text
    assert "不讲的内容" not in book.text
    assert [(loss.kind, loss.place) for loss in book.losses] == [
        ("figure", "slide 1"),
        ("text", "slide 2"),
    ]
    (section,) = read_sections(book.text)
    (figure,) = section.figures
    assert (figure.caption, figure.number) == ("图 1.1 内存的层次", "1.1")
    assert figure.image.endswith("#slide=1")


def test_a_line_on_most_slides_is_the_course_not_the_text(tmp_path: Path) -> None:
    deck = Deck()
    for number in range(6):
        slide = deck.slide(f"第{number}节", f"正文{number}")
        box(slide, "int main() {\n    run();\n}", 1, 5)
        box(slide, "计算机学院 操作系统", 6, 7)
    book = deck.read(tmp_path)
    assert "计算机学院" not in book.text and all(
        f"正文{number}" in book.text for number in range(6)
    )
    (loss,) = book.losses
    assert loss.place == "6 slides" and '"计算机学院 操作系统"' in loss.why
    assert book.text.count("int main") == 6, "code may be said again"


@pytest.mark.parametrize(
    "title", ["极限与连续", "注册手续", "可持续", "后续", "时间复杂度 O(1)", "fork(2)", "比 1/2 大"]
)
def test_a_title_keeps_what_is_its_own(tmp_path: Path, title: str) -> None:
    deck = Deck()
    deck.slide("封面", layout=COVER)
    deck.slide(title, "第一点")
    deck.slide(title, "第二点")
    assert f"## {title}\n" in deck.read(tmp_path).text


@pytest.mark.parametrize(
    ("first", "second", "name"),
    [
        ("进程调度(1)", "进程调度(2)", "进程调度"),
        ("页表（二）", "别的", "页表"),
        ("Scheduling (1)", "Scheduling (2)", "Scheduling"),
        ("Paging", "Paging (2)", "Paging"),
        ("极限与连续", "极限与连续 续", "极限与连续"),
        ("导数", "导数——续2", "导数"),
        ("fork(2)", "fork(2)（续）", "fork(2)"),
        ("积分", "积分（续2）", "积分"),
    ],
)
def test_a_title_that_goes_on_loses_its_sign(
    tmp_path: Path, first: str, second: str, name: str
) -> None:
    deck = Deck()
    deck.slide("封面", layout=COVER)
    deck.slide(first, "第一点")
    deck.slide(second, "第二点")
    titles = [line for line in deck.read(tmp_path).text.split("\n") if line.startswith("## ")]
    assert titles == ([f"## {name}"] if second != "别的" else [f"## {name}", "## 别的"])


def test_a_title_of_several_lines_is_said_once_with_its_formula(tmp_path: Path) -> None:
    deck = Deck()
    deck.slide("封面", layout=COVER)
    frame = deck.slide("第一行\n第二行\v第三行", "正文").shapes.title.text_frame
    frame.paragraphs[1]._p.append(
        parse_xml(
            f'<a14:m xmlns:a14="{A14}"><m:oMath xmlns:m="{M}"><m:sSub><m:e><m:r><m:t>C</m:t></m:r>'
            "</m:e><m:sub><m:r><m:t>k</m:t></m:r></m:sub></m:sSub></m:oMath></a14:m>"
        )
    )
    text = deck.read(tmp_path).text
    assert "## 第一行 第二行 第三行$C_{k}$\n\n正文\n" in text
    assert text.count("第二行") == text.count("第三行") == 1


def test_lists_among_paragraphs_keep_their_bullets(tmp_path: Path) -> None:
    deck = Deck()
    slide = deck.slide("列表", "引言是一句话。", "第一点", "它的细节", "第二点", "结论是一句话。")
    paragraphs = slide.placeholders[1].text_frame.paragraphs
    for number in (0, 4):
        etree.SubElement(paragraphs[number]._p.get_or_add_pPr(), f"{{{A}}}buNone")
    paragraphs[2].level = 1
    text = deck.read(tmp_path).text
    assert "引言是一句话。\n\n- 第一点\n   - 它的细节\n- 第二点\n\n结论是一句话。" in text


def test_slides_of_only_a_picture_are_named_and_decks_of_them_are_empty(tmp_path: Path) -> None:
    deck = Deck()
    picture = io.BytesIO()
    Image.new("RGB", (8, 8)).save(picture, "PNG")
    for _ in range(2):
        deck.slide(layout=EMPTY).shapes.add_picture(picture, Inches(1), Inches(1))
    with pytest.raises(EmptyBookError, match="no text in it; .*slide 1, slide 2; .*OCR"):
        deck.read(tmp_path)
    deck.slide("甲", "正文是一句话。").shapes.add_picture(picture, Inches(1), Inches(5))
    losses = deck.read(tmp_path).losses
    assert [(loss.kind, loss.place) for loss in losses] == [
        ("text", "slide 1"),
        ("text", "slide 2"),
    ]


@pytest.mark.parametrize("damage", ["bytes", "method"])
@pytest.mark.parametrize("part", ["ppt/slides/slide1.xml", "ppt/media/image1.png"])
def test_a_damaged_part_is_one_line(tmp_path: Path, part: str, damage: str) -> None:
    deck = Deck()
    picture = io.BytesIO()
    Image.effect_noise((64, 64), 90).save(picture, "PNG")
    deck.slide("甲", "正文是一句话。").shapes.add_picture(picture, Inches(1), Inches(5))
    path = tmp_path / "deck.pptx"
    deck.file.save(path)
    content = bytearray(path.read_bytes())
    with zipfile.ZipFile(path) as archive:
        start = archive.getinfo(part).header_offset
    if damage == "bytes":
        data = start + 30 + len(part)
        content[data : data + 20] = b"\xff" * 20
    else:  # a way of packing that no program knows
        entry = content.rindex(part.encode()) - 46
        content[entry + 10 : entry + 12] = content[start + 8 : start + 10] = b"\x63\0"
    path.write_bytes(content)
    with pytest.raises(BookError, match="deck.pptx: .*broken"):
        read_book(path)


def test_shows_templates_and_broken_files(tmp_path: Path) -> None:
    deck = Deck()
    deck.slide("甲", "正文是一句话。")
    good = tmp_path / "good.pptx"
    deck.file.save(good)
    show = tmp_path / "show.ppsx"
    with zipfile.ZipFile(good) as source, zipfile.ZipFile(show, "w") as target:
        for name in source.namelist():
            content = source.read(name)
            if name == "[Content_Types].xml":
                content = content.replace(b"presentation.main+xml", b"slideshow.main+xml")
            target.writestr(name, content)
    assert "正文是一句话。" in read_book(show).text
    whole = good.read_bytes()
    for content, reason in (
        (OLD_OFFICE + b"\0" * 600, "encrypted or an old .ppt"),
        (b"PK", "broken, or not a .pptx"),
        (whole[: len(whole) // 2], "broken, or not a .pptx"),
    ):
        good.write_bytes(content)
        with pytest.raises(BookError, match=f"good.pptx: .*{reason}"):
            read_book(good)
    with zipfile.ZipFile(good, "w") as empty:
        empty.writestr("[Content_Types].xml", "<Types/>")
    with pytest.raises(BookError, match="it is broken"):
        read_book(good)
    assert advice("旧.ppt").endswith("`soffice --headless --convert-to pptx 旧.ppt`")


def test_slides_become_pairs_in_a_build(tmp_path: Path) -> None:
    deck = Deck()
    deck.slide("CUDA 编程", layout=COVER)
    deck.slide("线程块", "线程块（thread block）是一组在同一个流多处理器上执行的线程。")
    deck.slide("网格", "网格（grid）是一次内核启动的全部线程块的集合。")
    deck.file.save(tmp_path / "deck.pptx")
    out = tmp_path / "out"
    split = ["--dev", "0", "--calibration", "0", "--rules", "all"]
    run("build", tmp_path / "deck.pptx", "--out", out, "--cache", tmp_path / "cache", *split)
    assert "线程块" in (out / "train.jsonl").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("name", "todo"),
    [
        ("讲义.wps", "soffice --headless --convert-to docx 讲义.wps"),
        ("论文.caj", "CAJViewer"),
        ("我的 书.chm", 'ebook-convert "我的 书.chm" book.epub'),
        ("书.pdg", "SSReader"),
        ("第1页.jpg", "img2pdf"),
        ("书.zip", "unpack it"),
        ("题库.xlsx", "--merge"),
        ("题库.xls", "soffice --headless --convert-to xlsx 题库.xls"),
        ("网页.mht", "save it as .html"),
    ],
)
def test_a_file_that_is_not_read_is_one_line_with_what_to_do(
    tmp_path: Path, name: str, todo: str
) -> None:
    (tmp_path / name).write_bytes(b"x")
    with pytest.raises(BookError) as error:
        read_book(tmp_path / name)
    assert todo in str(error.value) and "\n" not in str(error.value)
