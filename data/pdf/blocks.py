"""Lines of a whole book → Markdown: headings, paragraphs, lists, code, notes, ready blocks."""

import re
from collections import Counter
from collections.abc import Iterator, Sequence

from data.pdf.headings import Headings
from data.pdf.lines import CODE_OFF, CODE_ON, Line
from data.text import fenced, join_lines, tidy

_BULLET = re.compile(r"^[•◦▪‣●○■□–·∙⁃\uf0b7\uf0a7]\s*")
_NUMBER = re.compile(r"^(\d{1,2})[.)、]\s+(?=\S)")
_LINE_NUMBER = re.compile(r"\s*(\d{1,4})(?=\s|$)")
_COMMENTED = re.compile(r"\s*(#(?!include)|//|%|--)")  # what follows is no part of a comment
_SENTENCE_END = re.compile(r"[。！？；：:!?.;][”」』）)]?$")
TOC_LEADER = re.compile(r"((\.|…|·)\s?){4,}\s*[\divxlc]+$|…{2,}\s*\d+$|(\.\s?){6,}$", re.I)


def to_markdown(lines: Sequence[Line], headings: Headings) -> tuple[str, list[tuple[int, int]]]:
    """Markdown, and where pages begin in it: (character, page from 1). What goes on over several
    pages counts to its first."""
    text: list[str] = []
    starts: list[tuple[int, int]] = []
    length = 0
    for page, piece in _pieces(lines, headings):
        if not starts or starts[-1][1] < page + 1:
            starts.append((length, page + 1))
        text.append(piece)
        length += len(piece) + 1
    return "\n".join(text), starts


def _pieces(lines: Sequence[Line], headings: Headings) -> Iterator[tuple[int, str]]:
    """Pieces of Markdown, to be joined by line ends, each with the page that it begins on."""
    notes = [line for line in lines if line.note]
    levels = headings.levels
    body = [index for index, line in enumerate(lines) if not line.note]
    rights = _right_edges(lines)
    # A line of code is broken where the page ends, not where the longest of a few short ones does.
    page_right = max((line.right for line in lines if not line.mono), default=0.0)
    code_right = max((line.right for line in lines if line.mono), default=0.0)
    code_right = max(code_right, page_right * 0.85)
    columned = {line.page for line in lines if line.column}
    pitch = _line_pitch(lines)
    pages: dict[int, list[Line]] = {}
    for line in lines:
        pages.setdefault(line.page, []).append(line)
    # A foreword may be set wider than the book.
    pitches = {page: max(pitch, _line_pitch(own)) for page, own in pages.items()}
    position = 0
    while position < len(body):
        index = body[position]
        line = lines[index]
        for level, title in headings.before.get(index, ()):
            yield line.page, f"\n{'#' * min(level, 6)} {plain(title)}\n"
        end = position + 1
        if index in levels:
            while end < len(body) and body[end] in headings.joined:
                end += 1
            title = plain(headings.titles.get(index, line.text))
            yield line.page, f"\n{'#' * min(levels[index], 6)} {title}\n"
        elif line.block:
            yield line.page, f"\n{line.block}\n"
        elif line.mono:
            while end < len(body) and lines[body[end]].mono and not _stops(body[end], headings):
                end += 1
            edge = min(code_right, rights[line.page, line.column])
            code = _code(
                [lines[i] for i in body[position:end]],
                edge if line.page in columned else code_right,
            )
            yield from ((line.page, piece) for piece in code)
        else:
            while end < len(body):
                index, below = body[end - 1], lines[body[end]]
                if _stops(body[end], headings) or below.mono:
                    break
                if below.block:
                    # A formula goes on with the sentence that leads to it.
                    if not _is_formula(below) or _SENTENCE_END.search(
                        lines[index].text.rstrip("：:")
                    ):
                        break
                    end += 1
                    if end < len(body) and not _continues(below, lines[body[end]]):
                        break
                    continue
                above = lines[index]
                edge = rights[above.page, above.column]
                full = above.right > edge - 3 * above.size
                room = pitches[above.page] if full else pitch
                if not above.block and _starts_paragraph(above, below, edge, room):
                    break
                end += 1
            yield line.page, _paragraph([lines[i] for i in body[position:end]])
        last = lines[body[end - 1]]
        while notes and (notes[0].page, notes[0].base) <= (last.page, last.base + 1):
            yield from ((last.page, piece) for piece in _note(notes))
        position = end
    end = lines[-1].page if lines else 0
    while notes:
        yield from ((end, piece) for piece in _note(notes))
    for level, title in headings.before.get(len(lines), ()):
        yield end, f"\n{'#' * min(level, 6)} {plain(title)}\n"


def plain(text: str) -> str:
    """A heading's text: no code marks."""
    return tidy(text.replace(CODE_ON, "").replace(CODE_OFF, ""))


def _stops(index: int, headings: Headings) -> bool:
    return index in headings.levels or index in headings.before


def _is_formula(line: Line) -> bool:
    return line.block.startswith(("$", "[公式"))


def _continues(formula: Line, below: Line) -> bool:
    """Does the line below a formula go on with its sentence?"""
    if below.block:
        return _is_formula(below) and not re.search(r"[。.]$", formula.block)
    return bool(re.match(r"\s*([，,。；;]|其中|这里|where\b|with\b|[a-z]{2,} )", below.text))


def _right_edges(lines: Sequence[Line]) -> dict[tuple[int, int], float]:
    """The right edge of the text by page and column: of the book where it has one column."""
    whole: dict[tuple[int, int], float] = {}
    single = Counter(round(x.right) for x in lines if not (x.mono or x.note or x.column or x.block))
    common = [edge for edge, count in single.items() if count >= max(2, len(lines) * 0.01)]
    edge = float(max(common, default=max(single, default=0)))
    columns = {line.page for line in lines if line.column}
    for line in lines:
        key = (line.page, line.column)
        if line.page in columns:
            own = line.right if not (line.mono or line.note) else 0.0
            whole[key] = max(whole.get(key, 0.0), own)
        else:
            whole[key] = edge
    return whole


def _line_pitch(lines: Sequence[Line]) -> float:
    """The usual distance of neighbouring baselines in a paragraph, in points."""
    gaps: Counter[float] = Counter()
    for above, below in zip(lines, lines[1:], strict=False):
        same = above.page == below.page and not above.mono and not below.mono
        if same and below.base > above.base:
            gaps[round(below.base - above.base)] += 1
    return gaps.most_common(1)[0][0] if gaps else 14.0


def _starts_paragraph(above: Line, below: Line, right: float, pitch: float) -> bool:
    if _BULLET.match(below.text) or _NUMBER.match(below.text):
        return True
    if re.search(r"[,;:]$", above.text) and re.match(r"[a-z]", below.text):
        return below.base - above.base > pitch * 2
    if _SENTENCE_END.search(above.text) and re.match(r"(表|图)\s*\d", below.text):
        return True
    short = above.right < right - 3 * above.size
    if short and above.bold and not below.bold and above.right < below.right - 3 * above.size:
        return True
    if above.page != below.page or above.column != below.column:
        return short or (bool(_SENTENCE_END.search(above.text)) and below.left > above.left + 10)
    if below.base - above.base > pitch * 1.3:
        return True
    # An indented first line begins a paragraph where books set no gap between paragraphs.
    indented = below.left > above.left + above.size * 1.5
    return (
        (short or indented)
        and bool(_SENTENCE_END.search(above.text))
        and (not _BULLET.match(above.text) or below.left < above.left + 2)
    )


def _note(notes: list[Line]) -> Iterator[str]:
    """The first note of the list and the lines that belong to it, as a quotation."""
    taken = [notes.pop(0)]
    while notes and notes[0].page == taken[-1].page:
        if notes[0].base - taken[-1].base > taken[-1].size * 1.8:
            break
        taken.append(notes.pop(0))
    text = ""
    for line in taken:
        text = join_lines(text, line.text) if text else line.text
    yield f"\n> {_escaped(tidy(text))}\n"


def _paragraph(lines: Sequence[Line]) -> str:
    text, blocks = "", []
    for line in lines:
        if line.block:
            # A private character keeps the place: formulas are not escaped.
            blocks.append(line.block)
            text = f"{text} \ue012"
        else:
            text = join_lines(text, line.text) if text else line.text
    text = tidy(text)
    if bullet := _BULLET.match(text):
        marked = f"- {_escaped(text[bullet.end() :])}"
    elif number := _NUMBER.match(text):
        marked = f"{number.group(1)}. {_escaped(text[number.end() :])}"
    else:
        marked = f"\n{_escaped(text)}\n"
    for block in blocks:
        marked = marked.replace("\ue012", block, 1)
    return marked


def _escaped(text: str) -> str:
    """Printed characters that Markdown would take for markup; code words get their marks."""
    text = re.sub(f"{CODE_OFF}( ?){CODE_ON}", r"\1", text)
    parts = re.split(f"{CODE_ON}(.*?){CODE_OFF}", text)
    out = []
    for number, part in enumerate(parts):
        if number % 2 and part.strip():
            ticks = "``" if "`" in part else "`"
            out.append(f"{ticks}{part}{ticks}")
        else:
            out.append(re.sub(r"([\\`*\[\]<$])", r"\\\1", part))
    text = "".join(out).replace(CODE_ON, "").replace(CODE_OFF, "")
    return re.sub(r"^([#>+-]|\d+[.)])(?=\s)", r"\\\1", text)


def _code(lines: Sequence[Line], right: float) -> Iterator[str]:
    """A fence with indentation and empty lines rebuilt from positions."""
    left = min(line.left for line in lines)
    width = min(line.char_width for line in lines) or 6.0
    pitch = min(
        (b.base - a.base for a, b in zip(lines, lines[1:], strict=False) if b.base > a.base + 2),
        default=12.0,
    )
    rows: list[str] = []
    previous: Line | None = None
    for line in lines:
        text = line.text.replace(CODE_ON, "").replace(CODE_OFF, "").rstrip()
        if previous and previous.page == line.page and line.base - previous.base > pitch * 1.7:
            rows.append("")
        word = re.match(r"\S*", text)
        needed = (len(word.group()) + 1.5) * width if word else 0.0
        # The printer broke a long line where the next word did not fit: put it back together.
        full = previous and line.left < left + 1 and previous.right + needed > right and rows[-1]
        if full and not _COMMENTED.match(rows[-1]):
            rows[-1] += " " + text
        else:
            rows.append(" " * round((line.left - left) / width) + text)
        previous = line
    yield f"\n{fenced(chr(10).join(_unnumbered(rows)))}\n"


def _unnumbered(rows: list[str]) -> list[str]:
    """A listing without the line numbers printed beside it: 1, 2, 3 … on every line."""
    marks = [_LINE_NUMBER.match(row) for row in rows if row.strip()]
    numbers = [int(mark.group(1)) for mark in marks if mark]
    counted = [numbers[0] + place for place in range(len(numbers))] if numbers else []
    if len(numbers) < 3 or len(numbers) < len(marks) or numbers != counted:
        return rows
    texts = [row[mark.end(1) :] if (mark := _LINE_NUMBER.match(row)) else "" for row in rows]
    room = min((len(t) - len(t.lstrip()) for t in texts if t.strip()), default=0)
    return [text[room:] for text in texts]
