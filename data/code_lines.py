"""What source code looks like, by its wording and its face: for readers of books and answers.

How sure the look of one line has to be depends on what else may stand there: see `Look`.
"""

import re
from collections.abc import Sequence
from enum import Enum

from data.text import CJK, cjk_share

# Names of faces of fixed width, in PDF, Word and slides.
FIXED = re.compile(
    r"(?i)mono(?!type)|courier|consol|menlo|monaco|typewriter|cmtt|lmtt|inconsolata|code|cousine|等宽"
)
# Of C. "# if" is a comment of Python; "# include" is how some books write it.
_DIRECTIVE = r"#(?:\s*(?:include|define)|undef|ifn?def|if|else|elif|endif|pragma|error)\b"
_COMMENT = re.compile(rf"/\*.*?\*/|(?:(?<!:)//|/\*|(?<!\S)(?!{_DIRECTIVE})#).*$")
_COMMENT_LINE = re.compile(rf"\s*(?://|#(?![#\d{CJK}])|/?\*)")
QUOTED = re.compile(r"\"[^\"]*\"|'[^']*'|(?<=[(,=])\s*“[^“”]*”")
# A word of a language that begins a statement; no sentence goes on as they do.
_BEGINS = re.compile(
    rf"{_DIRECTIVE}"
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


class Look(Enum):
    """How a line without Chinese looks, from what hardly any prose has to what only code has.

    SIGNS: for what stands among Chinese sentences. LINE: for counting answers with code; English
    prose may have it by chance. STATEMENT: one makes a text code that has hardly any Chinese.
    """

    SIGNS = re.compile(
        r"^(?!.*\.$|\w+://\S+$)"  # a sentence, an address
        r"(?:(?:return|else|import|from|break|\./)\b|--?\w|.*(?:[=(){};<>_\[\]]|\s--?\w))"
    )
    LINE = re.compile(
        rf"[;{{}}]\s*$|^\s*(?:{_DIRECTIVE}|@\w+|\$ \S)|^\s*[}})]"
        r"|^\s*(?:def|class|for|while|if|elif|else|try|with|except)\b.*:\s*$"
        r"|^\s*(?:import|from)\s+[\w.]+|^\s*[\w.\[\]*&]+\s*=\s*\S|\w\([^()]*\)\s*$|<<<.*>>>"
        r"|^\s*[\w./-]+ .*\s--?\w"
    )
    STATEMENT = re.compile(rf"[;{{}}]\s*$|^\s*(?:(?:def|class|import)\b|{_DIRECTIVE}|\w+\()")


def looks(line: str, look: Look) -> bool:
    """Does a line look so? Chinese may stand in its comments and strings alone."""
    if look is Look.SIGNS and _COMMENT_LINE.match(line):
        return True
    bare = _bare(line)
    return bool(look.value.search(bare)) and not re.search(f"[{CJK}]", bare)


def has_code(answer: str) -> bool:
    """Is some line of an answer code, in a fence or by its look?"""
    return "```" in answer or any(looks(line, Look.LINE) for line in answer.split("\n"))


def is_code(text: str) -> bool:
    """Is a text a piece of code by itself, not prose with some code in it?"""
    bare = [_bare(line) for line in re.sub(r"```\w*\n?", "", text).split("\n")]
    return cjk_share("\n".join(bare)) <= 0.1 and any(map(Look.STATEMENT.value.search, bare))


def code_of(answer: str) -> list[str]:
    """The lines of code of an answer in Chinese: those in fences, or those that look like it."""
    lines, fence = [], ""
    for line in answer.split("\n"):
        mark = re.match(r"\s*(`{3,})", line)
        if mark and (not fence or line.strip() == fence):
            fence = "" if fence else mark[1]
        elif line.strip() and (fence or looks(line, Look.SIGNS)):
            lines.append(line)
    return lines


def possible(text: str) -> bool:
    """Could a line be code? Chinese stands in its comments and strings alone."""
    return not (_NO_CODE.match(text) or re.search(f"[{CJK}。，；：？！【】]", _bare(text)))


def listing(lines: Sequence[str]) -> range:
    """Where in these lines, each of which could be code, a listing stands; empty where several
    signs do not agree."""
    sure = [index for index, line in enumerate(lines) if _sure(line)]
    if not sure:
        return range(0)
    first, last = sure[0], sure[-1] + 1
    while first and lines[first - 1].strip() and not _bare(lines[first - 1]):
        first -= 1  # a comment above belongs to it
    shown = [_bare(line) for line in lines[first:last] if line.strip()]
    hard = sum(bool(_HARD.search(line) or _BEGINS.match(line)) for line in shown)
    agreed = len(shown) >= _LEAST and len(sure) * 2 >= len(shown) and hard >= 2
    return range(first, last) if agreed else range(0)


def _bare(text: str) -> str:
    """The line without comments and what stands in quotes."""
    return QUOTED.sub('""', _COMMENT.sub("", text)).strip()


def _sure(line: str) -> bool:
    text = _bare(line)
    if _BEGINS.match(text):
        return True
    return bool(_ENDS.search(text) and (_CODE_SIGN.search(text) or len(text) <= 3))
