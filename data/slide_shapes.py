"""What one slide shows: text boxes, tables, diagrams, pictures, and the notes below it."""

import re
import textwrap
from collections.abc import Iterator, Sequence
from itertools import groupby
from typing import Any

from common.language import either
from data.code_lines import FIXED, is_code
from data.losses import FIGURE, FORMULA, TEXT, Loss
from data.mathtype import mathtype_latex
from data.text import fenced, tidy

_NEAR = 90_000  # EMU, a tenth of an inch: boxes overlap a little without standing side by side
_SHORT_TITLE = 40
# What programs write as a picture's description.
_AUTOMATIC = re.compile(
    r"(?:[A-Za-z]:)?[\\/].*|.*\.(?:png|jpe?g|gif|emf|wmf|bmp|tmp)|屏幕剪辑|screen clipping"
    r"|(?:图片|picture|图像|image)\s*\d*|.*(?:描述已自动生成|automatically generated).*",
    re.IGNORECASE,
)
_FURNITURE = {"dt", "ftr", "sldNum", "hdr", "sldImg"}
_DRAWING = "{http://schemas.openxmlformats.org/drawingml/2006/main}"
_MATH = "{http://schemas.openxmlformats.org/officeDocument/2006/math}oMath"


_Boxed = tuple[Any, tuple[int, int, int, int]]  # a shape, its left, top, right and bottom


def title_of(slide: Any, size: tuple[int, int]) -> Any:
    """The shape of a slide's title: the title's placeholder, else a short line on top, or None."""
    _open_alternatives(slide.element)
    shape = slide.shapes.title
    if shape is not None and _said(shape):
        return shape
    boxes = [each for each in slide.shapes if each.has_text_frame and _said(each)]
    boxes = [each for each in boxes if _kind(each) not in _FURNITURE]
    top = min(boxes, key=lambda each: each.top if each.top is not None else size[1], default=None)
    if top is None or len(boxes) < 2 or top.top is None or top.top > size[1] * 0.2:
        return None
    text, *more = _said(top)
    if more or len(text) > _SHORT_TITLE or re.search(r"[。；，;,：:]$", text):
        return None
    return top


def _open_alternatives(element: Any) -> None:
    """What a newer PowerPoint shows in the place of each alternative, which the library skips; of
    ink, which it stops at, the picture."""
    for alternative in list(element.iter("{*}AlternateContent")):
        whole = [each for each in alternative if each.find(".//{*}contentPart") is None]
        for child in list(whole[0]) if whole else []:
            alternative.addprevious(child)
        alternative.getparent().remove(alternative)
    for ink in list(element.iter("{*}contentPart")):
        ink.getparent().remove(ink)


def place_of(number: int) -> str:
    """A slide in messages."""
    return either(f"第 {number} 张", f"slide {number}")


class SlideText:
    """The blocks of a slide as Markdown in reading order, and what they lack."""

    def __init__(self, slide: Any, number: int, title: Any) -> None:
        """title: the shape whose text is the heading, or None."""
        self.slide, self.number = slide, number
        self.place = place_of(number)
        self.losses: list[Loss] = []
        self.blocks: list[str] = []
        frames = [title.text_frame] if title is not None else []
        lines = [self._paragraph(p._p) for frame in frames for p in frame.paragraphs]
        self.title = tidy(re.sub(r"\s+", " ", " ".join(lines)))
        skipped = title.shape_id if title is not None else None
        shapes = [each for each in slide.shapes if each.shape_id != skipped]
        for shape in in_reading_order(shapes):
            self.blocks += self._shape(shape)
        self.blocks += self._notes()

    def _shape(self, shape: Any) -> Iterator[str]:
        kind = _kind(shape)
        if kind in _FURNITURE:
            return
        if hasattr(shape, "shapes"):  # a group
            for each in in_reading_order(list(shape.shapes)):
                yield from self._shape(each)
        elif getattr(shape, "has_table", False) and shape.has_table:
            yield from self._table(shape.table)
        elif getattr(shape, "has_chart", False) and shape.has_chart:
            title = shape.chart.has_title and shape.chart.chart_title.text_frame.text
            self._lost(FIGURE, either("图表", "a chart") + (f" {title}" if title else ""))
        elif shape.element.find(".//{*}relIds") is not None:
            yield from self._diagram(shape)
        elif (embedded := shape.element.find(".//{*}oleObj")) is not None:
            yield from self._object(shape, embedded)
        elif shape.element.find(".//{*}nvPr/{*}videoFile") is not None:
            self._lost(TEXT, either("视频", "a video"))
        elif shape.element.find(".//{*}nvPr/{*}audioFile") is not None:
            self._lost(TEXT, either("音频", "a sound"))
        elif (picture := shape.element.find(".//{*}blip")) is not None:
            yield from self._picture(shape, picture)
        if getattr(shape, "has_text_frame", False) and shape.has_text_frame:
            yield from self._text(shape, kind in ("body", "obj") or kind == "none")

    def _lost(self, what: str, why: str) -> None:
        self.losses.append(Loss(what, self.place, why))

    def _text(self, shape: Any, listed: bool) -> Iterator[str]:
        """Paragraphs, list items, or code of one shape."""
        lines: list[tuple[str, str]] = []  # what stands before it, the line
        mono = []
        for paragraph in shape.text_frame.paragraphs:
            text = self._paragraph(paragraph._p)
            if not text.strip():
                continue
            mono.append(_is_monospaced(paragraph))
            bullet = _bullet(paragraph._p, listed)
            lines += [(bullet, text)]
        plain = "\n".join(text for _, text in lines).replace("\v", "\n")
        code = bool(mono) and (all(mono) or is_code(plain) and "\n" in plain)
        if code and "$" not in plain:
            yield fenced(plain.rstrip())
            return
        if len(lines) == 1:  # no list
            lines = [("", lines[0][1])]
        for in_list, rows in groupby(lines, lambda row: bool(row[0])):
            items = [f"{bullet}{_escaped(text)}" for bullet, text in rows]
            if in_list:  # deeper than three blanks a list would begin as code
                yield textwrap.dedent("\n".join(items)).lstrip()
            else:
                yield from items

    def _paragraph(self, element: Any) -> str:
        text, broken = _runs(element)
        for _ in range(broken):
            self._lost(FORMULA, either("留下了普通文字", "its plain text stays"))
        return text

    def _table(self, table: Any) -> Iterator[str]:
        """A cell merged downwards stands in each row, one merged across in its first column."""
        rows = []
        cells = [[cell for cell in row.cells] for row in table.rows]
        for number, row in enumerate(cells):
            said = []
            for column, cell in enumerate(row):
                above = number
                while above and cells[above][column]._tc.vMerge:
                    above -= 1
                cell = cells[above][column]
                across = cell._tc.hMerge
                text = "" if across else self._cell(cell)
                said.append(text)
            rows.append(said)
        if any(any(row) for row in rows):
            head, *rest = ["| " + " | ".join(row) + " |" for row in rows]
            yield "\n".join([head, "|" + " --- |" * len(rows[0]), *rest])

    def _cell(self, cell: Any) -> str:
        lines = (tidy(self._paragraph(p._p).replace("\v", " ")) for p in cell.text_frame.paragraphs)
        text = " ".join(filter(None, lines))
        return re.sub(r"(?<!\\)\|", r"\\|", text)

    def _picture(self, shape: Any, blip: Any) -> Iterator[str]:
        link = next((value for name, value in blip.attrib.items() if name.endswith("}embed")), "")
        related = self.slide.part.rels.get(link)
        file = (
            str(related.target_part.partname).lstrip("/")
            if related and not related.is_external
            else ""
        )
        said = shape.element.find(".//{*}cNvPr")
        caption = tidy((said.get("descr") or "").replace("\n", " ")) if said is not None else ""
        caption = "" if _AUTOMATIC.fullmatch(caption) else caption
        caption = re.sub(r"[][]", " ", caption)
        yield f"![{caption}]({file or 'picture'}#slide={self.number})"

    def _object(self, shape: Any, embedded: Any) -> Iterator[str]:
        """A formula of MathType as LaTeX; other embedded objects are named."""
        program = embedded.get("progId", "")
        if not re.match(r"Equation|MathType|KFormula", program, re.I):
            self._lost(TEXT, either(f"嵌入的对象 {program}", f"an embedded object, {program}"))
            return
        link = next((v for name, v in embedded.attrib.items() if name.endswith("}id")), "")
        try:
            yield f"$${mathtype_latex(self.slide.part.related_part(link).blob)}$$"
        except (KeyError, ValueError):
            self._lost(FORMULA, program)
            yield "[公式]"

    def _diagram(self, shape: Any) -> Iterator[str]:
        """SmartArt: its texts as a list, by the connections of its model."""
        link = next(
            (v for n, v in shape.element.find(".//{*}relIds").attrib.items() if n.endswith("}dm")),
            "",
        )
        related = self.slide.part.rels.get(link)
        if related is None:
            self._lost(TEXT, "SmartArt")
            return
        from lxml import etree

        model = etree.fromstring(related.target_part.blob)
        texts = {
            point.get("modelId"): tidy(
                "".join(each.text or "" for each in point.iter(f"{_DRAWING}t"))
            )
            for point in model.iter("{*}pt")
        }
        below: dict[str, list[tuple[int, str]]] = {}
        for each in model.iter("{*}cxn"):
            if each.get("type", "parOf") == "parOf":
                row = int(each.get("srcOrd", 0)), each.get("destId")
                below.setdefault(each.get("srcId"), []).append(row)
        children = {child for rows in below.values() for _, child in rows}
        lines = []

        def walk(point: str, depth: int, seen: frozenset[str]) -> None:
            if text := texts.get(point):
                lines.append(f"{'  ' * depth}- {_escaped(text)}")
                depth += 1
            for _, child in sorted(below.get(point, [])):
                if child not in seen:
                    walk(child, depth, seen | {child})

        for point in texts:
            if point not in children:
                walk(point, 0, frozenset([point]))
        if lines:
            yield "\n".join(lines)

    def _notes(self) -> Iterator[str]:
        if self.slide.has_notes_slide:
            frame = self.slide.notes_slide.notes_text_frame
            said = {
                re.sub(r"^[\s-]+", "", line) for block in self.blocks for line in block.split("\n")
            }
            for line in _lines(frame) if frame is not None else []:
                if (line := _escaped(line)) not in said:
                    yield line


def in_reading_order(shapes: Sequence[Any]) -> list[Any]:
    """Shapes from top to bottom, columns one after another: cut at the widest gap between them."""
    boxes = [(shape, _box(shape)) for shape in shapes]
    return [shape for shape, _ in _cut(boxes)]


def _box(shape: Any) -> tuple[int, int, int, int]:
    left, top = shape.left or 0, shape.top or 0
    return left, top, left + (shape.width or 0), top + (shape.height or 0)


def _cut(boxes: list[_Boxed]) -> list[_Boxed]:
    cuts = [cut for axis in (1, 0) if (cut := _widest_gap(boxes, axis))]
    if not cuts:
        return sorted(boxes, key=lambda each: (each[1][1], each[1][0]))
    _, first, second = max(cuts, key=lambda cut: cut[0])
    return _cut(first) + _cut(second)


def _widest_gap(boxes: list[_Boxed], axis: int) -> tuple[int, list[_Boxed], list[_Boxed]] | None:
    """(gap, the boxes before it, those behind it) along an axis; None where all overlap."""
    ordered = sorted(boxes, key=lambda each: each[1][axis])
    found, end = None, 0
    for number, (_, box) in enumerate(ordered):
        gap = box[axis] - end
        if number and gap > -_NEAR and (found is None or gap > found[0]):
            found = gap, ordered[:number], ordered[number:]
        end = max(end, box[axis + 2])
    return found


def _kind(shape: Any) -> str:
    """A placeholder's kind; "none" where its layout says no more, "" for other shapes."""
    holder = shape.element.find(".//{*}nvPr/{*}ph")
    return (holder.get("type") or "none") if holder is not None else ""


def _bullet(element: Any, listed: bool) -> str:
    """What stands before a paragraph of a list: a dash, a number, indented; "" for none."""
    properties = element.find("{*}pPr")
    level = int(properties.get("lvl", 0)) if properties is not None else 0
    found = {child.tag.split("}")[1] for child in properties} if properties is not None else set()
    if "buNone" in found or not (listed or found & {"buChar", "buAutoNum", "buBlip"}):
        return ""
    return f"{'   ' * level}{'1.' if 'buAutoNum' in found else '-'} "


def _raised(element: Any, before: str) -> str:
    """The text of a run; x² and H₂O keep their meaning, as in web pages."""
    text = element.text or ""
    properties = element.getparent().find("{*}rPr")
    offset = int((properties.get("baseline") or "0").rstrip("%")) if properties is not None else 0
    inner = text.strip()
    if not offset or not re.match(r"[\w)\]}]$", before[-1:]) or not 0 < len(inner) <= 12:
        return text
    sign = "^" if offset > 0 else "_"
    return f"{sign}{inner}" if len(inner) == 1 else f"{sign}{{{inner}}}"


def _runs(element: Any) -> tuple[str, int]:
    """A paragraph's runs, line breaks, fields and formulas in their order, and of how many formulas
    only the plain text stays."""
    from data.omml import to_latex

    text, broken = "", 0
    for child in element.iter(f"{_DRAWING}t", f"{_DRAWING}br", _MATH):
        if any(above.tag == _MATH for above in child.iterancestors()):
            continue
        if child.tag == _MATH:
            latex, whole = to_latex(child)
            text += f"${latex}$" if whole else latex
            broken += not whole
        elif child.tag.endswith("}br"):
            text += "\v"
        else:
            text += _raised(child, text)
    return text, broken


def _is_monospaced(paragraph: Any) -> bool:
    faces = [run._r.find("{*}rPr/{*}latin") for run in paragraph.runs if run.text.strip()]
    names = [face.get("typeface", "") for face in faces if face is not None]
    return bool(names) and len(names) == len(faces) and all(map(FIXED.search, names))


def _lines(frame: Any) -> list[str]:
    found = (line for p in frame.paragraphs for line in p.text.split("\v"))
    return [line for line in map(tidy, found) if line]


def _said(shape: Any) -> list[str]:
    """The paragraphs of a shape that say something, each as one line."""
    found = (_runs(p._p)[0].replace("\v", " ") for p in shape.text_frame.paragraphs)
    return [line for line in map(tidy, found) if line]


def _escaped(text: str) -> str:
    """A text that Markdown reads as it is: no heading, no tag."""
    lines = [re.sub(r"^(#{1,6}|>|\+)(?= )", r"\\\1", tidy(line)) for line in text.split("\v")]
    return re.sub("<(?=[A-Za-z/!])", r"\\<", " ".join(filter(None, lines)))
