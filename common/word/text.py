"""A Word document's lines and tables in reading order."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from common.word.document import WordDocument
from common.word.numbering import Numbering
from common.word.xml import attribute, child, is_on, name, paragraph_number, value

_MARKS = {"w:tab": "\t", "w:ptab": "\t", "w:cr": "\n"}
_PAGE = "\f"  # no character of XML


@dataclass(frozen=True)
class Line:
    """One line of a paragraph, with the paragraph's number.

    `outline`: Word's outline shows it as a heading. `label`: the list number that Word draws before
    it, which is not in `text`. `role` says what a table column makes of it: "question", "answer",
    "section", or "end" of a pair; "" leaves that to its text. `row` is the table row, from 1.
    """

    number: int
    text: str
    outline: bool = False
    bold: bool = False
    label: str = ""
    role: str = ""
    row: int = 0

    @property
    def spot(self) -> str:
        """Where the line is, in the words of a warning."""
        paragraph = f"paragraph {self.number}" if self.number else "the table on top"
        return paragraph + (f", table row {self.row}" if self.row else "")


@dataclass(frozen=True)
class Cell:
    """A table cell: its lines, the grid columns it covers, and whether it hangs on the one above
    (vertically merged)."""

    lines: list[Line]
    columns: range
    continued: bool

    @property
    def text(self) -> str:
        """The cell's text without outer white space."""
        return "\n".join(line.text for line in self.lines).strip()


@dataclass(frozen=True)
class Table:
    """Rows of cells; `number` is that of the paragraph before the table."""

    number: int
    rows: list[list[Cell]]


def read_blocks(document: WordDocument) -> Iterator[Line | Table]:
    """Lines of paragraphs and whole tables, in order."""
    numbering = Numbering(document)
    number = 0
    for block in _blocks(document.body):
        if name(block) == "w:p":
            number = paragraph_number(block)
            yield from _lines(document, numbering, block)
        elif name(block) == "w:tbl":
            yield _table(document, numbering, block, number)


def _blocks(parent: Any) -> Iterator[Any]:
    """Paragraphs and tables; a table of one cell in each row is a frame around them."""
    for block in parent:
        cells = [cell for row in block for cell in row if name(cell) == "w:tc"]
        rows = [row for row in block if name(row) == "w:tr"]
        framed = name(block) == "w:tbl" and len(cells) == len(rows)
        if framed and any(name(each) == "w:tbl" for cell in cells for each in cell):
            for cell in cells:
                yield from _blocks(cell)
        else:
            yield block


def _lines(document: WordDocument, numbering: Numbering, paragraph: Any) -> Iterator[Line]:
    runs = [run for run in paragraph.iter() if name(run) == "w:r" and _run_text(run).strip()]
    bold = bool(runs) and all(is_on(run, "w:rPr", "w:b") for run in runs)
    outline = _is_outlined(document, paragraph)
    text = "".join(_run_text(run) for run in paragraph.iter() if name(run) == "w:r")
    label = numbering.label(paragraph)
    # What follows a page break stands on a line of its own; at a paragraph's ends there is none.
    for line in text.strip(_PAGE).replace(_PAGE, "\n").split("\n"):
        yield Line(paragraph_number(paragraph), line, outline, bold, label)
        label = ""  # it stands on the paragraph's first line


def _run_text(run: Any) -> str:
    parts = []
    for each in run:
        kind = name(each)
        if kind == "w:t":
            parts.append(each.text or "")
        elif kind == "w:br":
            breaks = attribute(each, "type") in (None, "textWrapping")
            parts.append("\n" if breaks else _PAGE)
        else:
            parts.append(_MARKS.get(kind, ""))
    return "".join(parts)


def _is_outlined(document: WordDocument, paragraph: Any) -> bool:
    """Whether Word's outline shows the paragraph: by its own level, or by its style."""
    own = value(paragraph, "w:pPr", "w:outlineLvl")
    if own is not None:
        return own != "9"  # 9 is body text
    for style in document.style(value(paragraph, "w:pPr", "w:pStyle")):
        if style.name.lower().startswith(("heading", "title", "标题")):
            return True
        if style.outline:
            return style.outline != "9"
    return False


def _table(document: WordDocument, numbering: Numbering, table: Any, number: int) -> Table:
    rows: list[list[Cell]] = []
    open_columns: set[int] = set()  # where a vertical merge has begun
    for row in (each for each in table if name(each) == "w:tr"):
        column = _count(value(row, "w:trPr", "w:gridBefore"), 0)
        cells = []
        for cell in (each for each in row if name(each) == "w:tc"):
            columns = range(column, column + _count(value(cell, "w:tcPr", "w:gridSpan"), 1))
            column = columns.stop
            merge = child(cell, "w:tcPr", "w:vMerge")
            continued = False
            if merge is None:
                open_columns.discard(columns.start)
            elif attribute(merge, "val") == "restart":
                open_columns.add(columns.start)
            else:
                # Some programs write a continuation that nothing begins: it is a cell of its own.
                continued = columns.start in open_columns
                open_columns.add(columns.start)
            lines = [] if continued else list(_cell_lines(document, numbering, cell))
            cells.append(Cell(lines, columns, continued))
        rows.append(cells)
    return Table(number, rows)


def _count(text: str | None, least: int) -> int:
    """A number of grid columns; what is none, or beyond any table, counts as the least."""
    return (
        max(least, int(text))
        if text and text.isascii() and text.isdigit() and len(text) < 4
        else least
    )


def _cell_lines(document: WordDocument, numbering: Numbering, cell: Any) -> Iterator[Line]:
    for block in cell:
        if name(block) == "w:p":
            yield from _lines(document, numbering, block)
        elif name(block) == "w:tbl":
            for row in _table(document, numbering, block, 0).rows:
                for inner in row:
                    yield from inner.lines
