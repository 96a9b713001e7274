"""Code that a book sets in the face of its text: known by its signs, where several agree."""

from collections.abc import Sequence
from itertools import pairwise

from data.code_lines import listing, possible
from data.pdf.lines import CODE_OFF, CODE_ON, Line


def mark_listings(lines: Sequence[Line]) -> None:
    """Mark lines as code that follow one another and read as code, whatever their face."""
    start = 0
    while start < len(lines):
        end = start
        while end < len(lines) and _possible(lines[end]) and _follows(lines, start, end):
            end += 1
        _mark(lines[start:end])
        start = max(end, start + 1)


def _follows(lines: Sequence[Line], start: int, index: int) -> bool:
    if index == start:
        return True
    above, below = lines[index - 1], lines[index]
    if above.page != below.page:
        return below.page == above.page + 1
    return above.column == below.column and below.base - above.base < 3.5 * above.size


def _possible(line: Line) -> bool:
    if line.mono or line.block or line.note or line.scripts or line.math >= 0.2:
        return False
    return possible(_text(line))


def _text(line: Line) -> str:
    return line.text.replace(CODE_ON, "").replace(CODE_OFF, "")


def _mark(run: Sequence[Line]) -> None:
    found = [run[index] for index in listing([_text(line) for line in run])]
    width = _indent(found) / 4 if found else 0.0
    for line in found:
        line.mono, line.char_width = True, width


def _indent(listing: Sequence[Line]) -> float:
    """Points of one level of indentation: the least step between left edges; usually 4 blanks."""
    size = max(line.size for line in listing)
    lefts = sorted({round(line.left) for line in listing})
    steps = [b - a for a, b in pairwise(lefts) if b - a > size * 0.4]
    return min(steps, default=size * 1.2)
