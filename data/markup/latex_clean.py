r"""What LaTeX's packages define and pandoc does not know, in words that it knows."""

import re

from data.markup.latex_macros import arguments
from data.text import CJK

# pandoc drops commands that it does not know, and with them the names of these programs.
_LOGOS = {"LaTeXe": "LaTeX2e", "XeTeX": "XeTeX", "XeLaTeX": "XeLaTeX", "LuaTeX": "LuaTeX",
          "LuaLaTeX": "LuaLaTeX", "pdfTeX": "pdfTeX", "pdfLaTeX": "pdfLaTeX", "BibTeX": "BibTeX",
          "CTeX": "CTeX", "AmS": "AMS", "AmSLaTeX": "AMS-LaTeX", "TikZ": "TikZ", "MiKTeX": "MiKTeX",
          "KOMAScript": "KOMA-Script", "MetaPost": "MetaPost"}  # fmt: skip
_PSEUDO = r"""
\newcommand{\State}{\\ }\newcommand{\Statex}{\\ }\newcommand{\Require}{\\ \textbf{输入：}}
\newcommand{\Ensure}{\\ \textbf{输出：}}\newcommand{\Input}{\\ \textbf{输入：}}
\newcommand{\Output}{\\ \textbf{输出：}}\newcommand{\Return}{\textbf{return} }
\newcommand{\While}[1]{\\ \textbf{while} #1 \textbf{do}}
\newcommand{\EndWhile}{\\ \textbf{end while}}
\newcommand{\For}[1]{\\ \textbf{for} #1 \textbf{do}}\newcommand{\EndFor}{\\ \textbf{end for}}
\newcommand{\ForAll}[1]{\\ \textbf{for all} #1 \textbf{do}}
\newcommand{\If}[1]{\\ \textbf{if} #1 \textbf{then}}\newcommand{\EndIf}{\\ \textbf{end if}}
\newcommand{\ElsIf}[1]{\\ \textbf{else if} #1 \textbf{then}}\newcommand{\Else}{\\ \textbf{else}}
\newcommand{\Repeat}{\\ \textbf{repeat}}\newcommand{\Until}[1]{\\ \textbf{until} #1}
\newcommand{\Function}[2]{\\ \textbf{function} #1(#2)}
\newcommand{\EndFunction}{\\ \textbf{end function}}
\newcommand{\Procedure}[2]{\\ \textbf{procedure} #1(#2)}
\newcommand{\EndProcedure}{\\ \textbf{end procedure}}\newcommand{\Call}[2]{#1(#2)}
\newcommand{\Comment}[1]{ // #1}\newcommand{\Loop}{\\ \textbf{loop}}
\newcommand{\EndLoop}{\\ \textbf{end loop}}
"""
# algorithm2e: what is done stands in braces behind its condition.
_PSEUDO_2E = r"""
\newcommand{\KwIn}[1]{\\ \textbf{输入：}#1}\newcommand{\KwData}[1]{\\ \textbf{输入：}#1}
\newcommand{\KwOut}[1]{\\ \textbf{输出：}#1}\newcommand{\KwResult}[1]{\\ \textbf{输出：}#1}
\newcommand{\KwRet}[1]{\textbf{return} #1}\newcommand{\Return}[1]{\textbf{return} #1}
\newcommand{\While}[2]{\\ \textbf{while} #1 \textbf{do} \\ #2}
\newcommand{\For}[2]{\\ \textbf{for} #1 \textbf{do} \\ #2}
\newcommand{\ForEach}[2]{\\ \textbf{foreach} #1 \textbf{do} \\ #2}
\newcommand{\ForAll}[2]{\\ \textbf{forall} #1 \textbf{do} \\ #2}
\newcommand{\If}[2]{\\ \textbf{if} #1 \textbf{then} \\ #2}
\newcommand{\uIf}[2]{\\ \textbf{if} #1 \textbf{then} \\ #2}
\newcommand{\lIf}[2]{\\ \textbf{if} #1 \textbf{then} #2}
\newcommand{\eIf}[3]{\\ \textbf{if} #1 \textbf{then} \\ #2 \\ \textbf{else} \\ #3}
\newcommand{\ElseIf}[2]{\\ \textbf{else if} #1 \textbf{then} \\ #2}
\newcommand{\uElseIf}[2]{\\ \textbf{else if} #1 \textbf{then} \\ #2}
\newcommand{\Else}[1]{\\ \textbf{else} \\ #1}\newcommand{\lElse}[1]{\\ \textbf{else} #1}
\newcommand{\Repeat}[2]{\\ \textbf{repeat} \\ #2 \\ \textbf{until} #1}
\newcommand{\Begin}[1]{\\ #1}\newcommand{\tcp}[1]{ // #1}\newcommand{\tcc}[1]{ // #1}
"""
_DRAWN = re.compile(
    r"\\begin\{(tikzpicture|pgfpicture|pspicture|tikzcd|forest|picture|circuitikz|asy|axis|chemfig)\*?\}"
    r".*?\\end\{\1\*?\}",
    re.S,
)
_FLOAT = re.compile(
    r"\\begin\{(?P<name>wrapfigure|SCfigure|marginfigure|sidewaysfigure|figwindow|floatingfigure"
    r"|figure|table|wraptable|margintable|sidewaystable|SCtable)(?P<star>\*?)\}"
    r"(?P<given>(?:\s*\[[^\]]*\]|\s*\{[^{}]*\})*)(?P<body>.*?)\\end\{(?P=name)(?P=star)\}",
    re.S,
)
_TABLE = re.compile(
    r"\\begin\{(?:tabular|tabularx|tabular\*|longtable|array|supertabular|xltabular)\*?\}"
)
_CAPTIONED = re.compile(
    r"(\\begin\{(?:figure|table|longtable|longtblr|subfigure|subtable)\}.*?"
    r"\\end\{(?:figure|table|longtable|longtblr)\})",
    re.S,
)
# pandoc keeps an abstract apart from the text. As sections: what the print has above it.
_ABSTRACT = re.compile(
    r"\\begin\{(?P<name>[a-zA-Z]*abstract)(?P<star>\*?)\}[ \t]*(?:\[[^\]]*\])?(?P<body>.*?)"
    r"\\end\{(?P=name)(?P=star)\}",
    re.S,
)
_LONG = re.compile(r"(?<=\\begin\{longtable\}).*?(?=\\end\{longtable\})", re.S)
_COLUMNS = re.compile(r"\\begin\{(?:tabular\*?|tabularx|longtable)\}")
_REPEATED = re.compile(r"\*\s*\{\s*(\d{1,2})\s*\}\s*\{((?:[^{}]|\{[^{}]*\})*)\}")
_DRESS = re.compile(r"[@!<>]\s*\{(?:[^{}]|\{[^{}]*\})*\}|[|\s]")
_COLUMN = re.compile(r"([A-Za-z])(?:\s*\[[^\]]*\])?((?:\s*\{[^{}]*\})*)")
_SIDE_BY_SIDE = re.compile(
    r"\\begin\{minipage\}(?:\[[^\]]*\])*\{[^{}]*\}(?P<body>.*?)\\end\{minipage\}%?", re.S
)
_CAPTION = re.compile(r"\\caption\*?\s*(?:\[[^\]]*\])?\s*(?=\{)")
# Tables of packages that pandoc does not know, by those that it does and are written alike.
_TABULARS = {"tabu": "tabular", "longtabu": "longtable", "NiceTabular": "tabular",
             "tabulary": "tabularx", "xltabular": "tabularx", "tabularray": "tabular"}  # fmt: skip
_TABULAR = re.compile(
    rf"\\(begin|end)\{{({'|'.join(_TABULARS)})(\*?)\}}(?:\s*(?:to|spread)\s*[^{{}}\n]*?(?=\{{))?"
)
_TBLR = re.compile(r"\\begin\{(?P<name>(?:long|tall)?tblr)\}(?P<body>.*?)\\end\{(?P=name)\}", re.S)
_NOT_SHOWN = re.compile(
    r"\\(?:index|sindex|label|ref|eqref|pageref|autoref|nameref|cref|Cref|cite\w*|includegraphics|hypersetup"
    r"|markboth|addcontentsline|bookmark|pdfbookmark|bibitem|graphicspath|ctexset|title|author|date"
    r"|subtitle|institute|gls\w*)\*?\s*(?:\[[^\]]*\])*\s*(?:\{(?:[^{}]|\{[^{}]*\})*\})+"
)


def of_packages(body: str, own: set[str]) -> list[str]:
    """Definitions of what packages bring, as far as a book has none of its own."""
    made = [f"\\newcommand{{\\{name}}}{{{word}}}" for name, word in _LOGOS.items()]
    made += [
        r"\newcommand{\captionof}[2]{\par #2\par}",
        r"\newcommand{\subfloat}[2][]{#2 #1}",
        r"\newcommand{\hologo}[1]{#1}",
    ]
    if r"\begin{algorithmic}" in body:
        made += _one_by_one(_PSEUDO)
    elif re.search(r"\\begin\{algorithm\w*\*?\}", body):
        made += _one_by_one(_PSEUDO_2E)
    return [
        each
        for each in made
        if (name := re.search(r"\\[A-Za-z]+\}", each)) and name.group()[:-1] not in own
    ]


def _one_by_one(definitions: str) -> list[str]:
    return re.split(r"\s*(?=\\newcommand)", definitions.strip())[1:]


def cleaned(body: str) -> str:
    """Labels with options, floats that pandoc knows by another name, captions without a table."""
    body = re.sub(r"\\label\s*\[[^\]]*\]", r"\\label", body)
    body = re.sub(r"\\(?:noindent|indent)(?![A-Za-z])\s*", "", body)
    body = _ABSTRACT.sub(_abstract, body)
    body = re.sub(r"\\char`\\\\|\\char92 ?", r"\\textbackslash ", body)
    body = re.sub(
        r"(\\begin\{tabulary\}\{[^{}]*\}\{)([^{}]*)",
        lambda m: m[1] + m[2].lower().replace("j", "l"),
        body,
    )
    body = _two_captions(body)
    body = _TBLR.sub(_tblr, body)
    body = _TABULAR.sub(lambda m: f"\\{m[1]}{{{_TABULARS[m[2]]}}}", body)
    body = re.sub(r"\\cmidrule\s*(?:\[[^\]]*\]|\([^)]*\))*\s*\{[^{}]*\}", "", body)
    body = re.sub(
        r"(\\multirow(?:\[[^\]]*\])?\{[^{}]*\}(?:\[[^\]]*\])?)\*(?=\s*\{)", r"\1{*}", body
    )
    body = _known_columns(_LONG.sub(_one_head, body))
    body = _FLOAT.sub(_float, body)
    parts = _CAPTIONED.split(body)  # odd ones are floats, which take their caption with them
    return "".join(
        part if number % 2 else _CAPTION.sub(lambda m: r"\captionof{x}", part)
        for number, part in enumerate(parts)
    )


def _abstract(found: re.Match[str]) -> str:
    title = "摘要" if re.search(f"[{CJK}]{{4}}", found["body"]) else "Abstract"
    return f"\n\n\\section*{{{title}}}\n\n{found['body'].strip()}\n\n"


def _two_captions(body: str) -> str:
    r"""\bicaption{中文}{English} as one caption with both."""
    out, place = [], 0
    for found in re.finditer(r"\\bicaption\*?(?=\s*[\[{])", body):
        given, end = arguments(body, found.end())
        titles = [content.strip() for sign, content in given if sign == "{"]
        if found.start() < place or len(titles) < 2:
            continue
        out += [body[place : found.start()], f"\\caption{{{' '.join(titles)}}}"]
        place = end
    return "".join([*out, body[place:]])


def _one_head(found: re.Match[str]) -> str:
    """A long table without the head and foot of the pages that it goes on to."""
    *parts, rows = re.split(r"\\end(firsthead|head|foot|lastfoot)(?![a-z])", found[0])
    named = dict(zip(parts[1::2], parts[::2], strict=True))
    if "firsthead" in named:
        named.pop("head", None)
    named.pop("foot", None)
    return "".join([*named.values(), rows])


def _known_columns(body: str) -> str:
    """Columns of packages and the book's own (S, Y, L{2cm}) as l: one of them costs the table.

    >{…} goes: pandoc sets it before each cell, and its last command takes the cell's first word.
    """
    out, place = [], 0
    for found in _COLUMNS.finditer(body):
        given, end = arguments(body, found.end())
        if not given or found.start() < place:
            continue
        spec = given[-1][1]
        plain = _DRESS.sub("", _REPEATED.sub(lambda m: m[2] * int(m[1]), spec))
        columns = _COLUMN.findall(plain)
        ours = any(sign in spec for sign in "<>") or any(n not in "lcrpmbX" for n, _ in columns)
        if not ours or _COLUMN.sub("", plain):  # something else stands there: not ours to guess
            continue
        known = "".join(n + width if n in "lcrpmbX" else "l" for n, width in columns)
        start = body.rindex(spec, found.end(), end)
        out += [body[place:start], known]
        place = start + len(spec)
    return "".join([*out, body[place:]])


def _tblr(found: re.Match[str]) -> str:
    """A table of tabularray, whose columns stand among keys: counted by its first row."""
    given, end = arguments(found["body"])
    body = found["body"][end:]
    columns = "l" * (len(re.findall(r"(?<!\\)&", body.split("\\\\")[0])) + 1)
    keys = " ".join(content for _, content in given)
    caption = re.search(r"caption\s*=\s*\{([^{}]*)\}", keys)
    title = f"\n\n{caption[1]}\n\n" if caption else ""
    return f"{title}\\begin{{tabular}}{{{columns}}}{body}\\end{{tabular}}"


def _float(found: re.Match[str]) -> str:
    name, body = found["name"], found["body"]
    table = "table" in name.lower()
    if not table and len(_CAPTION.findall(body)) > 1:  # pandoc keeps one caption of a figure
        body = _SIDE_BY_SIDE.sub(_own_figure, body)
        if "\\begin{figure}" in body:
            return f"\n\n{body}\n\n"
    if not table and "\\includegraphics" in body and not _TABLE.search(body):
        return f"\\begin{{figure}}{body}\\end{{figure}}"
    if table and _TABLE.search(body):
        return f"\\begin{{table}}{body}\\end{{table}}"
    if (
        not table
        and _DRAWN.search(body)
        and not without_drawings(_CAPTION.sub("", body)).strip(" \n")
    ):
        return f"\\begin{{figure}}{body}\\end{{figure}}"
    # pandoc hangs a caption on a table or picture, and loses it where it finds none.
    return "\n\n" + _CAPTION.sub(lambda m: "\\par\\captionof{x}", body) + "\n\n"


def _own_figure(found: re.Match[str]) -> str:
    body = found["body"]
    return f"\n\n\\begin{{figure}}{body}\\end{{figure}}\n\n" if _CAPTION.search(body) else found[0]


def without_drawings(text: str) -> str:
    """The text without pictures drawn by code."""
    return _DRAWN.sub(" ", text)


def shown_source(body: str) -> str:
    """A book's source without what no reader sees: labels, entries of the index, drawings."""
    return _NOT_SHOWN.sub(" ", without_drawings(body))
