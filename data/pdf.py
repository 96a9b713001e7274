"""PDF → Markdown with pdfplumber: outline and fonts give headings, code and paragraphs.

No converter of a permissive licence that was tried kept headings, paragraphs and the indentation
of code together, so the layout rules are here; characters, fonts and positions are the library's.
"""

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from data.text import join_lines, normalise, tidy

MIN_CHARS_PER_PAGE = 10  # on average; below this the pages are scanned
_MONO = re.compile(r"mono|courier|consol|menlo|typewriter|cmtt|inconsolata|code", re.I)
_BOLD = re.compile(r"bold|black|heavy|-bd", re.I)
_BULLET = re.compile(r"^[•◦▪‣●○■□–\uf0b7\uf0a7]\s*")
_NUMBER = re.compile(r"^(\d{1,2})[.)、]\s+(?=\S)")
_SENTENCE_END = re.compile(r"[。！？；：:!?.;][”」』）)]?$")
_TOC_LEADER = re.compile(r"(\.\s?){4,}\s*\d+$|…{2,}\s*\d+$|·{4,}\s*\d+$")


@dataclass
class Line:
    """One printed line: text, left and right edge, top (points), font size, style shares."""

    text: str
    page: int
    left: float
    right: float
    top: float
    size: float
    mono: bool
    bold: bool
    char_width: float


def pdf_to_markdown(path: Path) -> str:
    """Markdown of a PDF with a text layer.

    Raises ValueError for an encrypted file, a broken one, or pages without text.
    """
    lines, pages = _read_lines(path)
    if sum(len(line.text) for line in lines) < MIN_CHARS_PER_PAGE * max(pages, 1):
        raise ValueError(
            f"its {pages} pages hold no text (a scan?): run OCR on it first, e.g. "
            "`ocrmypdf -l chi_sim+eng in.pdf out.pdf`"
        )
    lines = _without_running_titles(lines, pages)
    lines = [line for line in lines if not _TOC_LEADER.search(line.text)]
    return "\n".join(_markdown(lines, _outline(path)))


def _open(path: Path) -> Any:
    import pdfplumber
    from pdfminer.pdfdocument import PDFPasswordIncorrect
    from pdfminer.pdfparser import PDFSyntaxError
    from pdfminer.psexceptions import PSException
    from pdfplumber.utils.exceptions import PdfminerException

    try:
        return pdfplumber.open(path)
    except (PdfminerException, PDFSyntaxError, PSException, PDFPasswordIncorrect) as error:
        if "PDFPasswordIncorrect" in repr(error) or "PDFEncryptionError" in repr(error):
            raise ValueError("it is encrypted: save a copy without the password") from error
        raise ValueError(f"it is not a readable PDF ({error!r})") from error


def _read_lines(path: Path) -> tuple[list[Line], int]:
    from pdfminer.pdfparser import PDFSyntaxError
    from pdfminer.psexceptions import PSException
    from pdfplumber.utils.exceptions import PdfminerException

    lines: list[Line] = []
    with _open(path) as pdf:
        try:
            for number, page in enumerate(pdf.pages):
                for row in page.extract_text_lines(return_chars=True):
                    lines.append(_line(row, number))
                page.close()  # frees the page's objects: memory stays flat over a long book
        except (PdfminerException, PDFSyntaxError, PSException) as error:
            raise ValueError(f"page {number + 1} cannot be read ({error!r})") from error
        _inline_code_lines(lines)
        return lines, len(pdf.pages)


def _inline_code_lines(lines: list[Line]) -> None:
    """Unmark lines that are only the middle of a sentence full of names in a code face."""
    right = max((line.right for line in lines if not line.mono), default=0.0)
    for above, line in zip(lines, lines[1:], strict=False):
        flowing = not above.mono and above.right > right * 0.6
        if line.mono and flowing and above.page == line.page and abs(above.left - line.left) < 3:
            near = line.top - above.top < above.size * 1.5
            line.mono = not (near and not _SENTENCE_END.search(above.text))


def _line(row: dict[str, Any], page: int) -> Line:
    chars = row["chars"]
    sizes = Counter(round(c["size"], 1) for c in chars)
    ascii_chars = [c for c in chars if c["text"].isascii()] or chars
    fixed = sum(bool(_MONO.search(c["fontname"])) for c in ascii_chars)
    others = len(chars) - len(ascii_chars) if ascii_chars is not chars else 0
    # Chinese has no fixed-width face: a code line may hold some in a comment or a string, while
    # names set in a code face inside a Chinese sentence do not make the line code.
    comment = re.match(r"\s*(//|#|/?\*|--|<!)", row["text"]) and fixed > 1
    mono = fixed > len(ascii_chars) * 0.8 and (fixed > others or bool(comment))
    bold = sum(bool(_BOLD.search(c["fontname"])) for c in chars) > len(chars) * 0.6
    width = sum(c["x1"] - c["x0"] for c in ascii_chars) / len(ascii_chars)
    size = sizes.most_common(1)[0][0]
    return Line(row["text"], page, row["x0"], row["x1"], row["top"], size, mono, bold, width)


def _outline(path: Path) -> list[tuple[int, str]]:
    """(level, title) of the PDF's bookmarks; empty when it has none."""
    from pdfminer.pdfdocument import PDFNoOutlines

    with _open(path) as pdf:
        try:
            return [(level, tidy(title)) for level, title, *_ in pdf.doc.get_outlines()]
        except PDFNoOutlines:
            return []


def _without_running_titles(lines: list[Line], pages: int) -> list[Line]:
    """Drop page headers, footers and page numbers: first or last lines that recur on pages."""
    edges: Counter[tuple[str, int]] = Counter()
    edge_lines: set[int] = set()
    by_page: dict[int, list[int]] = {}
    for index, line in enumerate(lines):
        by_page.setdefault(line.page, []).append(index)
    for indexes in by_page.values():
        for index in {*indexes[:2], *indexes[-2:]}:
            edges[_edge_key(lines[index])] += 1
            edge_lines.add(index)

    def runs(index: int) -> bool:
        if index not in edge_lines:
            return False
        text = lines[index].text.strip()
        if re.fullmatch(r"[-–—\s·第]*\d{1,4}[-–—\s·页]*|[ivxlc]{1,6}", text) and pages > 1:
            return index in (by_page[lines[index].page][0], by_page[lines[index].page][-1])
        same = edges[_edge_key(lines[index])]
        return not lines[index].mono and len(text) > 1 and same >= max(3, pages * 0.3)

    return [line for index, line in enumerate(lines) if not runs(index)]


def _edge_key(line: Line) -> tuple[str, int]:
    """Running titles say the same, numbers aside, at the same height of the page."""
    return re.sub(r"\d+", "#", re.sub(r"\s+", "", line.text)), round(line.top / 6)


def _heading_levels(lines: list[Line], outline: list[tuple[int, str]]) -> dict[int, int]:
    """Index of each heading line → level, from the outline, else from font sizes.

    A heading that is printed on two lines marks the first; `_markdown` joins the second.
    """
    found: dict[int, int] = {}
    if outline:
        position = 0
        for level, title in outline:
            wanted = normalise(title)
            for index in range(position, len(lines)):
                text = normalise(lines[index].text)
                if not text or lines[index].mono or not wanted.startswith(text):
                    continue
                if text == wanted:
                    found[index] = level
                    position = index + 1
                    break
                after = index + 1
                if after < len(lines) and text + normalise(lines[after].text) == wanted:
                    found[index] = found[after] = level
                    position = after + 1
                    break
        return found
    body = _body_size(lines)
    sizes = sorted({line.size for line in lines if line.size > body * 1.1}, reverse=True)[:5]
    for index, line in enumerate(lines):
        short = len(line.text) <= 60 and not _SENTENCE_END.search(line.text)
        if line.mono or not short:
            continue
        if line.size in sizes:
            found[index] = sizes.index(line.size) + 1
        elif line.bold and re.match(
            r"(\d+\.)+\d*\s|第.{1,4}[章节]|[一二三四五六七八九十]+、", line.text
        ):
            found[index] = len(sizes) + 1
    return found


def _body_size(lines: list[Line]) -> float:
    sizes: Counter[float] = Counter()
    for line in lines:
        if not line.mono:
            sizes[line.size] += len(line.text)
    return sizes.most_common(1)[0][0] if sizes else 0.0


def _markdown(lines: list[Line], outline: list[tuple[int, str]]) -> Iterator[str]:
    levels = _heading_levels(lines, outline)
    right = max((line.right for line in lines if not line.mono), default=0.0)
    code_right = max((line.right for line in lines if line.mono), default=0.0)
    pitch = _line_pitch(lines)
    index = 0
    while index < len(lines):
        line = lines[index]
        if index in levels:
            title = line.text
            if levels.get(index + 1) == levels[index] and _is_continued(title, outline):
                index += 1
                title = join_lines(title, lines[index].text)
            yield f"\n{'#' * min(levels[index], 6)} {tidy(title)}\n"
            index += 1
        elif line.mono:
            end = index
            while end < len(lines) and lines[end].mono and end not in levels:
                end += 1
            yield from _code(lines[index:end], code_right)
            index = end
        else:
            end = index + 1
            while end < len(lines) and end not in levels and not lines[end].mono:
                if _starts_paragraph(lines[end - 1], lines[end], right, pitch):
                    break
                end += 1
            yield _paragraph(lines[index:end])
            index = end


def _is_continued(title: str, outline: list[tuple[int, str]]) -> bool:
    """Is this line only the beginning of an outline title?"""
    text = normalise(title)
    return all(normalise(t) != text for _, t in outline)


def _line_pitch(lines: list[Line]) -> float:
    """The usual distance of neighbouring lines in a paragraph, in points."""
    gaps: Counter[float] = Counter()
    for above, below in zip(lines, lines[1:], strict=False):
        if above.page == below.page and not above.mono and not below.mono and below.top > above.top:
            gaps[round(below.top - above.top)] += 1
    return gaps.most_common(1)[0][0] if gaps else 14.0


def _starts_paragraph(above: Line, below: Line, right: float, pitch: float) -> bool:
    if _BULLET.match(below.text) or _NUMBER.match(below.text):
        return True
    short = above.right < right - 3 * above.size
    if above.page != below.page:
        return short or (bool(_SENTENCE_END.search(above.text)) and below.left > above.left + 10)
    if below.top - above.top > pitch * 1.3:
        return True
    # An indented first line begins a paragraph where books set no gap between paragraphs.
    indented = below.left > above.left + above.size * 1.5
    return (
        (short or indented)
        and bool(_SENTENCE_END.search(above.text))
        and (not _BULLET.match(above.text) or below.left < above.left + 2)
    )


def _paragraph(lines: list[Line]) -> str:
    text = ""
    for line in lines:
        text = join_lines(text, line.text) if text else line.text
    text = tidy(text)
    if bullet := _BULLET.match(text):
        return f"- {_escaped(text[bullet.end() :])}"
    if number := _NUMBER.match(text):
        return f"{number.group(1)}. {_escaped(text[number.end() :])}"
    return f"\n{_escaped(text)}\n"


def _escaped(text: str) -> str:
    """Printed characters that Markdown would take for markup."""
    text = re.sub(r"([\\`*\[\]<])", r"\\\1", text)
    return re.sub(r"^([#>+-]|\d+[.)])(?=\s)", r"\\\1", text)


def _code(lines: list[Line], right: float) -> Iterator[str]:
    """A fence with indentation and empty lines rebuilt from positions."""
    left = min(line.left for line in lines)
    width = min(line.char_width for line in lines) or 6.0
    pitch = min(
        (b.top - a.top for a, b in zip(lines, lines[1:], strict=False) if b.top > a.top),
        default=12.0,
    )
    rows: list[str] = []
    previous: Line | None = None
    for line in lines:
        if previous and previous.page == line.page and line.top - previous.top > pitch * 1.7:
            rows.append("")
        word = re.match(r"\S*", line.text)
        needed = (len(word.group()) + 1.5) * width if word else 0.0
        # The printer broke a long line where the next word did not fit: put it back together.
        if previous and line.left < left + 1 and previous.right + needed > right and rows[-1]:
            rows[-1] += " " + line.text.rstrip()
        else:
            rows.append(" " * round((line.left - left) / width) + line.text.rstrip())
        previous = line
    yield "\n".join(["\n```", *rows, "```\n"])
