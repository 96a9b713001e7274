"""Which lines are headings: bookmarks found in the print, else numbers and font sizes."""

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from rapidfuzz import fuzz

from data.pdf.lines import Line
from data.text import join_lines, normalise, tidy

SENTENCE_END = re.compile(r"[。！？；：:!?.;，,][”」』）)]?$")
_NUMBERING = re.compile(
    r"^\s*((?:第\s*[一二三四五六七八九十百零〇\d]{1,5}\s*[章节節篇部讲課课]|(?:chapter|part|appendix)\s+[\dIVXA-Z]+"
    r"|附录\s*[A-Z\d]?|[A-Z]?\d{1,2}(?:\.\d{1,2}){0,4}\.?(?=[\s\u3000]|[^\d.\w])|[A-Z](?:\.\d{1,2}){1,4}"
    r"|\d{1,2}(?:\.\d{1,2}){1,4}|[一二三四五六七八九十]{1,3}、)[.、:：]?)[\s\u3000]*",
    re.I,
)
_DEEP = re.compile(
    r"^[A-Z\d]{1,2}((?:\.\d{1,2}){1,4})\.?\s*\S|^第.{1,5}[章篇部讲]|^第.{1,5}[节節]|^[一二三四五六七八九十]{1,3}、"
)
_LABEL = re.compile(r"^\s*(表|图|圖|Table|Figure|Fig|注|[•◦▪●○■□–·-]|\d{1,2}[)）、]|[（(])", re.I)
_LONGEST = 70


@dataclass(frozen=True)
class Bookmark:
    """One entry of the outline; `page` from 0 and `top` in points, -1 where it does not say."""

    level: int
    title: str
    page: int = -1
    top: float = -1.0


@dataclass
class Headings:
    """`levels`: line index → level. `titles`: the text to print where it is not the line's own.

    `joined`: lines that only go on with the heading before them. `before`: headings without a
    line of their own (a logo, a picture), by the index of the line that follows.
    """

    levels: dict[int, int] = field(default_factory=dict)
    titles: dict[int, str] = field(default_factory=dict)
    joined: set[int] = field(default_factory=set)
    before: dict[int, list[tuple[int, str]]] = field(default_factory=dict)


def outline(pdf: Any) -> list[Bookmark]:
    """The bookmarks of a PDF in order."""
    found = []
    for mark in pdf.get_toc():
        title, page, top = tidy(mark.get_title()), -1, -1.0
        dest = mark.get_dest()
        index = dest.get_index() if dest is not None else None
        if index is not None and 0 <= index < len(pdf):
            page = index
            _, view = dest.get_view()
            heights = [v for v in view[1:2] if v]
            if heights:
                top = pdf.get_page_size(index)[1] - heights[0]
        if title:
            found.append(Bookmark(mark.level + 1, title, page, top))
    return found


def bare(title: str) -> str:
    """A title for comparing, without its number."""
    return normalise(_NUMBERING.sub("", title)) or normalise(title)


def find_headings(lines: Sequence[Line], marks: Sequence[Bookmark]) -> Headings:
    """The headings of a book."""
    found = Headings()
    body = _body_size(lines)
    if not marks:
        _by_size(lines, body, found)
        return found
    starts: dict[int, int] = {}
    for index, line in enumerate(lines):
        starts.setdefault(line.page, index)
    position = 0
    for mark in marks:
        first, last = _range(lines, starts, mark, position)
        place = _printed(lines, mark, first, last, body, found)
        if place is None:
            _insert(lines, mark, starts, found)
        else:
            position = place + 1
    _numbered(lines, body, found)
    return found


def _range(
    lines: Sequence[Line], starts: dict[int, int], mark: Bookmark, position: int
) -> tuple[int, int]:
    if mark.page < 0:
        return position, len(lines)
    first = min((i for page, i in starts.items() if page >= mark.page), default=len(lines))
    last = min((i for page, i in starts.items() if page > mark.page + 1), default=len(lines))
    return first, last


def _printed(
    lines: Sequence[Line], mark: Bookmark, first: int, last: int, body: float, found: Headings
) -> int | None:
    """The index of the line that prints a bookmark's title; marks it and what belongs to it."""
    wanted = bare(mark.title)
    best: tuple[float, int, int] | None = None
    for index in range(first, last):
        line = lines[index]
        if index in found.levels or index in found.joined or line.block or not line.text:
            continue
        text = line.text
        for count in (1, 2, 3):
            if count > 1:
                if index + count > last or lines[index + count - 1].page != line.page:
                    break
                text = join_lines(text, lines[index + count - 1].text)
            if len(text) > len(mark.title) + 30:
                break
            score = _likeness(text, wanted, line, mark, body)
            if score and (best is None or score > best[0]):
                best = (score, index, count)
    if best is None:
        return None
    _, index, count = best
    found.levels[index] = mark.level
    found.joined.update(range(index + 1, index + count))
    printed = lines[index].text
    for line in lines[index + 1 : index + count]:
        printed = join_lines(printed, line.text)
    found.titles[index] = _title(printed, mark.title, wanted)
    return index + count - 1


def _likeness(text: str, wanted: str, line: Line, mark: Bookmark, body: float) -> float:
    """How surely a line prints a title, 0 for not at all."""
    large = line.size > body * 1.05 or line.bold
    there = mark.page < 0 or line.page == mark.page
    near = mark.top >= 0 and there and -4 < line.base - mark.top < 60
    own = bare(text)
    # "3死锁" where the bookmark says "3 死锁": the number does not stand apart in the print.
    if own == wanted or normalise(text) in (wanted, normalise(mark.title)):
        # The words alone in running text are no heading, unless the outline points at them.
        return 3.0 + large + near + 0.5 * there
    if len(wanted) >= 2 and there and (large or near) and abs(len(own) - len(wanted)) < 8:
        ratio = fuzz.ratio(own, wanted) / 100
        if ratio > (0.7 if near and large else 0.85):
            return ratio + large + near
    return 0.0


def _title(printed: str, title: str, wanted: str) -> str:
    """The print where it says the same, else the bookmark's words behind the printed number."""
    if bare(printed) == wanted or normalise(printed) == wanted:
        return tidy(printed)
    number = _NUMBERING.match(printed)
    if number and not _NUMBERING.match(title):
        return tidy(f"{number.group(1)} {title}")
    return tidy(title)


def _insert(lines: Sequence[Line], mark: Bookmark, starts: dict[int, int], found: Headings) -> None:
    """A heading that no line prints goes where its bookmark points."""
    if mark.page < 0 or mark.page not in starts:
        return
    index = starts[mark.page]
    while index < len(lines) and lines[index].page == mark.page and lines[index].base < mark.top:
        index += 1
    found.before.setdefault(index, []).append((mark.level, mark.title))


def _numbered(lines: Sequence[Line], body: float, found: Headings) -> None:
    """Larger or bold numbered lines that the outline leaves out, at the level of their likes."""
    depths: dict[str, Counter[int]] = {}
    for index, level in found.levels.items():
        depths.setdefault(_depth(found.titles.get(index, "")), Counter())[level] += 1
    deepest = max(found.levels.values(), default=0)
    for index, line in enumerate(lines):
        if index in found.levels or index in found.joined or not _may_be_heading(line):
            continue
        depth = _depth(line.text)
        if depth and (line.size > body * 1.05 or line.bold):
            levels = depths.get(depth)
            found.levels[index] = levels.most_common(1)[0][0] if levels else deepest + 1


def _depth(title: str) -> str:
    """What kind of number a title has: "" for none."""
    match = _DEEP.match(title)
    if not match:
        return ""
    return (
        str(match.group(1).count("."))
        if match.group(1)
        else re.sub("[^章篇部讲节節、]", "", match.group())
    )


def _may_be_heading(line: Line) -> bool:
    if line.mono or line.note or line.block or line.math > 0.2:
        return False
    text = line.text.strip()
    # The cells of a row stand apart as words do; a title's characters may be set apart as well.
    if len(line.pieces) > 2 and max(line.pieces) > 2:
        return False
    return (
        1 < len(text) <= _LONGEST and not SENTENCE_END.search(text) and bool(re.search(r"\w", text))
    )


def _by_size(lines: Sequence[Line], body: float, found: Headings) -> None:
    sizes = Counter(line.size for line in lines if line.size > body * 1.1 and _may_be_heading(line))
    ranked = sorted(sizes, reverse=True)[:5]
    for index, line in enumerate(lines):
        if not _may_be_heading(line) or index in found.joined:
            continue
        if line.size in ranked:
            found.levels[index] = ranked.index(line.size) + 1
            _join_following(lines, index, found)
        elif line.bold and (_NUMBERING.match(line.text) or _stands_alone(lines, index)):
            found.levels[index] = len(ranked) + 1


def _stands_alone(lines: Sequence[Line], index: int) -> bool:
    """Is a bold line of the text's own size a title: short, text below it, a paragraph's end above?

    A line wholly bold in the middle of a paragraph is emphasis, a row of bold words a table's head.
    """
    line, below = lines[index], lines[index + 1] if index + 1 < len(lines) else None
    above = lines[index - 1] if index else None
    if len(line.text) > 30 or len(line.pieces) > 1 or _LABEL.match(line.text):
        return False
    if below is None or below.bold or below.mono or below.block or below.left > line.left + 60:
        return False
    if above is None or above.page != line.page or above.block or above.mono or above.bold:
        return True
    ended = bool(SENTENCE_END.search(above.text))
    return ended or line.base - above.base > 1.8 * line.size


def _join_following(lines: Sequence[Line], index: int, found: Headings) -> None:
    """A title of two lines: the second is set alike, close below, and has no number."""
    line, text = lines[index], lines[index].text
    for below in range(index + 1, min(index + 3, len(lines))):
        other = lines[below]
        close = other.page == line.page and 0 < other.base - lines[below - 1].base < line.size * 1.7
        if not close or other.size != line.size or _NUMBERING.match(other.text):
            break
        if not _may_be_heading(other):
            break
        text = join_lines(text, other.text)
        found.joined.add(below)
    found.titles[index] = tidy(text)


def _body_size(lines: Sequence[Line]) -> float:
    sizes: Counter[float] = Counter()
    for line in lines:
        if not line.mono and not line.note:
            sizes[line.size] += len(line.text)
    return sizes.most_common(1)[0][0] if sizes else 0.0
