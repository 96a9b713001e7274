"""Tables of a page as Markdown: ruled ones, and those with a few horizontal rules only."""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from data.pdf.chars import Char
from data.pdf.lines import CODE_OFF, CODE_ON, Segment, line_of
from data.text import join_lines, tidy

CAPTION = re.compile(r"^\s*(?:表|表格|Table|Tab\.?)\s*[A-Z]?\d+(?:[.\-–]\d+)*", re.I)


@dataclass(frozen=True)
class Rule:
    """A drawn line: edges in points, y downwards."""

    left: float
    top: float
    right: float
    bottom: float

    @property
    def across(self) -> bool:
        """Is it a horizontal one?"""
        return self.bottom - self.top < 2.5 and self.right - self.left > 20

    @property
    def upright(self) -> bool:
        """Is it a vertical one?"""
        return self.right - self.left < 2.5 and self.bottom - self.top > 6


Region = tuple[float, float, float, float, list[float]]  # top, bottom, left, right, rules


def tables_apart(parts: Sequence[Segment], rules: Sequence[Rule]) -> list[Segment]:
    """The segments of a page, those of each table replaced by one that holds its Markdown."""
    found = _captioned(parts, rules)
    regions = [part for region in _regions(rules) for part in _bands(region, parts, rules)]
    for top, bottom, left, right, inner in regions:
        inside = [
            s
            for s in found
            if top - 1 < s.base - s.size * 0.3 < bottom + 1
            and left - 4 <= (s.left + s.right) / 2 <= right + 4
        ]
        table = _table(inside, inner, [r for r in rules if r.upright], (top, bottom))
        if not table:
            continue
        found = _replaced(found, inside, table, top)
    return sorted(found, key=lambda s: (s.base, s.left))


def _replaced(
    parts: Sequence[Segment], inside: Sequence[Segment], table: str, top: float
) -> list[Segment]:
    size = inside[0].size
    left, right = min(s.left for s in inside), max(s.right for s in inside)
    gone = {id(s) for s in inside}
    block = Segment([], top + size, size, left, right, block=table)
    return [s for s in parts if id(s) not in gone] + [block]


def _captioned(parts: Sequence[Segment], rules: Sequence[Rule]) -> list[Segment]:
    """Tables without any rule: rows of cells that share their edges, right below a caption."""
    found = list(parts)
    for caption in parts:
        text = "".join(c.text for c in caption.chars)
        if len(text) > 50 or not CAPTION.match(text) or re.search("[，。；]", text):
            continue
        rows: list[list[Segment]] = []
        base = caption.base
        for part in sorted((s for s in found if s.base > caption.base + 2), key=lambda s: s.base):
            if rows and part.base - base < part.size * 0.5:
                rows[-1].append(part)
                continue
            # One cell's second line stands alone, at the edge of a column other than the first.
            alone = len(rows) > 1 and len(rows[-1]) < 2
            if alone and not any(abs(rows[-1][0].left - s.left) < 3 for s in rows[0][1:]):
                break
            if part.base - base > part.size * 3.5 or len(rows) == 1 and len(rows[0]) < 2:
                break
            rows.append([part])
            base = part.base
        while rows and len(rows[-1]) < 2:
            rows.pop()
        inside = [s for row in rows for s in row]
        if sum(len(row) > 1 for row in rows) < 3 or any(s.block for s in inside):
            continue
        span = (min(s.base - s.size for s in inside), max(s.base for s in inside))
        if any(span[0] - 10 < r.top < span[1] + 10 for r in rules):
            continue  # ruled: read by its rules
        table = _table(inside, [], [], span)
        if table:
            found = _replaced(found, inside, table, span[0])
    return found


def _regions(rules: Sequence[Rule]) -> list[Region]:
    """(top, bottom, left, right, heights of the rules) of stacks of equally long rules."""
    across = sorted((r for r in rules if r.across), key=lambda r: r.top)
    rows: list[list[Rule]] = []  # pieces of one rule, drawn cell by cell
    for rule in across:
        if rows and abs(rule.top - rows[-1][0].top) < 2:
            rows[-1].append(rule)
        else:
            rows.append([rule])
    spans = [(min(r.left for r in row), max(r.right for r in row), row[0].top) for row in rows]
    found: list[list[tuple[float, float, float]]] = []
    for span in spans:
        for stack in reversed(found):
            last = stack[-1]
            if abs(last[0] - span[0]) < 6 and abs(last[1] - span[1]) < 6:
                stack.append(span)
                break
        else:
            found.append([span])
    return [
        (stack[0][2], stack[-1][2], stack[0][0], stack[0][1], [s[2] for s in stack])
        for stack in found
        if len(stack) >= 3
    ]


def _bands(region: Region, parts: Sequence[Segment], rules: Sequence[Rule]) -> list[Region]:
    """A stack of rules without the spaces between two of them that hold running text.

    The rule of a page's head and that of its foot are as long as a wide table's.
    """
    _, _, left, right, heights = region
    # A frame is drawn as its fill and its lines: two rules at one place are one.
    heights = [h for i, h in enumerate(heights) if not i or h - heights[i - 1] > 2.5]
    boxed = any(
        _walled(rules, above, below, left, right)
        for above, below in zip(heights, heights[1:], strict=False)
    )
    runs: list[list[float]] = [[heights[0]]]
    for above, below in zip(heights, heights[1:], strict=False):
        band = [
            s
            for s in parts
            if above < s.base - s.size * 0.3 < below and s.right > left and s.left < right
        ]
        walls = [r for r in rules if r.upright and r.top < below - 2 and r.bottom > above + 2]
        prose = any(
            s.left < left + 3 * s.size and s.right - s.left > (right - left) * 0.7 for s in band
        )
        # Of two boxes below one another the space between them is neither's.
        between = boxed and not _walled(rules, above, below, left, right)
        if not band and below - above > 40 or (prose and not walls) or between:
            runs.append([])
        runs[-1].append(below)
    return [(run[0], run[-1], left, right, run) for run in runs if len(run) >= 3]


def _walled(rules: Sequence[Rule], above: float, below: float, left: float, right: float) -> bool:
    """Do vertical rules close the space between two horizontal ones on both sides?"""
    high = [r for r in rules if r.upright and r.top < below - 2 and r.bottom > above + 2]
    return all(any(abs(r.left - side) < 6 for r in high) for side in (left, right))


def _table(
    inside: Sequence[Segment],
    heights: Sequence[float],
    upright: Sequence[Rule],
    span: tuple[float, float],
) -> str:
    """The Markdown of a region, "" where it is no table: code in a frame, a single column."""
    if len(inside) < 4:
        return ""
    chars = [c for s in inside for c in s.chars]
    if not chars or any(s.block for s in inside):
        return ""
    inside, edges = _columns(inside, upright, span)
    high = [r for r in upright if r.top < span[1] and r.bottom > span[0]]
    walls = any(inside[0].left < r.left for r in high)
    between = any(inside[0].left < r.left < max(s.right for s in inside) for r in high)
    if sum(c.mono for c in chars) > len(chars) * 0.7 and not between:
        return ""
    if len(edges) < 2:
        return ""
    rows = _rows(inside, heights, edges, walls)
    # Double lines between columns are no column.
    used = [any(row[column] for row in rows) for column in range(len(edges))]
    rows = [[cell for cell, keep in zip(row, used, strict=True) if keep] for row in rows]
    width = sum(used)
    filled = sum(bool(cell) for row in rows for cell in row)
    if len(rows) < 2 or width < 2 or filled < len(rows) * width * 0.4:
        return ""
    lines = ["| " + " | ".join(row) + " |" for row in rows]
    return "\n".join([lines[0], "|" + " --- |" * width, *lines[1:]])


def _columns(
    inside: Sequence[Segment], upright: Sequence[Rule], span: tuple[float, float]
) -> tuple[list[Segment], list[float]]:
    """The segments, those of two cells cut, and the left edges of the columns.

    Half an em between cells is believed where it makes a column of every row: words of prose and
    of code can stand so far apart.
    """
    edges = _column_edges(inside, upright, span)
    if any(abs(r.left - x) < 1 for r in upright for x in edges):
        if not _is_grid(inside, edges, upright, span):
            return list(inside), edges
        return [piece for s in inside for piece in _cut_at_walls(s, edges[1:])], edges
    pieces = [piece for s in inside for piece in _cut_at_gaps(s)]
    finer = _column_edges(pieces, upright, span)
    chars = [c for s in inside for c in s.chars]
    if len(finer) > len(edges) and sum(c.mono for c in chars) < len(chars) * 0.3:
        rows = _rows(_whole(pieces, finer), [], finer, False)
        if len(rows) >= 3 and all(sum(map(bool, row)) >= 2 for row in rows):
            return _whole(pieces, finer), finer
    return list(inside), edges


def _is_grid(
    inside: Sequence[Segment],
    edges: Sequence[float],
    upright: Sequence[Rule],
    span: tuple[float, float],
) -> bool:
    """Do rules close the region on both sides and reach through it? Frames of examples do not."""
    left, right = min(s.left for s in inside), max(s.right for s in inside)

    def height(low: float, high: float) -> float:
        own = [r for r in upright if low <= r.left <= high]
        return sum(max(0.0, min(r.bottom, span[1]) - max(r.top, span[0])) for r in own)

    whole = (span[1] - span[0]) * 0.8
    sides = height(left - 40, left + 1) >= whole and height(right - 1, right + 400) >= whole
    return sides and all(height(x - 1, x + 1) >= whole for x in edges[1:])


def _cut_at_gaps(part: Segment) -> list[Segment]:
    """A segment cut where half an em is free: cells can stand so near."""
    return _cut(part, lambda before, char: char.left - before.right > part.size * 0.45)


def _cut_at_walls(part: Segment, walls: Sequence[float]) -> list[Segment]:
    """A segment cut where a vertical rule passes between two of its characters."""
    inner = [x for x in walls if part.left < x < part.right]
    if not inner:
        return [part]
    return _cut(part, lambda a, b: any(a.right <= x + 1 and b.left >= x - 1 for x in inner))


def _cut(part: Segment, apart: Callable[[Char, Char], bool]) -> list[Segment]:
    pieces = [[part.chars[0]]]
    for before, char in zip(part.chars, part.chars[1:], strict=False):
        if apart(before, char):
            pieces.append([])
        pieces[-1].append(char)
    return [
        Segment(chars, part.base, part.size, chars[0].left, max(c.right for c in chars))
        for chars in pieces
    ]


def _whole(pieces: Sequence[Segment], edges: Sequence[float]) -> list[Segment]:
    """Pieces of one line and column together again, so that their words keep their spaces."""
    found: list[Segment] = []
    for piece in sorted(pieces, key=lambda s: (round(s.base), s.left)):
        last = found[-1] if found else None
        if (
            last
            and abs(last.base - piece.base) < 1
            and _column(last, edges) == _column(piece, edges)
        ):
            chars = [*last.chars, *piece.chars]
            found[-1] = Segment(chars, last.base, last.size, last.left, piece.right)
        else:
            found.append(piece)
    return found


def _column(part: Segment, edges: Sequence[float]) -> int:
    return max(i for i, x in enumerate(edges) if i == 0 or part.left >= x - 2)


def _column_edges(
    inside: Sequence[Segment], upright: Sequence[Rule], span: tuple[float, float]
) -> list[float]:
    """The left edges of the columns: from vertical rules, else from gaps through all rows."""
    left, right = min(s.left for s in inside), max(s.right for s in inside)
    own = sorted(
        r.left for r in upright if r.top < span[1] and r.bottom > span[0] and left < r.left < right
    )
    inner = [x for i, x in enumerate(own) if i == 0 or x - own[i - 1] > 4]
    if inner:
        return [left, *inner]
    covered = sorted((s.left, s.right) for s in inside)
    edges, reach = [covered[0][0]], covered[0][1]
    for start, end in covered[1:]:
        if start > reach + 3:
            edges.append(start)
        reach = max(reach, end)
    return edges


def _rows(
    inside: Sequence[Segment], heights: Sequence[float], edges: Sequence[float], ruled: bool
) -> list[list[str]]:
    """The cells' text, row by row; lines of one cell are joined."""
    baselines: list[list[Segment]] = []
    for part in sorted(inside, key=lambda s: s.base):
        if baselines and part.base - baselines[-1][0].base < part.size * 0.5:
            baselines[-1].append(part)
        else:
            baselines.append([part])
    bands: dict[int, list[list[str]]] = {}
    for line in baselines:
        own = sum(line[0].base - line[0].size * 0.3 > h for h in heights)
        cells = [""] * len(edges)
        for part in sorted(line, key=lambda s: s.left):
            column = _column(part, edges)
            cells[column] = join_lines(cells[column], _cell(part))
        bands.setdefault(own, []).append(cells)
    rows: list[list[str]] = []
    for lines in bands.values():
        # In a grid what stands between two rules is one row, unless each line fills its cells;
        # without a grid a row begins where the first column has something.
        apart = all(cells[0] and sum(map(bool, cells)) > 1 for cells in lines)
        for number, cells in enumerate(lines):
            goes_on = number > 0 and (not cells[0] if apart or not ruled else True)
            if goes_on:
                rows[-1] = [join_lines(a, b) for a, b in zip(rows[-1], cells, strict=True)]
            else:
                rows.append(cells)
    return rows


def _cell(part: Segment) -> str:
    text = line_of([part], 0).text
    text = re.sub(f"{CODE_ON}(.*?){CODE_OFF}", r"`\1`", text)
    return tidy(text).replace("|", "\\|")
