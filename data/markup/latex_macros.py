r"""Definitions of a LaTeX book that pandoc can use, and stand-ins for those that it cannot.

pandoc drops a command that it does not know with all that stands in its braces. One that holds
words gets a definition that prints them; what only steers the page is left out.
"""

import re
from collections import defaultdict
from collections.abc import Iterable

from data.markup.pandoc import Skipped
from data.text import CJK

_START = re.compile(
    r"\\(?P<how>newcommand|renewcommand|providecommand|DeclareRobustCommand|DeclareMathOperator"
    r"|NewDocumentCommand|RenewDocumentCommand|ProvideDocumentCommand|DeclareDocumentCommand"
    r"|newtheorem|newenvironment|renewenvironment|NewDocumentEnvironment|def)(?![A-Za-z@])\*?"
)
# Machinery of TeX: pandoc does not run it.
_MACHINERY = re.compile(
    r"@|\\(?:expandafter|csname|futurelet|catcode|let|if\w*|directlua|loop|kern|hbox|vbox|setbox"
    r"|makebox|raisebox|ExplSyntaxOn|tl_|seq_|begingroup|obeylines)(?![A-Za-z])"
)
# Commands of LaTeX that a book dresses anew, and that pandoc knows by themselves.
_KNOWN = re.compile(
    r"\\(?:part|(?:sub)*section|chapter|(?:sub)?paragraph|the\w+|\w+(?:name|format|mark|font|style"
    r"|page|skip|sep|stretch|width|height|indent)|section\w*|label\w*|item|emph|text\w{2}|footnote"
    r"|caption|title|author|date|maketitle|tableofcontents|ref|cite|url|href|appendix|theorem"
    r"|arraystretch|baselinestretch|par|item|begin|end|verb|includegraphics|index|today|contents\w+)"
)
# Arguments that no reader sees, though they may hold words.
_UNSHOWN = re.compile(
    r"\\(?:index|sindex|label|glossary|hypersetup|mark(?:both|right)|addcontentsline|(?:pdf)?bookmark"
    r"|phantomsection|ctexset|(?:set|new)\w*(?:font|CJK)\w*|bib\w+|title|author|date|institute|note"
    r"|includegraphics|graphicspath|tikz\w*|pgf\w*|lstset|tcbset|set\w+|new\w+|renew\w+|def|cite\w*"
    r"|cref\w*|Cref\w*|hspace|vspace|special|typeout|PackageWarning|geometry|captionsetup|Declare\w+)\*?$"
)
_WORDS = re.compile(rf"[{CJK}]")
# Commands of packages whose argument is the word itself.
_SHOWS = re.compile(
    r"\\(?:ce|code|file|cmd|cs|pkg|cls|env|opt|meta|marg|oarg|CTAN|tn|kw|key|menu|keys|path|name|term"
    r"|alert|hl|ruby|xpinyin|uline|uwave|dotuline|CJK\w+|ul|st|hologo|enquote|foreign\w*|text\w+|circled"
    r"|ding|link|email|command|option|package|class|prog|lib|var|func|type|value|unit|frametitle"
    r"|framesubtitle|question|answer|problem|solution|part|choice|blank|key\w+|important|\w+title)$"
)


def group(text: str, place: int, opens: str = "{") -> int:
    """The place after the group that begins at `place`; -1 where none does."""
    closes = {"{": "}", "[": "]"}[opens]
    if text[place : place + 1] != opens:
        return -1
    depth = 0
    while place < len(text):
        sign = text[place]
        if sign == "\\":
            place += 2
            continue
        if sign == "{" or sign == opens:
            depth += 1
        elif sign == "}" or sign == closes:
            depth -= 1
            if depth <= 0:
                return place + 1
        place += 1
    return -1


def arguments(text: str, place: int = 0) -> tuple[list[tuple[str, str]], int]:
    """The ("[" or "{", content) groups that follow at a place, and the place after them."""
    found = []
    while True:
        room = re.compile(r"[ \t]*\n?[ \t]*").match(text, place)
        start = room.end() if room else place
        opens = text[start : start + 1]
        end = group(text, start, opens) if opens in ("{", "[") and opens else -1
        if end < 0:
            return found, place
        found.append((opens, text[start + 1 : end - 1]))
        place = end


def definitions(text: str) -> tuple[list[str], set[str]]:
    r"""The definitions of a text that pandoc can use, and the names of all that it defines."""
    kept, names = [], set()
    for found in _START.finditer(text):
        how, place = found["how"], found.end()
        name = re.compile(r"\s*\{?\s*(\\[A-Za-z@]+|\\.|[A-Za-z*]+)\s*\}?").match(text, place)
        if not name:
            continue
        command = name.group(1)
        if how == "def":
            made = _def(text, name.end(), command)
        else:
            made = _new(text, name.end(), how, command)
        names.add(command)
        if (
            made
            and not _MACHINERY.search(made)
            and not (
                how not in ("newtheorem", "newenvironment", "NewDocumentEnvironment")
                and _KNOWN.fullmatch(command)
            )
        ):
            kept.append(made)
    return kept, names


def _def(text: str, place: int, command: str) -> str:
    pattern = re.compile(r"\s*((?:#\d)*)\s*(?=\{)").match(text, place)
    if not pattern or command.startswith("\\") is False:
        return ""
    end = group(text, pattern.end())
    count = len(pattern.group(1)) // 2
    number = f"[{count}]" if count else ""
    return f"\\newcommand{{{command}}}{number}{text[pattern.end() : end]}" if end > 0 else ""


def _new(text: str, place: int, how: str, command: str) -> str:
    given, end = arguments(text, place)
    braces = [content for kind, content in given if kind == "{"]
    if "Document" in how:
        return _document(how, command, braces)
    wanted = 2 if "environment" in how else 1
    if len(braces) < wanted:
        return ""
    kept: list[str] = []
    count = 0
    for kind, content in given:
        if kind == "{":
            count += 1
        kept.append(f"{kind}{content}{'}' if kind == '{' else ']'}")
        if count == wanted:
            break
    if how == "newtheorem":
        return f"\\newtheorem{{{command}}}{''.join(kept)}"
    how = "newcommand" if how in ("providecommand", "DeclareRobustCommand", "renewcommand") else how
    how = "newenvironment" if how == "renewenvironment" else how
    return f"\\{how}{{{command}}}{''.join(kept)}"


def _document(how: str, command: str, braces: list[str]) -> str:
    """xparse's arguments as those of \\newcommand; "" for others than m and one o or O first."""
    wanted = 3 if "Environment" in how else 2
    if len(braces) < wanted:
        return ""
    spec = re.match(r"\s*(?:(o)|O\s*\{([^{}]*)\})?\s*((?:\+?m\s*)*)$", braces[0])
    if not spec:
        return ""
    optional = spec.group(1) or spec.group(2) is not None
    count = spec.group(3).count("m") + bool(optional)
    number = f"[{count}]" if count else ""
    number += f"[{spec.group(2) or ''}]" if optional else ""
    bodies = "".join(f"{{{body}}}" for body in braces[1:wanted])
    kind = "newenvironment" if "Environment" in how else "newcommand"
    return f"\\{kind}{{{command}}}{number}{bodies}"


def stand_ins(skipped: Iterable[Skipped], own: set[str]) -> list[str]:
    """Definitions that print the words of commands that pandoc left out.

    own: names that the book defines; of those every argument shows, of others Chinese ones, and
    those of packages whose argument is a word.
    """
    uses: dict[str, list[list[tuple[str, str]]]] = defaultdict(list)
    for each in skipped:
        name = re.match(r"\\[A-Za-z@]+\*?", each.text)
        if name and name.group() not in (r"\begin", r"\end"):
            uses[name.group()].append(arguments(each.text, name.end())[0])
    made = []
    for name, given in uses.items():
        if name.endswith("*") or "@" in name or (_UNSHOWN.match(name) and name not in own):
            continue
        said = [[content for kind, content in one if kind == "{"] for one in given]
        # As far as any use says something: what follows is no argument of \LaTeXe{}.
        count = max((n for one in said for n, text in enumerate(one, 1) if text.strip()), default=0)
        shown = [n for n in range(count) if _shows(name, [o[n] for o in said if len(o) > n], own)]
        if not shown:
            continue
        optional = any(kind == "[" for one in given for kind, _ in one[:1])
        first = 2 if optional else 1
        number = f"[{count + bool(optional)}]" + ("[]" if optional else "")
        body = " ".join(f"#{first + n}" for n in shown)
        made.append(f"\\newcommand{{{name}}}{number}{{{body}}}")
    return made


def _shows(name: str, texts: list[str], own: set[str]) -> bool:
    if any(_WORDS.search(text) for text in texts):
        return True
    if name in own or _SHOWS.fullmatch(name):
        return any(re.search(r"[A-Za-z]{2}|\d", text) for text in texts)
    return False
