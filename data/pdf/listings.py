"""Code that a book sets in the face of its text: known by its signs, where several agree."""

import re
from collections.abc import Sequence
from itertools import pairwise

from data.pdf.lines import CODE_OFF, CODE_ON, Line
from data.text import CJK

_COMMENT = re.compile(r"(?://|/\*|(?<!\S)#(?!\s*(?:include|define|if|endif|pragma))).*$|/\*.*?\*/")
_STRING = re.compile(r"\"[^\"]*\"|'[^']*'|“[^“”]*”")
# A word of a language that begins a statement; no sentence goes on as they do.
_STATEMENT = re.compile(
    r"#\s*(?:include|define|ifn?def|endif|pragma|if|else)\b"
    r"|(?:using|namespace|template|typedef|public|private|protected|static|const|unsigned|struct|enum"
    r"|class|package|import|extern|void|int|char|float|double|bool|long|auto|var|let|func|function"
    r"|__\w+__|return|break|continue|case|default|switch|do|goto|try|catch|else)\b.*[;{}:,)]\s*$"
    r"|(?:if|for|while|switch|catch)\s*\(.*[)({;]\s*\{?$|else\s*\{?$"
    r"|(?:def|class|for|while|if|elif|else|try|except|with|finally)\b.*:$"
    r"|(?:import [\w.]+(?: as \w+)?|from [\w.]+ import [\w*, ]+)$"
    r"|(?:SELECT|INSERT INTO|UPDATE|DELETE FROM|CREATE|ALTER|DROP|FROM|WHERE|GROUP BY|ORDER BY)\b"
)
_ENDS = re.compile(r"[;{}]\s*$|^[\])}]+[;,]?$")
_CODE_SIGN = re.compile(r"\w\(|\w\[|[^=<>!]=[^=]|->|::|[+\-*/|&]=|\+\+|--|<<|>>|==|!=|&&|\|\||[{}]")
# What a displayed formula that ends in a semicolon does not have.
_HARD = re.compile(r"[{}]|->|::|\+\+|[+\-]=|==|\(\)|&&|\|\||__|[a-z_]{3,}\(|[A-Za-z]\w+\.\w+\(")
_LEAST = 3  # lines


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


def _bare(line: Line) -> str:
    """The line without comments and what stands in quotes."""
    text = line.text.replace(CODE_ON, "").replace(CODE_OFF, "")
    return _STRING.sub('""', _COMMENT.sub("", text)).strip()


def _possible(line: Line) -> bool:
    if line.mono or line.block or line.note or line.scripts or line.math >= 0.2:
        return False
    return not re.search(f"[{CJK}。，；：？！]", _bare(line))


def _sure(line: Line) -> bool:
    text = _bare(line)
    if _STATEMENT.match(text):
        return True
    return bool(_ENDS.search(text) and (_CODE_SIGN.search(text) or len(text) <= 3))


def _mark(run: Sequence[Line]) -> None:
    sure = [index for index, line in enumerate(run) if _sure(line)]
    if len(sure) < 2:
        return
    first, last = sure[0], sure[-1] + 1
    # A comment above belongs to it.
    while first and not _bare(run[first - 1]) and run[first - 1].text.strip():
        first -= 1
    listing = run[first:last]
    hard = sum(bool(_HARD.search(_bare(line)) or _STATEMENT.match(_bare(line))) for line in listing)
    if len(listing) < _LEAST or len(sure) * 2 < len(listing) or hard < 2:
        return
    width = _indent(listing) / 4
    for line in listing:
        line.mono, line.char_width = True, width


def _indent(listing: Sequence[Line]) -> float:
    """Points of one level of indentation: the least step between left edges; usually 4 blanks."""
    size = max(line.size for line in listing)
    lefts = sorted({round(line.left) for line in listing})
    steps = [b - a for a, b in pairwise(lefts) if b - a > size * 0.4]
    return min(steps, default=size * 1.2)
