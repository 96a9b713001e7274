r"""What LaTeX's packages define and pandoc does not know, in words that it knows."""

import re

from data.markup.latex_macros import arguments

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
        r"\newcommand{\bicaption}[2]{\caption{#1}}",
        r"\newcommand{\hologo}[1]{#1}",
    ]
    if r"\begin{algorithmic}" in body:
        made += _PSEUDO.strip().split("\n")
    return [
        each
        for each in made
        if (name := re.search(r"\\[A-Za-z]+\}", each)) and name.group()[:-1] not in own
    ]


def cleaned(body: str) -> str:
    """Labels with options, floats that pandoc knows by another name, captions without a table."""
    body = re.sub(r"\\label\s*\[[^\]]*\]", r"\\label", body)
    body = re.sub(r"\\(?:noindent|indent)(?![A-Za-z])\s*", "", body)
    body = re.sub(r"\\char`\\\\|\\char92 ?", r"\\textbackslash ", body)
    body = re.sub(
        r"(\\begin\{tabulary\}\{[^{}]*\}\{)([^{}]*)",
        lambda m: m[1] + m[2].lower().replace("j", "l"),
        body,
    )
    body = _TBLR.sub(_tblr, body)
    body = _TABULAR.sub(lambda m: f"\\{m[1]}{{{_TABULARS[m[2]]}}}", body)
    body = _FLOAT.sub(_float, body)
    parts = _CAPTIONED.split(body)  # odd ones are floats, which take their caption with them
    return "".join(
        part if number % 2 else _CAPTION.sub(lambda m: r"\captionof{x}", part)
        for number, part in enumerate(parts)
    )


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


def without_drawings(text: str) -> str:
    """The text without pictures drawn by code."""
    return _DRAWN.sub(" ", text)


def shown_source(body: str) -> str:
    """A book's source without what no reader sees: labels, entries of the index, drawings."""
    return _NOT_SHOWN.sub(" ", without_drawings(body))
