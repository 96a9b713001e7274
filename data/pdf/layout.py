"""Segments → lines in the order of reading: columns one after the other, margin notes apart."""

import re
from collections import Counter
from collections.abc import Sequence
from statistics import median

from data.pdf.lines import Line, Segment, line_of

_FORMULA_NUMBER = re.compile(r"[（(][A-Z]?\d+([.\-–]\d+)*[a-z]?[)）]")
_LINES = 4  # a column has at least so many
_COLUMN = 0.27  # of the text's width: less is a margin
_NOTE_WIDTH = 0.4  # of the text's width: more is a column, not a margin


def page_lines(parts: Sequence[Segment], page: int, margins: "Margins") -> list[Line]:
    """The lines of a page in reading order, notes in the margin before the others."""
    groups = _columns(list(parts))
    notes: list[Segment] = []
    if len(groups) == 1:
        main, notes = margins.apart(parts, page)
        groups = [main]
    found: list[Line] = []
    for row in _joined(notes):
        line = line_of(row, page)
        line.note = True
        found.append(line)
    for column, group in enumerate(groups):
        for row in _joined(group):
            line = line_of(row, page)
            line.column = column
            found.append(line)
    return found


def _joined(parts: Sequence[Segment]) -> list[list[Segment]]:
    """Segments of one baseline together, from above to below."""
    rows: list[list[Segment]] = []
    for part in sorted(parts, key=lambda s: s.base):
        if rows and part.base - rows[-1][0].base < min(part.size, rows[-1][0].size) * 0.3:
            rows[-1].append(part)
        else:
            rows.append([part])
    return rows


def _columns(parts: list[Segment]) -> list[list[Segment]]:
    """Groups of segments to read one after the other.

    Where the page has a gutter, what crosses it cuts the page into bands; in each band the left
    side comes first. Each side may have a gutter of its own.
    """
    gutter = _gutter(parts)
    if gutter is None:
        bands = _bands(parts)
        return [parts] if len(bands) < 2 else [group for band in bands for group in _columns(band)]
    crossing = sorted((s for s in parts if s.left < gutter < s.right), key=lambda s: s.base)
    sides = [s for s in parts if not s.left < gutter < s.right]
    groups: list[list[Segment]] = []
    for stop in [*crossing, None]:
        below = [s for s in sides if stop is not None and s.base > stop.base]
        band = [s for s in sides if stop is None or s.base <= stop.base]
        for half in (
            [s for s in band if s.right <= gutter],
            [s for s in band if s.left >= gutter],
        ):
            if half:
                groups += _columns(half)
        if stop is not None:
            beside = [s for s in below if abs(s.base - stop.base) < stop.size * 0.3]
            groups.append([stop, *beside])
            below = [s for s in below if s not in beside]
        sides = below
    # Full-width lines that follow one another are one group.
    merged: list[list[Segment]] = []
    for group in groups:
        whole = any(s.left < gutter < s.right for s in group)
        if merged and whole and any(s.left < gutter < s.right for s in merged[-1]):
            merged[-1] += group
        else:
            merged.append(group)
    return merged


def _bands(parts: Sequence[Segment]) -> list[list[Segment]]:
    """A page cut across where its columns change: two above a table, three below it. One band
    where no part of it has columns."""
    found: list[list[Segment]] = []
    reach = 0.0
    for part in sorted(parts, key=lambda s: s.base - s.size):
        if not found or part.base - part.size > reach + part.size * 0.4:
            found.append([])
        found[-1].append(part)
        reach = max(reach, part.base + part.size * 0.2)
    if not any(_gutter(band) is not None for band in found):
        return [list(parts)]
    # Gaps of paragraphs cut as well: what shares its columns is one band again. A band on one side
    # of the gutter only, such as a table, belongs to it where the columns go on below.
    merged, held = [found[0]], []
    for band in found[1:]:
        together = [s for part in (merged[-1], *held, band) for s in part]
        gutter = _gutter(together)
        columned = _gutter(merged[-1]) is not None or _gutter(band) is not None
        if columned and gutter is not None:
            sides = {s.right <= gutter for s in band}
            held.append(band)
            if len(sides) > 1:
                merged[-1], held = together, []
        elif not columned and not held:
            merged[-1] = together
        else:
            merged += [*held, band]
            held = []
    return merged + held


def _gutter(parts: Sequence[Segment]) -> float | None:
    """Where a page of several columns is empty from above to below; None for one column."""
    if len(parts) < 2 * _LINES:
        return None
    left, right = min(s.left for s in parts), max(s.right for s in parts)
    height = [0] * (int(right - left) + 2)
    for part in parts:
        for x in range(int(part.left - left), int(part.right - left) + 1):
            height[x] += 1
    limit = len(parts) * 0.12
    best: tuple[float, float] | None = None
    start = None
    for x, count in enumerate(height):
        if count <= limit and start is None:
            start = x
        elif count > limit and start is not None:
            # The emptiest point of a thin stretch: full-width lines may cross all of it.
            low = min(height[start:x])
            free = [n for n in range(start, x) if height[n] == low]
            middle = left + (free[0] + free[-1]) / 2 + 0.5
            wide = len(free) >= 5 and (best is None or len(free) > best[0])
            if start > 0 and wide and _are_columns(parts, middle):
                best = (len(free), middle)
            start = None
    return best[1] if best else None


def _are_columns(parts: Sequence[Segment], x: float) -> bool:
    """Do lines that fill their half stand on both sides? Cells of a table do not."""
    halves = [s for s in parts if s.right <= x], [s for s in parts if s.left >= x]
    rows = [_joined(half) for half in halves]
    if min(len(r) for r in rows) < _LINES:
        return False
    top = max(min(s.base for s in half) for half in halves)
    bottom = min(max(s.base for s in half) for half in halves)
    if bottom - top < 2 * _LINES * parts[0].size * 0.6:
        return False
    filled = []
    body = median(s.size for s in parts)  # a column may begin with a large heading
    total = max(s.right for s in parts) - min(s.left for s in parts)
    for half, lines in zip(halves, rows, strict=True):
        edge = min(s.left for s in half), max(s.right for s in half)
        width = edge[1] - edge[0]
        if _gutter(half) is not None:  # columns themselves: their lines need not share baselines
            filled.append(1.0)
            continue
        # Columns of numbers and names are narrow: a column of prose holds ten characters.
        if width < max(10 * body, total * _COLUMN):
            return False
        spans = [max(s.right for s in r) - min(s.left for s in r) for r in lines]
        chars = [sum(s.right - s.left for s in r) for r in lines]
        prose = [
            sum(c.mono for s in r for c in s.chars) * 2 < sum(len(s.chars) for s in r)
            for r in lines
        ]
        full = sum(
            span > width * 0.75 and inked > span * 0.8 and said
            for span, inked, said in zip(spans, chars, prose, strict=True)
        )
        # A listing in a column says nothing about it, where enough prose does.
        counted = sum(prose) if sum(prose) >= _LINES else len(lines)
        filled.append(full / counted)
    return min(filled) >= 0.4


class Margins:
    """Tells notes in the margin from the main text, by the edges that long lines share.

    Even and odd pages may have their margin on different sides.
    """

    def __init__(self) -> None:
        self._edges: dict[int, tuple[float, float]] = {}

    def apart(self, parts: Sequence[Segment], page: int) -> tuple[list[Segment], list[Segment]]:
        """The segments of the main text, and those of notes."""
        if sum("....." in "".join(c.text for c in s.chars[-12:]) for s in parts) >= 5:
            return list(parts), []  # contents: the numbers on their left are no notes
        wide = [s for s in parts if s.right - s.left > 15 * s.size and not s.block]
        if len(wide) >= 6:
            left = Counter(round(s.left) for s in wide).most_common(1)[0][0]
            right = Counter(round(s.right) for s in wide).most_common(1)[0][0]
            if right > left:
                self._edges[page % 2] = (left, right)
        if page % 2 not in self._edges:
            return list(parts), []
        left, right = self._edges[page % 2]

        def in_margin(part: Segment) -> bool:
            text = "".join(c.text for c in part.chars)
            if len(text) < 4 or _FORMULA_NUMBER.fullmatch(text) or part.chars[0].mono:
                return False  # a list's bullet or number, a formula's number, code
            beyond = part.left > right + part.size * 0.4 or part.right < left - part.size * 0.4
            return beyond and part.right - part.left < (right - left) * _NOTE_WIDTH

        notes = [s for s in parts if in_margin(s)]
        # Half of the page in the "margin" is a column that has a wider neighbour.
        if len(notes) > len(parts) * 0.5:
            return list(parts), []
        return [s for s in parts if not in_margin(s)], notes
