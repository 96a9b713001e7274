"""Which lines are code, by how they are written: for books that set it in the face of the text."""

import re
from collections.abc import Sequence

from data.text import CJK

_COMMENT = re.compile(
    r"(?:(?<!:)//|/\*|(?<!\S)#(?!\s*(?:include|define|if|endif|pragma))).*$|/\*.*?\*/"
)
_STRING = re.compile(r"\"[^\"]*\"|'[^']*'|(?<=[(,=])\s*“[^“”]*”")
# A word of a language that begins a statement; no sentence goes on as they do.
_STATEMENT = re.compile(
    r"#\s*(?:include|define|ifn?def|endif|pragma|if|else)\b"
    r"|(?:using|namespace|template|typedef|public|private|protected|static|const|unsigned|struct|enum"
    r"|class|package|import|extern|void|int|char|float|double|bool|long|auto|var|let|func|function"
    r"|__\w+__|return|break|continue|case|default|switch|do|goto|try|catch|else)\b.*[;{}:,)]\s*$"
    r"|(?:if|for|while|switch|catch)\s*\(.*[)({;]\s*\{?$|else\s*\{?$"
    r"|(?:def \w+\(.*|class \w+(?:\(.*\))?|for .+ in .+|with .+ as \w+"
    r"|(?:while|if|elif) .*[()\[\]<>=!].*|(?:while|if|elif) (?:not )?\w+"
    r"|while True|else|try|finally|except\b[\w ,.()]*)\s*:$"
    r"|(?:import [\w.]+(?: as \w+)?|from [\w.]+ import [\w*, ]+)$"
    r"|(?:SELECT|INSERT INTO|UPDATE|DELETE FROM|CREATE|ALTER|DROP|FROM|WHERE|GROUP BY|ORDER BY)\b"
    r".*[;,(*=<>]"
)
_ENDS = re.compile(r"[;{}]\s*$|^[\])}]+[;,]?$")
_CODE_SIGN = re.compile(r"\w\(|\w\[|[^=<>!]=[^=]|->|::|[+\-*/|&]=|\+\+|--|<<|>>|==|!=|&&|\|\||[{}]")
# What a displayed formula that ends in a semicolon does not have.
_HARD = re.compile(
    r"\{\s*$|^\s*\}|->|::|\+\+|[+\-]=|==|\(\)|&&|\|\||__|(?<![a-z_])[a-z_]{3,}\(|(?<!\w)[A-Za-z]\w+\.\w+\("
)
# A choice or a part of a question; formulas with raised and lowered signs.
_NO_CODE = re.compile(r"\s*(?:[（(]?[A-H][).、．）]|[（(]\d{1,2}[)）])\s*\S|.*[₀-₉⁰-⁹]")
_LEAST = 3  # lines


def possible(text: str) -> bool:
    """Could a line be code? Chinese stands in its comments and strings alone."""
    return not (_NO_CODE.match(text) or re.search(f"[{CJK}。，；：？！【】]", _bare(text)))


def listing(lines: Sequence[str]) -> range:
    """Where in these lines, each of which could be code, a listing stands; empty where several
    signs do not agree."""
    sure = [index for index, line in enumerate(lines) if _sure(line)]
    if len(sure) < 2:
        return range(0)
    first, last = sure[0], sure[-1] + 1
    while first and lines[first - 1].strip() and not _bare(lines[first - 1]):
        first -= 1  # a comment above belongs to it
    shown = [_bare(line) for line in lines[first:last] if line.strip()]
    hard = sum(bool(_HARD.search(line) or _STATEMENT.match(line)) for line in shown)
    agreed = len(shown) >= _LEAST and len(sure) * 2 >= len(shown) and hard >= 2
    return range(first, last) if agreed else range(0)


def _bare(text: str) -> str:
    """The line without comments and what stands in quotes."""
    return _STRING.sub('""', _COMMENT.sub("", text)).strip()


def _sure(line: str) -> bool:
    text = _bare(line)
    if _STATEMENT.match(text):
        return True
    return bool(_ENDS.search(text) and (_CODE_SIGN.search(text) or len(text) <= 3))
