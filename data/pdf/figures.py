"""Figures of a page: the caption becomes a record, labels of a drawing leave the text."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

from data.losses import FIGURE, Loss
from data.pdf.chars import Char
from data.pdf.lines import Line
from data.text import join_lines, tidy

CAPTION = re.compile(
    r"^\s*((?:图|圖|插图|Figure|Fig\.?)\s*[A-Z]?\d+(?:[.\-–]\d+)*[a-z]?)[\s:：.、]*(?=\S|$)", re.I
)
_SENTENCE_END = re.compile(r"[。！？；]$")
LARGE = 0.04  # of the page: smaller pictures are ornaments and icons


@dataclass(frozen=True)
class Drawn:
    """A picture or a drawn path: edges in points, y downwards. `curves`: of a shape that is filled
    without an outline, as letters are, the number of its parts."""

    left: float
    top: float
    right: float
    bottom: float
    picture: bool
    curves: int = 0


def figures_apart(
    lines: Sequence[Line], drawn: dict[int, list[Drawn]], sizes: dict[int, tuple[float, float]]
) -> tuple[list[Line], list[Loss]]:
    """Caption lines become image lines; labels inside the drawing above a caption go.

    Also returned: large pictures on pages without a caption. Those with one are counted where
    sections are read, as in every format.
    `drawn` and `sizes`: pictures and drawings, and width and height, by page.
    """
    out: list[Line] = []
    losses: list[Loss] = []
    captioned: set[int] = set()
    index = 0
    while index < len(lines):
        line = lines[index]
        if not _is_caption(lines, index):
            out.append(line)
            index += 1
            continue
        end = index + 1
        while end < len(lines) and _goes_on(line, lines[end - 1], lines[end]):
            end += 1
        text = ""
        for each in lines[index:end]:
            text = join_lines(text, each.text) if text else each.text
        text = tidy(text)
        _drop_labels(out, line, drawn.get(line.page, []))
        shown = re.sub(r"[\[\]]", "", text)
        out.append(replace(line, text="", block=f"![{shown}](#page={line.page + 1})"))
        captioned.add(line.page)
        index = end
    for page, parts in drawn.items():
        width, height = sizes[page]
        large = [
            p
            for p in parts
            if p.picture and (p.right - p.left) * (p.bottom - p.top) > width * height * LARGE
        ]
        if large and page not in captioned:
            losses += [Loss(FIGURE, f"p. {page + 1}")] * len(large)
    return out, losses


def outlined_formulas(drawn: Sequence[Drawn], chars: Sequence[Char]) -> int:
    """How many formulas of a page are drawn as outlines of letters, as browsers and Typora do.

    Small paths beside one another, no part of a larger drawing, with no text on them: several, or
    some right behind a word.
    """
    small = [d for d in drawn if _is_letter(d)]
    large = [d for d in drawn if not d.picture and not _is_letter(d) and d.bottom - d.top < 400]
    found = 0
    for box in _clusters(small):
        amid = any(_touch(box, other, 3.0) for other in large)
        written = any(box.left < (c.left + c.right) / 2 < box.right for c in _level(box, chars))
        if amid or written or not box.curves:
            continue
        behind = any(0 <= box.left - c.right < c.size * 1.5 for c in _level(box, chars))
        found += behind or box.parts > 2
    return found


_ROOM = 12.0  # points between letters of one formula


@dataclass(frozen=True)
class _Cluster(Drawn):
    parts: int = 1


def _is_letter(drawn: Drawn) -> bool:
    high, wide = drawn.bottom - drawn.top, drawn.right - drawn.left
    return drawn.curves > 0 and high < 40 and wide < 40


def _level(box: Drawn, chars: Sequence[Char]) -> list[Char]:
    """Characters whose line a box stands on."""
    return [c for c in chars if box.top < c.base + c.size * 0.3 and c.base - c.size < box.bottom]


def _touch(one: Drawn, other: Drawn, room: float) -> bool:
    """Do boxes touch, with so much room between them, and a third of it from above to below?"""
    across = one.left - room < other.right and other.left - room < one.right
    return across and one.top - room / 3 < other.bottom and other.top - room / 3 < one.bottom


def _clusters(parts: Sequence[Drawn]) -> list[_Cluster]:
    """Boxes around the parts that stand beside one another."""
    boxes: list[_Cluster] = []
    done: list[_Cluster] = []  # those that lie left of all that is to come
    for part in sorted(parts, key=lambda d: (d.left, d.top)):
        # A dot or a bar is drawn with fewer.
        curves = part.curves if part.curves > 5 and part.bottom - part.top > 4 else 0
        box = _Cluster(part.left, part.top, part.right, part.bottom, False, curves)
        done += [each for each in boxes if each.right <= box.left - _ROOM]
        boxes = [each for each in boxes if each.right > box.left - _ROOM]
        near = [each for each in boxes if _touch(box, each, _ROOM)]
        for each in near:
            boxes.remove(each)
            box = _Cluster(
                min(box.left, each.left),
                min(box.top, each.top),
                max(box.right, each.right),
                max(box.bottom, each.bottom),
                False,
                box.curves + each.curves,
                box.parts + each.parts,
            )
        boxes.append(box)
    return done + boxes


def _is_caption(lines: Sequence[Line], index: int) -> bool:
    line = lines[index]
    match = CAPTION.match(line.text)
    if not match or line.mono or line.note:
        return False
    rest = line.text[match.end() :]
    # "图 3 给出了…" goes on as a sentence: a caption stands apart from the lines around it.
    if re.match(
        r"(给出|展示|显示|所示|中|是|为|说明|表示|描述|列出|和|与|、|，|的|shows|is|gives|illustrates)",
        rest,
    ):
        return False
    above = lines[index - 1] if index else None
    apart = (
        above is None
        or above.page != line.page
        or line.base - above.base > line.size * 1.9
        or above.size != line.size
        or line.left > above.left + line.size * 2
    )
    return apart and not _SENTENCE_END.search(rest[:-1])


def _goes_on(caption: Line, above: Line, below: Line) -> bool:
    near = 0 < below.base - above.base < caption.size * 1.7
    alike = below.size == caption.size and not below.block and below.page == caption.page
    full = above.right - above.left > 20 * caption.size
    return near and alike and full and not below.mono and not CAPTION.match(below.text)


def _drop_labels(out: list[Line], caption: Line, drawn: Sequence[Drawn]) -> None:
    """Take the short lines that stand inside the drawing above a caption off the text."""
    above = [
        d
        for d in drawn
        if d.top < caption.base
        and d.bottom > caption.base - caption.size * 6
        or d.bottom < caption.base
    ]
    if not above:
        return
    while out:
        line = out[-1]
        inside = any(
            d.left - 30 <= (line.left + line.right) / 2 <= d.right + 30
            and d.top - line.size * 2 <= line.base <= d.bottom + line.size * 2
            for d in above
        )
        short = len(line.text) <= 40 and not _SENTENCE_END.search(line.text)
        same = line.page == caption.page and not line.block and not line.mono
        if not (inside and short and same):
            return
        out.pop()
