"""Characters → printed lines: words apart, scripts on their base, code words marked."""

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from statistics import median

from data.code_lines import QUOTED
from data.pdf.chars import Char
from data.text import CJK

# Around words set in a code face inside prose, until the text is written as Markdown.
CODE_ON, CODE_OFF = "\ue010", "\ue011"
SCRIPT = 0.88  # of the size: what is smaller and off the baseline is a script (HTML's are 0.83)
SPACE = 0.13  # of the font size: so much more than between a word's letters parts words
TIGHT = 0.06  # the same where the file has a space there
_WIDE = re.compile(f"[{CJK}\u3000-\u303f\uff00-\uffef“”‘’…—·]")
_IDEOGRAPH = re.compile(f"[{CJK}]")
_SENTENCE_END = re.compile(r"[。！？；：:!?.;][”」』）)]?$")
_COMMENT = re.compile(r"//|#|/\*|^\*|^--|<!--")
_COMMENT_LINE = re.compile(f"{CODE_ON}(//|#|/\\*|\\*|--|;|%){CODE_OFF}|{CODE_ON}(//|#|--) ")


@dataclass
class Line:
    """One printed line: text, edges (points, y downwards), font size and style.

    `mono`: it is code. `math`: share of characters from a formula face. `column`: its place in the
    order of a page's columns. `note`: it stands in the margin. `scripts`: raised or lowered
    characters in it. `block`: ready Markdown (a table, a figure) that stands in its place.
    `pieces`: characters of each part that stands a whole em from its neighbours.
    """

    text: str
    page: int
    left: float
    right: float
    base: float
    size: float
    mono: bool = False
    bold: bool = False
    char_width: float = 6.0
    math: float = 0.0
    column: int = 0
    note: bool = False
    scripts: int = 0
    block: str = ""
    pieces: tuple[int, ...] = (0,)


@dataclass
class Segment:
    """Neighbouring characters of one baseline without a gap of a whole em."""

    chars: list[Char] = field(repr=False)
    base: float
    size: float
    left: float
    right: float
    block: str = ""


def body_size(chars: Sequence[Char]) -> float:
    """The commonest font size of some characters; 10 for none."""
    sizes = Counter(char.size for char in chars if not char.text.isspace())
    return sizes.most_common(1)[0][0] if sizes else 10.0


def segments(chars: Sequence[Char]) -> list[Segment]:
    """The segments of a page, from above to below and left to right."""
    body = body_size(chars)
    shown = [c for c in chars if not c.text.isspace() and c.text.isprintable()]
    rows = _rows([c for c in shown if c.size >= body * 0.8])
    rows = _scripts_home(rows, body)
    for small in _rows([c for c in shown if c.size < body * 0.8]):
        for run in _runs(small):
            home = _home(run, rows)
            if home is None:
                rows.append(run)
            else:
                home.extend(run)
    found = [_segment(run) for row in rows for run in _runs(row)]
    return sorted(found, key=lambda s: (s.base, s.left))


def _scripts_home(rows: list[list[Char]], body: float) -> list[list[Char]]:
    """Rows with the scripts of browsers, nearly as large as the text, put to their letters.

    Notes and captions are as small: what finds no letters beside it stays a row.
    """
    small = [row for row in rows if all(c.size < body * SCRIPT for c in row)]
    if not small:
        return rows
    large = [row for row in rows if row not in small]
    kept = []
    for row in small:
        for run in _runs(row):
            home = _home(run, large)
            if home is None:
                kept.append(run)
            else:
                home.extend(run)
    return large + kept


def _rows(chars: Sequence[Char]) -> list[list[Char]]:
    """Characters that share a baseline, a third of their size aside."""
    rows: list[list[Char]] = []
    base = -1e9
    for char in sorted(chars, key=lambda c: c.base):
        if not rows or char.base - base > char.size * 0.3:
            rows.append([])
            base = char.base
        rows[-1].append(char)
        base += (char.base - base) / len(rows[-1])
    return rows


def _runs(row: list[Char]) -> list[list[Char]]:
    """A row cut where nothing stands for the width of a character."""
    row.sort(key=lambda c: c.left)
    runs = [[row[0]]]
    right = row[0].right
    for char in row[1:]:
        if char.left - right > max(char.size, runs[-1][-1].size):
            runs.append([])
        runs[-1].append(char)
        right = max(right, char.right)
    return runs


def _home(run: list[Char], rows: list[list[Char]]) -> list[Char] | None:
    """The row that a short run of small characters is a script of."""
    if len(run) > 14:
        return None
    left, right, base = run[0].left, max(c.right for c in run), run[0].base
    best, nearest = None, 1e9
    for row in rows:
        main = max(c.size for c in row[:20])
        shift = base - row[0].base
        if run[0].size > main * SCRIPT or not -main * 0.75 <= shift <= main * 0.5:
            continue
        near = any(c.left - main * 0.75 < right and c.right + main * 0.75 > left for c in row)
        if near and abs(shift) < nearest:
            best, nearest = row, abs(shift)
    return best


def _segment(run: list[Char]) -> Segment:
    size = body_size(run)
    base = next(c.base for c in run if c.size == size)
    return Segment(run, base, size, run[0].left, max(c.right for c in run))


def line_of(parts: Sequence[Segment], page: int) -> Line:
    """Segments of one baseline and column as a line."""
    if parts[0].block:
        one = parts[0]
        return Line("", page, one.left, one.right, one.base, one.size, block=one.block)
    chars = sorted((c for part in parts for c in part.chars), key=lambda c: c.left + c.right)
    size = body_size(chars)
    base = next(c.base for c in chars if c.size == size)
    latin = [c for c in chars if c.text.isascii()] or chars
    width = sum(c.right - c.left for c in latin) / len(latin)
    mono = _is_code(chars)
    text, scripts = _spell(chars, size, base, width if mono else 0.0)
    return Line(
        text,
        page,
        min(c.left for c in chars),
        max(c.right for c in chars),
        base,
        size,
        mono,
        sum(c.bold for c in chars) > len(chars) * 0.6,
        width,
        sum(c.math for c in chars) / len(chars),
        scripts=scripts,
        pieces=tuple(len(part.chars) for part in parts),
    )


def _is_code(chars: Sequence[Char]) -> bool:
    """Is a line code? Names set in a code face inside a Chinese sentence do not make it so.

    Chinese has no fixed-width face: a code line may hold some in a comment or a string.
    """
    plain = "".join(c.text for c in chars)
    comment = _COMMENT.search(plain)
    code = chars[: comment.start()] if comment else chars
    if comment and len(code) < 2:
        return sum(c.mono for c in chars if c.text.isascii()) > 1
    quoted = sum(len(found.group()) for found in QUOTED.finditer(plain[: len(code)]))
    latin = [c for c in code if c.text.isascii()]
    fixed = sum(c.mono for c in latin)
    others = len(code) - len(latin)
    return fixed > len(latin) * 0.8 and (fixed > others * 2 or others <= quoted and fixed > 3)


def _spell(chars: Sequence[Char], size: float, base: float, pitch: float) -> tuple[str, int]:
    """The characters as text, and how many are scripts; `pitch`: character width of a code line."""
    out: list[str] = []
    scripts = 0
    level, code = "", False
    before: Char | None = None
    usual = _usual_gap(chars, size)
    for char in chars:
        own = _level(char, size, base) if not pitch else ""
        inside = char.mono and char.text.isascii() and not pitch
        gap = _gap(before, char, size, pitch, usual) if before else ""
        if own != level or (inside != code):
            if level:
                out.append("}")
            if code and not inside:
                out.append(CODE_OFF)
            out.append(gap if not own else "")
            if inside and not code:
                out.append(CODE_ON)
            if own:
                out.append(own + "{")
            level, code = own, inside
        else:
            out.append(gap)
        scripts += bool(own)
        out.append(char.text)
        before = char
    out.append("}" if level else "")
    out.append(CODE_OFF if code else "")
    return _scripts(re.sub(f"{CODE_OFF}( ?){CODE_ON}", r"\1", "".join(out))), scripts


def _scripts(text: str) -> str:
    """Note marks go; "x^{2}" and "x_{t}" lose the braces that they do not need."""
    text = re.sub(
        rf"(?<=[{CJK}，。；：、！？）”》】\u4e00-\u9fff])\^{{[\d*†‡§,，\[\]①-⑳]{{1,5}}}}", "", text
    )
    text = re.sub(r"(?<=[A-Za-z]{3})\^{\[?\d{1,2}\]?}(?=[\s，。,.;；）]|$)", "", text)
    text = re.sub(r"\^{(st|nd|rd|th|TM|®|™)}", r"\1", text)
    return re.sub(r"([\^_]){(.)}", r"\1\2", text)


def _level(char: Char, size: float, base: float) -> str:
    if char.size > size * SCRIPT or abs(char.base - base) < size * 0.06:
        return ""
    return "^" if char.base < base else "_"


def _usual_gap(chars: Sequence[Char], size: float) -> float:
    """The gap between letters of one word: not 0 where they are set apart or pressed together."""
    gaps = [
        b.left - a.right
        for a, b in zip(chars, chars[1:], strict=False)
        if a.text.isalpha() and b.text.isalpha() and a.text.isascii() and b.text.isascii()
    ]
    if len(gaps) < 8:
        return 0.0
    # Letters set apart have no tight pair among them, and wider gaps between words: "a b c d" has.
    apart = min(gaps) > 0.04 * size and max(gaps) > median(gaps) + 0.1 * size
    if median(gaps) > 0 and not apart:
        return 0.0
    return max(-0.05 * size, min(median(gaps), 0.15 * size))


def _gap(before: Char, char: Char, size: float, pitch: float, usual: float) -> str:
    """What stands between two characters; `usual`: the gap between letters of one word."""
    gap = char.left - before.right
    if pitch:
        return " " * max(round(gap / pitch), 0) if gap > pitch * 0.5 else ""
    if gap > size * 1.2:
        return " "
    if _WIDE.match(before.text) and _WIDE.match(char.text):
        both_ideographs = _IDEOGRAPH.match(before.text) and _IDEOGRAPH.match(char.text)
        return " " if both_ideographs and before.spaced and gap > size * 0.15 else ""
    both = [c for c in (before.text, char.text) if _WIDE.match(c)]
    if both and not _IDEOGRAPH.match(both[0]):
        return ""  # beside Chinese punctuation
    small = min(before.size, char.size)
    if before.spaced and not both and gap > small * TIGHT:
        return " "
    return " " if gap > (small * 0.08 if both else usual + small * SPACE) else ""


def mark_code_comments(lines: Sequence[Line]) -> None:
    """Mark "# 打开文件" as code: only its sign is set in a code face, but code stands beside it."""
    for index, line in enumerate(lines):
        if line.mono or not _COMMENT_LINE.match(line.text):
            continue
        above = lines[index - 1] if index else None
        under = index + 1
        while under < len(lines) and _COMMENT_LINE.match(lines[under].text):
            under += 1
        below = lines[under] if under < len(lines) else None
        inside = above is not None and above.mono and _next(above, line)
        first = below is not None and below.mono and _next(line, lines[index + 1])
        first = first and (above is None or not _next(above, line))
        line.mono = inside or first


def _next(above: Line, below: Line) -> bool:
    """Do two lines follow one another as the lines of one block of code do?"""
    return above.page == below.page and 0 < below.base - above.base < 2.2 * above.size


def unmark_code_words(lines: Sequence[Line]) -> None:
    """Unmark lines that are only the middle of a sentence full of names in a code face."""
    right = max((line.right for line in lines if not line.mono), default=0.0)
    ends = [*lines[2:], None]
    for above, line, below in zip(lines, lines[1:], ends, strict=False):
        if below is not None and below.mono and _next(line, below):
            continue  # the first line of a listing
        flowing = not above.mono and not above.block and above.right > right * 0.6
        same = above.page == line.page and abs(above.left - line.left) < 3
        near = same and line.base - above.base < above.size * 1.5
        if line.mono and flowing and near and not _SENTENCE_END.search(above.text):
            line.mono = False
            line.text = f"{CODE_ON}{line.text.strip()}{CODE_OFF}"
