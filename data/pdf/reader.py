"""One PDF from its file to its Markdown: pages one by one, then the rules for the whole book."""

import ctypes
import re
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from common.language import either
from data.losses import FORMULA, PAGE, TABLE, TEXT, Loss, Reading
from data.needs import missing_package
from data.pdf.blocks import TOC_LEADER, plain, to_markdown
from data.pdf.chars import page_chars, unread_objects
from data.pdf.figures import Drawn, figures_apart, outlined_formulas
from data.pdf.formulas import formulas_apart
from data.pdf.headings import find_headings, outline
from data.pdf.layout import Margins, page_lines
from data.pdf.lines import Line, mark_code_comments, segments, unmark_code_words
from data.pdf.listings import mark_listings
from data.pdf.quality import fault
from data.pdf.running import without_running
from data.pdf.tables import CAPTION as TABLE_CAPTION
from data.pdf.tables import Rule, tables_apart

MAX_OBJECTS = 20_000  # drawn things looked at on one page
MIN_PATHS = 30  # letters drawn as outlines; fewer are lines and frames
_ENTRIES = 5  # lines with leaders make a page one of the contents
MIN_TURNED = 20  # characters that stand upright or aslant before they are worth a word


class PageReader(Protocol):
    """OCR: the lines of a page from its picture."""

    def lines(self, page: Any, number: int, left: int) -> list[Line]:
        """The lines of page `number`; `left`: pages that are still to come."""


@dataclass
class _Pages:
    lines: list[Line] = field(default_factory=list)
    drawn: dict[int, list[Drawn]] = field(default_factory=dict)
    sizes: dict[int, tuple[float, float]] = field(default_factory=dict)
    losses: list[Loss] = field(default_factory=list)
    faults: dict[int, str] = field(default_factory=dict)
    pictured: dict[int, bool] = field(default_factory=dict)


def read_pdf(
    path: Path,
    ocr: str = "auto",
    reader: Callable[[], PageReader] | None = None,
) -> Reading:
    """The text of a PDF and what is not in it.

    ocr: "auto" reads the picture of each page without usable text, "always" of every page,
    "never" of none. reader: makes what does so, called when the first page needs it.

    Raises ValueError for an encrypted file, a broken one, or one without a page that can be read.
    """
    with _opened(path) as pdf:
        pages, marks = len(pdf), outline(pdf)
        found = _Pages()
        margins = Margins()
        for number in range(pages):
            _read_page(pdf, number, found, margins, forced=ocr == "always")
        read = _read_pictures(pdf, found, reader if ocr != "never" else None)
    if not any(line.text.strip() or line.block for line in found.lines):
        whys = "; ".join(dict.fromkeys(loss.why for loss in found.losses)) or either(
            "没有文字层", "no text layer"
        )
        raise ValueError(
            either(
                f"{pages} 页没有一页读得出（{whys}）",
                f"none of its {pages} pages could be read ({whys})",
            )
        )
    lines = without_running(found.lines, pages)
    lines = _without_contents(lines)
    mark_code_comments(lines)
    mark_listings(lines)
    unmark_code_words(lines)
    lines, figures = figures_apart(lines, found.drawn, found.sizes)
    headings = find_headings(lines, marks)
    marked = set(headings.levels) | headings.joined
    texts, formulas = formulas_apart(lines, marked)
    if len(texts) != len(lines):
        headings = find_headings(texts, marks)
    losses = found.losses + figures + formulas + _tables_lost(texts)
    text, starts = to_markdown(texts, headings)
    return Reading(text, losses, pages, read, starts)


@contextmanager
def _opened(path: Path) -> Iterator[Any]:
    import pypdfium2

    try:
        pdf = pypdfium2.PdfDocument(path)
    except pypdfium2.PdfiumError as error:
        if "assword" in str(error) or "ecurity" in str(error):
            raise ValueError(
                either(
                    "加了密：请另存一份不带密码的",
                    "it is encrypted: save a copy without the password",
                )
            ) from error
        raise ValueError(
            either(f"不是能读的 PDF（{error}）", f"it is not a readable PDF ({error})")
        ) from error
    try:
        if not len(pdf):
            raise ValueError(
                either("不是能读的 PDF（一页也没有）", "it is not a readable PDF (it has no page)")
            )
        yield pdf
    finally:
        pdf.close()


def _read_page(pdf: Any, number: int, found: _Pages, margins: Margins, forced: bool) -> None:
    import pypdfium2

    try:
        page = pdf[number]
        textpage = page.get_textpage()
    except pypdfium2.PdfiumError as error:
        found.losses.append(Loss(PAGE, f"p. {number + 1}", f"broken: {error}"))
        return
    chars, turned = page_chars(page, textpage)
    textpage.close()
    width, height = page.get_size()
    found.sizes[number] = (width, height)
    rules, drawn = _drawings(page)
    found.drawn[number] = drawn
    why = either("要求 OCR", "OCR was asked for") if forced else fault(chars)
    covered = max(
        ((d.right - d.left) * (d.bottom - d.top) for d in drawn if d.picture), default=0.0
    )
    shown = sum(not c.text.isspace() for c in chars)
    if not why and shown < 60 and covered > width * height * 0.5:
        why = either("整页是图，只有几个字", "a picture with a few characters")
    empty = not shown and not drawn and not rules
    if why and not empty:
        found.faults[number] = why
        pictures = sum(d.picture for d in drawn)
        found.pictured[number] = bool(pictures) or shown > 0 or len(drawn) >= MIN_PATHS
        found.drawn[number] = []  # the picture is the page, not a figure
    elif not empty:
        if turned >= MIN_TURNED:
            place = f"p. {number + 1}"
            found.losses.append(
                Loss(
                    TEXT,
                    place,
                    either(f"{turned} 个字符是竖着的", f"{turned} characters stand upright"),
                )
            )
        if unread := unread_objects(page):
            said = either(
                f"{unread} 处单个的字（也可能是空格）：文件里没有它们的字体，这台机器也没有；"
                "装上中文字体（如 fonts-noto-cjk）再读",
                f"{unread} single characters (or spaces): neither the file nor this machine has "
                "their font; install a Chinese one (fonts-noto-cjk, say) and read again",
            )
            found.losses.append(Loss(TEXT, f"p. {number + 1}", said))
        outlined = either("是画出来的（或是小图）", "drawn, not written (or a small drawing)")
        found.losses += [Loss(FORMULA, f"p. {number + 1}", outlined)] * outlined_formulas(
            drawn, chars
        )
        parts = tables_apart(segments(chars), rules)
        found.lines += page_lines(parts, number, margins)
    page.close()


def _drawings(page: Any) -> tuple[list[Rule], list[Drawn]]:
    """The rules and the pictures of a page; many paths near one another are one drawing."""
    from pypdfium2 import raw

    left, bottom, right, top = page.get_bbox()
    rules: list[Rule] = []
    drawn: list[Drawn] = []
    kinds = (raw.FPDF_PAGEOBJ_PATH, raw.FPDF_PAGEOBJ_IMAGE, raw.FPDF_PAGEOBJ_SHADING)
    for count, thing in enumerate(page.get_objects(filter=kinds)):
        if count >= MAX_OBJECTS:
            break
        x0, y0, x1, y1 = thing.get_bounds()
        place = (x0 - left, top - y1, x1 - left, top - y0)
        rule = Rule(*place)
        if thing.type == raw.FPDF_PAGEOBJ_PATH and (rule.across or rule.upright):
            rules.append(rule)
        elif thing.type == raw.FPDF_PAGEOBJ_PATH and x1 - x0 > 20 and y1 - y0 > 6:
            rules += _frame(rule)
        whole = (x1 - x0) * (y1 - y0) > (right - left) * (top - bottom) * 0.9
        if thing.type != raw.FPDF_PAGEOBJ_PATH or (not rule.across and not whole):
            drawn.append(Drawn(*place, thing.type == raw.FPDF_PAGEOBJ_IMAGE, _curves(thing)))
    return rules, drawn


def _curves(thing: Any) -> int:
    """Parts of a path that is filled and has no outline of its own; 0 for others."""
    from pypdfium2 import raw

    fill, stroke = ctypes.c_int(), ctypes.c_int()
    if thing.type != raw.FPDF_PAGEOBJ_PATH:
        return 0
    raw.FPDFPath_GetDrawMode(thing, fill, stroke)
    return raw.FPDFPath_CountSegments(thing) if fill.value and not stroke.value else 0


def _frame(box: Rule) -> list[Rule]:
    """The four sides of a rectangle."""
    return [
        Rule(box.left, box.top, box.right, box.top),
        Rule(box.left, box.bottom, box.right, box.bottom),
        Rule(box.left, box.top, box.left, box.bottom),
        Rule(box.right, box.top, box.right, box.bottom),
    ]


def _read_pictures(pdf: Any, found: _Pages, make: Callable[[], PageReader] | None) -> int:
    """Read the pages without usable text from their pictures; how many were read."""
    todo = sorted(found.faults)
    if not todo:
        return 0
    if make is None:
        found.losses += [Loss(PAGE, f"p. {n + 1}", found.faults[n]) for n in todo]
        return 0
    # Nothing is to be read where neither a picture nor the outlines of letters are.
    drawn = [n for n in todo if found.pictured.get(n, 0)]
    found.losses += [Loss(PAGE, f"p. {n + 1}", found.faults[n]) for n in todo if n not in drawn]
    if not drawn:
        return 0
    try:
        reader = make()
    except ModuleNotFoundError as error:
        why = missing_package(error)
        found.losses += [Loss(PAGE, f"p. {n + 1}", f"{found.faults[n]}; {why}") for n in drawn]
        return 0
    read = 0
    for position, number in enumerate(drawn):
        page = pdf[number]
        lines = reader.lines(page, number, len(drawn) - position)
        page.close()
        if lines:
            read += 1
            found.lines += lines
        else:
            found.losses.append(
                Loss(PAGE, f"p. {number + 1}", either("OCR 没有读到文字", "OCR found no text"))
            )
    found.lines.sort(key=lambda line: line.page)
    return read


def _without_contents(lines: list[Line]) -> list[Line]:
    """The lines without entries of a table of contents: those with leaders, and on a page of such
    those of chapters, which have a page number only."""
    leaders = Counter(line.page for line in lines if TOC_LEADER.search(line.text))

    def is_entry(line: Line) -> bool:
        numbered = leaders[line.page] >= _ENTRIES and re.search(r"\s\d{1,3}$", line.text)
        return bool(numbered or TOC_LEADER.search(line.text))

    return [line for line in lines if not is_entry(line)]


def _tables_lost(lines: list[Line]) -> list[Loss]:
    """Captions of tables on pages where no table was recognised."""
    with_table = {line.page for line in lines if line.block.startswith("| ")}
    found = []
    for line in lines:
        named = TABLE_CAPTION.match(line.text) if not line.mono else None
        # "表1 = FILTER('表2', …)" is a formula of a spreadsheet.
        alone = named and len(line.text) < 60 and not re.search("[，。；=]", line.text)
        if alone and not {line.page - 1, line.page, line.page + 1} & with_table:
            found.append(Loss(TABLE, f"{plain(line.text)[:40]} (p. {line.page + 1})"))
    return found
