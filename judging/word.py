"""A document as Word has it: A4, Chinese fonts, columns as wide as their text wants."""

import io
import unicodedata
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from docx import Document as Word
from docx.enum.text import WD_ALIGN_PARAGRAPH
from docx.oxml import OxmlElement
from docx.oxml.ns import qn
from docx.shared import Cm, Pt, RGBColor

from judging.document import Code, Document, Grid, Heading, Paragraph, Picture

_TEXT_CM = 16.6  # A4 less margins of 2.2 cm
_NARROWEST_CM = 1.7
_TALLEST_CM = 11.5  # a picture
_WIDEST = 60  # half-width characters that widen a column; longer text is folded
_WHOLE_LINES = 12  # a longer row kept whole would leave half a page blank
_HALF_WIDTHS_PER_CM = 6.3  # at 9 points
_GREY, _HEADER = RGBColor(0x5A, 0x68, 0x78), "EEF2F6"
# Latin and Chinese font of each style. Unset, Word may take a Japanese one for the Chinese.
_FONTS = {
    "Normal": ("Times New Roman", "宋体"),
    "Title": ("Arial", "黑体"),
    "Heading 1": ("Arial", "黑体"),
}


def to_word(document: Document, path: Path) -> None:
    """Write a docx. Raises OSError."""
    word = Word()
    _set_up(word)
    for block, following in zip(document.blocks, [*document.blocks[1:], None], strict=True):
        match block:
            case Heading(level, text):
                word.add_heading(_clean(text), level - 1)
            case Paragraph(text, note):
                paragraph = word.add_paragraph()
                # What stands over a table says what it is of: not alone at a page's end.
                paragraph.paragraph_format.keep_with_next = isinstance(following, Grid | Picture)
                run = paragraph.add_run(_clean(text))
                if note:
                    run.font.color.rgb, run.font.size = _GREY, Pt(9)
            case Code(text):
                run = word.add_paragraph().add_run(_clean(text))
                run.font.name, run.font.size = "Consolas", Pt(9)
            case Grid():
                _add_table(word, block)
            case Picture(png, caption):
                paragraph = word.add_paragraph()
                paragraph.paragraph_format.keep_with_next = True
                shape = paragraph.add_run().add_picture(io.BytesIO(png), width=Cm(_TEXT_CM))
                if shape.height > Cm(_TALLEST_CM):  # else it wants a page of its own
                    shape.width = int(shape.width * Cm(_TALLEST_CM) / shape.height)
                    shape.height = Cm(_TALLEST_CM)
                paragraph.alignment = WD_ALIGN_PARAGRAPH.CENTER
                shown = word.add_paragraph()
                shown.alignment = WD_ALIGN_PARAGRAPH.CENTER
                run = shown.add_run(_clean(caption))
                run.font.color.rgb, run.font.size = _GREY, Pt(9)
    word.save(str(path))


def widths(grid: Grid) -> list[float]:
    """Centimetres of each column, together the width of the text: by the longest line of its
    cells, Chinese characters counted twice."""
    wanted = []
    for column in zip(grid.header, *grid.rows, strict=True):
        lines = [line for cell in column for line in cell.split("\n")]
        wanted.append(min(_WIDEST, max(map(_width, lines))) + 2)
    scale = _TEXT_CM / sum(wanted)
    narrow = [each * scale < _NARROWEST_CM for each in wanted]
    if all(narrow):
        return [_TEXT_CM / len(wanted)] * len(wanted)
    rest = _TEXT_CM - _NARROWEST_CM * sum(narrow)
    scale = rest / sum(each for each, low in zip(wanted, narrow, strict=True) if not low)
    return [
        _NARROWEST_CM if low else each * scale for each, low in zip(wanted, narrow, strict=True)
    ]


def _set_up(word: Any) -> None:
    for section in word.sections:
        section.page_width, section.page_height = Cm(21), Cm(29.7)
        section.left_margin = section.right_margin = Cm(2.2)
        section.top_margin = section.bottom_margin = Cm(2.2)
    word.styles["Normal"].font.size = Pt(10.5)
    word.styles["Normal"].paragraph_format.space_after = Pt(6)
    for style, (latin, chinese) in _FONTS.items():
        properties = word.styles[style].element.get_or_add_rPr()
        fonts = properties.get_or_add_rFonts()
        for name in list(fonts.attrib):
            if name.endswith("Theme"):  # a theme's font would win over the one named here
                del fonts.attrib[name]
        for name in ("ascii", "hAnsi"):
            fonts.set(qn(f"w:{name}"), latin)
        fonts.set(qn("w:eastAsia"), chinese)
    # The language decides how shared code points are drawn: 。 in the corner, not in the middle.
    for language in word.styles.element.iter(qn("w:lang")):
        language.set(qn("w:eastAsia"), "zh-CN")


def _add_table(word: Any, grid: Grid) -> None:
    table = word.add_table(rows=0, cols=len(grid.header), style="Table Grid")
    table.autofit = False
    columns = widths(grid)
    for number, cells in enumerate([grid.header, *grid.rows]):
        row = table.add_row()
        _mark_row(row, header=number == 0, whole=_lines(cells, columns) <= _WHOLE_LINES)
        for cell, text, width in zip(row.cells, cells, columns, strict=True):
            cell.width = Cm(width)
            paragraph = cell.paragraphs[0]
            paragraph.paragraph_format.space_before = Pt(2)
            paragraph.paragraph_format.space_after = Pt(2)
            run = paragraph.add_run(_clean(text))
            run.font.size, run.bold = Pt(9), number == 0
            if number == 0:
                _shade(cell)
    for column, width in zip(table.columns, columns, strict=True):
        column.width = Cm(width)
    after = word.add_paragraph().paragraph_format
    after.space_after, after.line_spacing = Pt(0), Pt(8)


def _mark_row(row: Any, header: bool, whole: bool) -> None:
    """whole: not cut by a page's end. The header comes again on the next page."""
    properties = row._tr.get_or_add_trPr()
    if whole:
        properties.append(OxmlElement("w:cantSplit"))
    if header:
        properties.append(OxmlElement("w:tblHeader"))


def _shade(cell: Any) -> None:
    shading = OxmlElement("w:shd")
    for name, value in (("val", "clear"), ("color", "auto"), ("fill", _HEADER)):
        shading.set(qn(f"w:{name}"), value)
    cell._tc.get_or_add_tcPr().append(shading)


def _lines(cells: Sequence[str], columns: Sequence[float]) -> int:
    """About how many lines a row is high."""
    return max(
        sum(1 + int(_width(line) / (width * _HALF_WIDTHS_PER_CM)) for line in text.split("\n"))
        for text, width in zip(cells, columns, strict=True)
    )


def _width(text: str) -> int:
    return sum(1 + (unicodedata.east_asian_width(c) in "WF") for c in text)


def _clean(text: str) -> str:
    """Without the control characters that XML cannot hold."""
    return "".join(c for c in text if c >= " " or c in "\n\t")
