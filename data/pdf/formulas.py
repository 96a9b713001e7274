"""Displayed formulas: one line becomes LaTeX-like text, what is set in two dimensions a mark.

A formula never stays as loose symbols between the words of a sentence.
"""

import re
from collections.abc import Sequence
from dataclasses import replace

from data.losses import FORMULA, Loss
from data.pdf.lines import Line
from data.text import CJK

_NUMBER = re.compile(r"[（(]\s*([A-Z]?\d+(?:[.\-–]\d+)*[a-z]?)\s*[)）]\s*$")
_OPERATOR = re.compile(r"[=<>≤≥≈≠≡∈∝→←⇒×÷±∂∇√∞⊙⊕∑∏∫∪∩∼:+−*/|≜]|(?<=\s)-(?=\s)")
_TWO_DIMENSIONS = re.compile("[∑∏∫⋃⋂⋁⋀⨁⨂√⎛-⎭\ue000-\ue00f\ue012-\uf8ff\ufffd]")
_FUNCTIONS = re.compile(
    r"exp|log|ln|max|min|sin|cos|tan|tanh|cosh|sinh|softmax|arg|sup|inf|lim|det|dim|rank|diag|var|cov"
    r"|sgn|sign|mod|gcd|Pr|tr|s\.t\.|otherwise|if|for|subject|to|where|and|ReLU|sigmoid",
    re.I,
)
_WORD = re.compile(r"[A-Za-z]{3,}")
_ENTRIES = re.compile(rf"(?:[^\s{CJK}]{{1,6}}\s+)+[^\s{CJK}]{{1,6}}")
_SENTENCE = re.compile("[。！？；]")


def formulas_apart(lines: Sequence[Line], marked: set[int]) -> tuple[list[Line], list[Loss]]:
    """Lines of one formula become one line with a `block`; `marked`: indexes to leave alone.

    Also returned: the formulas that could not be written in one line.
    """
    left = _left_edges(lines)
    kinds = [
        0 if index in marked or line.block else _kind(line, left.get((line.page, line.column), 0.0))
        for index, line in enumerate(lines)
    ]
    out: list[Line] = []
    losses: list[Loss] = []
    lines, gone = _inline_rows(lines, kinds, losses)
    index = 0
    while index < len(lines):
        if index in gone:
            index += 1
            continue
        if not kinds[index]:
            out.append(lines[index])
            index += 1
            continue
        end = index + 1
        while end < len(lines) and kinds[end] and _belong(lines[end - 1], lines[end]):
            end += 1
        if max(kinds[index:end]) < 2:  # loose small pieces, no formula among them
            out.extend(lines[index:end])
        else:
            _formula(lines[index:end], out, losses)
        index = end
    return out, losses


def _inline_rows(
    lines: Sequence[Line], kinds: Sequence[int], losses: list[Loss]
) -> tuple[list[Line], set[int]]:
    """Rows of a matrix within a sentence: lines of entries over and under a gap in its line.

    The sentence gets a mark; also returned: the indexes of the rows.
    """
    out, gone = list(lines), set()
    for index in range(1, len(lines) - 1):
        line = lines[index]
        if kinds[index] or line.block or line.mono or len(line.pieces) < 2:
            continue
        over = _rows_beside(lines, kinds, index, -1)
        under = _rows_beside(lines, kinds, index, 1)
        if not over or not under or gone.intersection(over):
            continue
        gone.update(over, under)
        out[index] = replace(line, text=_with_mark(line.text, len(lines[over[0]].text.split())))
        losses.append(Loss(FORMULA, f"p. {line.page + 1}"))
    return out, gone


def _with_mark(text: str, entries: int) -> str:
    """The line of a sentence with a mark for a matrix, in place of its middle row if it has one:
    the last words that are as many as the entries of the row beside it. No other word goes."""
    one = rf"[^\s={CJK}，。；]{{1,6}}"
    row = rf"(?<=\s)(?:{one}\s+){{{entries - 1}}}{one}(?=\s*(?:[，。；、]|$))"
    at = ([*re.finditer(row, text)] or [re.search(r"(?<==)\s*(?=[\s，。；、]|$)", text)])[-1]
    if at is None:
        return f"{text} [公式]"
    return f"{text[: at.start()].rstrip()} [公式] {text[at.end() :].lstrip()}".rstrip()


def _rows_beside(lines: Sequence[Line], kinds: Sequence[int], index: int, step: int) -> list[int]:
    """Indexes of the lines of entries next to a line, inside its edges and as near as rows are."""
    home, found, place = lines[index], [], index + step
    while 0 <= place < len(lines) and kinds[place] == 1:
        row, near = lines[place], lines[place - step]
        text = row.text.strip()
        inside = home.left < row.left and row.right < home.right and row.page == home.page
        close = abs(row.base - near.base) < home.size * 1.6 and row.column == home.column
        if not (inside and close and (_ENTRIES.fullmatch(text) or len(text) <= 4)):
            break
        found.append(place)
        place += step
    return found


def _left_edges(lines: Sequence[Line]) -> dict[tuple[int, int], float]:
    edges: dict[tuple[int, int], list[float]] = {}
    for line in lines:
        if not line.note:
            edges.setdefault((line.page, line.column), []).append(line.left)
    return {key: sorted(values)[len(values) // 10] for key, values in edges.items()}


def _kind(line: Line, left: float) -> int:
    """2: surely part of a displayed formula. 1: only beside one. 0: text."""
    text = _NUMBER.sub("", line.text).strip()
    if line.mono or line.note or _SENTENCE.search(text):
        return 0
    ideographs = len(re.findall(f"[{CJK}]", text))
    if ideographs > 2 and not (line.math > 0.4 and ideographs < len(text) * 0.2):
        return 0
    words = "".join(w for w in _WORD.findall(text) if not _FUNCTIONS.fullmatch(w))
    signs = len(re.findall(r"\S", text)) or 1
    centred = line.left > left + line.size * 1.2
    if not text:
        return 1 if _NUMBER.search(line.text) else 0
    if len(words) > signs * 0.35 and line.math < 0.4:
        return 0
    if line.math >= 0.2 and (centred or line.math > 0.5):
        return 2 if _OPERATOR.search(text) or _TWO_DIMENSIONS.search(text) else 1
    if centred and _OPERATOR.search(text) and re.search(r"[A-Za-zα-ωΑ-Ω]", text):
        strong = line.scripts or re.search(r"[=≤≥≈≠∈∑∏∫√]", text)
        if re.match(r"[-–•◦▪*]\s", text):
            return 0
        return 2 if strong else 1
    # A row of a matrix; as a table or the like it stays where no formula is beside it.
    if centred and _ENTRIES.fullmatch(text) and not words:
        return 1
    return 1 if len(text) <= 4 and centred and not re.match(r"[-–•◦▪*●○■]", text) else 0


def _belong(above: Line, below: Line) -> bool:
    if above.page != below.page or above.column != below.column:
        return False
    return below.base - above.base < max(above.size, below.size) * 2.0


def _formula(lines: Sequence[Line], out: list[Line], losses: list[Loss]) -> None:
    rows = sorted(lines, key=lambda line: line.base)
    numbers = [m.group(1) for line in rows if (m := _NUMBER.search(line.text))]
    gaps = [b.base - a.base for a, b in zip(rows, rows[1:], strict=False)]
    size = max(line.size for line in rows)
    flat = (
        all(gap >= size * 1.15 for gap in gaps)
        and not any(_TWO_DIMENSIONS.search(line.text) for line in rows)
        and all(_OPERATOR.search(_NUMBER.sub("", line.text)) for line in rows)
    )
    first = rows[0]
    if flat:
        for line in rows:
            number = _NUMBER.search(line.text)
            body = _NUMBER.sub("", line.text).strip()
            end = re.search(r"[，,。.；;]+$", body)
            body = body[: end.start()].rstrip() if end else body
            shown = f" ({number.group(1)})" if number else ""
            out.append(replace(line, text="", block=f"${body}${shown}{end.group() if end else ''}"))
        return
    name = ", ".join(numbers)
    out.append(replace(first, text="", block=f"[公式 {name}]" if name else "[公式]"))
    place = f"p. {first.page + 1}" + (f" ({name})" if name else "")
    losses.append(Loss(FORMULA, place))
