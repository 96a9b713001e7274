"""Markdown as MyST, Sphinx and d2l-book extend it → plain Markdown with math.

Code is left alone. Roles become the words that a reader sees, directives their content, tabs of
several frameworks comments that `data/sections.py` makes sections of.
"""

import re
from collections.abc import Iterator

from data.containers import ids_of, listings, opened
from data.front_matter import titled
from data.inline_html import without_html

_FENCE = re.compile(r"^( {0,3})(`{3,}|~{3,}|:{3,})\s*(.*)$")
_DIRECTIVE = re.compile(r"^\{([\w:.-]+)\}\s*(.*)$")
_OPTION = re.compile(r"^:[\w-]+:.*$")
# "`{numref}` 角色，用 `x`" names a role: what is behind it is no text of one.
_ROLE = re.compile(r"(?<!`)(?::|\{)([A-Za-z][\w:.+-]{0,60}?)(?::|\})`([^`\n]+)`")
_LABEL = re.compile(r"^\s*:(label|width|height|eqlabel|alias|numref)?:`[^`\n]*`\s*$")
_LABELLED = re.compile(
    r"(?m)^(#{1,6} .*\S|!\[[^\]]*\]\([^)\n]*\))[^\S\n]*\n(?:[^\S\n]*\n)?:label:`([^`\n]+)`"
)
_TARGET = re.compile(r"(?m)^\(([\w:.-]+)\)=[ \t]*\n\s*#{1,6} +(.+?)(?:[ \t]+#+)?$")  # of MyST
_TAB = re.compile(r"^:begin_tab:`?([^`\n]*)`?\s*$")
_TAB_END = re.compile(r"^:end_tab:\s*$")
_LIST_TABLE = re.compile(
    r"^[ ]{0,3}(`{3,}|:{3,})\{list-table\}[ ]*([^\n]*)\n(.*?)^[ ]{0,3}\1[ ]*$", re.M | re.S
)
_FIGURE = re.compile(
    r"^[ ]{0,3}(`{3,}|:{3,})\{figure\}[ ]*(\S+)[ ]*\n(.*?)^[ ]{0,3}\1[ ]*$", re.M | re.S
)
# These end where the same opens anew: else each of many openings would look for an end through
# the whole text. "\\[2pt]" within a formula opens none.
_INLINE = re.compile(r"\\\(((?:(?!(?<!\\)\\\().)+?)\\\)")
_DISPLAY = re.compile(r"\\\[((?:(?!(?<!\\)\\\[).)+?)\\\]", re.S)
_ENVIRONMENT = re.compile(
    r"^[ ]*(\\begin\{(equation|align|gather|multline|eqnarray)(\*?)\}"
    r"(?:(?!\\begin\{\2\3\}).)*?\\end\{\2\3\})[ ]*$",
    re.M | re.S,
)
_CODE_TAB = re.compile(r"^\s*#@(tab|save|hide)\s*(.*)$")
_HIGHLIGHT = re.compile(
    r"\[\s*(\*\*|~~)((?:(?!\[\s*\1).)+?)\1\s*\](?![(\[])"
    r"|\(\s*(\*\*|~~)((?:(?!\(\s*\3).)+?)\3\s*\)",
    re.S,
)
# Behind a picture, a link or code: {width=50%}, {.class #id}, {:target="_blank"}.
_ATTRIBUTES = re.compile(
    r"(\]\([^()\[\]\n]{0,2000}\))\{:?[ \t]*"
    r"(?:(?:[.#][\w-]+|[\w-]+=(?:\"[^\"\n{}]*\"|'[^'\n{}]*'|[\w%./-]+))[ \t]*)+\}"
)
_CODE_SPAN = re.compile(r"(`+[^`\n]*`+)")
_UNSEEN = re.compile(r"\\index\{[^{}\n]*\}|<\?code-excerpt[^<>\n]*\?>")
_NAMES = {
    "mxnet": "MXNet", "pytorch": "PyTorch", "tensorflow": "TensorFlow", "paddle": "Paddle",
    "jax": "JAX", "numpy": "NumPy", "keras": "Keras",
}  # fmt: skip
_KINDS = (
    (("fig", "img"), "图"),
    (("eq",), "公式"),
    (("tab", "tbl"), "表"),
    (("sec", "subsec"), "节"),
    (("chap", "ch"), "章"),
)
_REFERENCES = {"numref", "ref", "eqref", "doc", "any", "prf:ref", "cref"}
_INCLUDE = re.compile(
    r"""(?m)^[ \t]*-+8<-+[ \t]+["']([^"'\n]+)["']"""
    r"|\{\{\s*#(?:include|playground|rustdoc_include)\s+([^\s}]+)"
    r"|^[ \t]*(?:`{3,}|:{3,})\{(?:include|literalinclude)\}[ \t]*(\S+)"
    r"|^[ \t]*\{\*[ \t]*(\S+)[^}\n]*\*\}[ \t]*$"
    r"|^[ \t]*\{!>?[ \t]*(\S+?)[ \t]*!\}"
    r"|\{\{<[ \t]*include[ \t]+(\S+)[ \t]*>\}\}"
    r"|^[ \t]*<<<[ \t]+(\S*[./]\S*)|^[ \t]*@\[code[^\]\n]*\]\(([^)\n]+)\)"
    r"|^[ \t]*<!--[ \t]*@include:[ \t]*(\S+)|^\{%[ \t]*include_code[ \t]+([^%\n]+?)[ \t]*%\}"
)
_CITATIONS = re.compile(r"cite([:_-]?\w+)?|citet|citep|footcite|footnote|bibliography|index")
_CODE_DIRECTIVES = {
    "code",
    "code-block",
    "code-cell",
    "sourcecode",
    "literalinclude",
}
# Languages of code cells of Quarto and R Markdown: ```{r}.
_ENGINES = {"r", "julia", "python", "python3", "ipython", "ipython3", "bash", "sh", "zsh", "shell",
            "sql", "stan", "rcpp", "ojs", "js", "javascript", "node", "css", "html", "c", "cpp",
            "fortran", "go", "perl", "ruby", "octave", "matlab", "sas", "awk", "sed", "cat", "text",
            "verbatim", "haskell", "scala", "rust", "java", "powershell", "cmd", "tikz", "dot",
            "mermaid", "graphviz", "latex", "yaml", "json", "toml"}  # fmt: skip
_UNSHOWN = {"index", "toctree", "tableofcontents", "bibliography", "contents", "raw", "eval-rst"}
_ADMONITIONS = {"note", "tip", "warning", "important", "hint", "caution", "attention", "danger",
                "error", "admonition", "seealso", "prf:theorem", "prf:definition", "prf:lemma",
                "prf:proof", "prf:example", "prf:remark", "exercise", "solution", "sidebar",
                "margin", "topic", "dropdown", "card", "epigraph", "div"}  # fmt: skip


def plain_markdown(text: str) -> str:
    """The text without the extensions; the same text where it has none."""
    ids = ids_of(text)
    text = listings(titled(text))
    if "(data:" in text:  # pictures within the page: megabytes that are no words
        text = re.sub(r"(!\[[^\]\n]*\]\(<?data:image/)[^)\n]*\)", r"\1png;base64,)", text)
    if re.search(r"(?m)^[ \t]*(`{3,}|:{3,})\{|\}`", text):  # MyST
        text = _LIST_TABLE.sub(_pipe_table, text)
        text = _FIGURE.sub(_image, text)
        text = re.sub(r"(?m)^%(?: .*)?$", "", text)
    titles = {m.group(2): m.group(1).lstrip("#! ") for m in _LABELLED.finditer(text)}
    titles |= {m.group(1): m.group(2).strip() for m in _TARGET.finditer(text)}
    d2l = any(mark in text for mark in (":label:", ":numref:", ":begin_tab:"))  # d2l-book's
    out: list[str] = []
    prose: list[str] = []
    for line, code in _lines(text):
        if code:
            if prose:
                out.append(_prose("\n".join(prose), titles, d2l))
                prose = []
            out.append(line)
        else:
            prose.append(line)
    if prose:
        out.append(_prose("\n".join(prose), titles, d2l))
    return without_html(opened("\n".join(out), ids))


def included(text: str) -> list[str]:
    """Names of other files whose text stands here when the book is built: MkDocs snippets, mdBook
    and MyST includes."""
    return [next(filter(None, found.groups())) for found in _INCLUDE.finditer(text)]


def _pipe_table(found: re.Match[str]) -> str:
    """A list-table as a table of Markdown."""
    rows: list[list[str]] = []
    for line in found.group(3).split("\n"):
        cell = re.match(r"^\s*(\*\s+-|-)(?:\s+(.*))?$", line)
        if cell and cell.group(1).startswith("*"):
            rows.append([])
        if cell and rows:
            rows[-1].append((cell.group(2) or "").strip())
        elif rows and rows[-1] and line.strip():
            rows[-1][-1] = f"{rows[-1][-1]} {line.strip()}".strip()
    if not rows:
        return found.group()
    width = max(map(len, rows))
    shown = ["| " + " | ".join(row + [""] * (width - len(row))) + " |" for row in rows]
    title = f"\n{found.group(2).strip()}\n" if found.group(2).strip() else ""
    return "\n".join([title, shown[0], "|" + " --- |" * width, *shown[1:], ""])


def _image(found: re.Match[str]) -> str:
    """A figure with its caption as an image; a legend below the caption stays."""
    words = [line for line in found.group(3).split("\n") if not _OPTION.match(line.strip())]
    caption, _, legend = "\n".join(words).strip().partition("\n\n")
    joined = re.sub(r"\s+", " ", caption).replace("[", "").replace("]", "")
    return f"\n![{joined}]({found.group(2).strip()})\n\n{legend}\n"


def _lines(text: str) -> Iterator[tuple[str, bool]]:
    """Each line and whether it is code; directives are opened on the way."""
    stack: list[tuple[str, str]] = []  # (closing mark, what its end becomes)
    fence, head = "", False
    options: list[str] = []
    for line in text.split("\n"):
        found = _FENCE.match(line)
        if fence:
            if found and found.group(2).startswith(fence) and not found.group(3):
                fence = ""
                yield line, True
                for shown in _captions(options):
                    yield shown, False
                options = []
            elif head and _OPTION.match(line.strip()):
                continue
            elif (tab := _CODE_TAB.match(line)) is not None:
                if tab.group(1) == "tab":
                    names = (_framework(n) for n in re.split(r"[,\s]+", tab.group(2)) if n)
                    yield f"# {', '.join(names)}", True
            elif re.match(r"\s*(?:#|//|--)\|\s+(?:[\w.-]+:|- )", line):  # options of a Quarto cell
                options.append(line)
            else:
                head = False
                yield line, True
            continue
        if found and stack and found.group(2) == stack[-1][0] and not found.group(3):
            yield stack.pop()[1], False
            head = False
            continue
        if head and (_OPTION.match(line.strip()) or line.strip() == "---"):
            continue
        head = False
        if not found:
            yield line, False
            continue
        mark, info = found.group(2), found.group(3).strip()
        directive = _DIRECTIVE.match(info)
        if directive is None or directive.group(1).startswith("."):
            if mark[0] == ":":
                yield line, False
                continue
            fence = mark
            # "[npm]": the tab's name in a code group of VitePress
            tab = re.search(r"\s*\[[^\[\]]+\]\s*$", info)
            yield f"{found.group(1)}{mark}{_language(info)}{tab.group() if tab else ''}", True
            continue
        name, rest = directive.group(1).lower(), directive.group(2).strip()
        head = True
        if name in _CODE_DIRECTIVES | _ENGINES:
            fence = mark
            language = name if name in _ENGINES else _language(rest)
            yield f"{found.group(1)}{mark if mark[0] != ':' else '```'}{language}", True
        elif name in ("math",):
            stack.append((mark, "$$"))
            yield "$$" + (f"\n{rest}" if rest else ""), False
        elif name in ("figure", "image"):
            stack.append((mark, ""))
            yield f"![]({rest.split()[0] if rest else ''})\n", False
        elif name in _ADMONITIONS or name in ("tab-set", "tab-item", "table", "list-table"):
            stack.append((mark, "<!-- /tab -->\n" if name == "tab-item" else ""))
            if name == "tab-item":
                yield f"\n<!-- tab: {_framework(rest)} -->\n", False
            elif rest:
                yield f"\n**{rest}**\n", False
        elif name in _UNSHOWN:
            stack.append((mark, ""))
        else:
            stack.append((mark, ""))
            if rest:
                yield rest, False


def _captions(options: list[str]) -> Iterator[str]:
    """What the options of a Quarto cell have printed below its figures and tables."""
    name, label = "", ""
    for line in options:
        _, key, said = re.split(r"\|\s+(?:([\w.-]+):|-)\s*", line, maxsplit=1)
        name = key or name
        said = said.strip().strip("\"'").strip()
        if name == "label":
            label = said
        elif said and name in ("fig-cap", "fig-subcap", "fig.cap") and said not in "|>|->-":
            yield f"\n![{said}]({label})\n"
        elif said and name in ("tbl-cap", "lst-cap", "tab.cap") and said not in "|>|->-":
            yield f"\n{said}\n"


def _language(info: str) -> str:
    """```{.python .input} and ``` python {linenos=on} name a language."""
    found = re.search(r"\.?([A-Za-z][\w+#-]*)", info)
    return found.group(1) if found else ""


def _framework(name: str) -> str:
    name = name.strip()
    return _NAMES.get(name.lower(), name)


def _prose(text: str, titles: dict[str, str], d2l: bool) -> str:
    if not re.search(r"[:{][\w.# :]|<\?code|\[\*\*|\(\*\*|\[~~|\(~~|\\[(\[]|\\begin", text):
        return text
    text = "\n".join(map(_without_marks, text.split("\n")))
    lines = []
    for line in text.split("\n"):
        if _LABEL.match(line) or re.fullmatch(
            r"\([\w:.-]+\)=|:(?:begin|end)_table:|:bibliography:`[^`]*`", line.strip()
        ):
            continue
        if tab := _TAB.match(line):
            names = ", ".join(_framework(n) for n in re.split(r"[,\s]+", tab.group(1)) if n)
            line = f"\n<!-- tab: {names} -->\n"
        elif _TAB_END.match(line):
            line = "\n<!-- /tab -->\n"
        lines.append(line)
    text = "\n".join(lines)
    if d2l:
        text = _HIGHLIGHT.sub(lambda m: m.group(2) or m.group(4), text)
    # "如 :numref:`fig`中": the blank before a role belongs to the role.
    text = re.sub(
        r"(?<=[\u3400-\u9fff，。（]) (?=(?::|\{)[A-Za-z][\w:.+-]{0,60}?(?::|\})`)", "", text
    )
    text = _ROLE.sub(lambda m: shown_role(m.group(1), m.group(2), titles), text)
    if "\\begin{" in text:
        text = _displayed(text)
    text = _INLINE.sub(r"$\1$", text)
    text = _DISPLAY.sub(r"$$\1$$", text)
    return re.sub(r"(?<![ \t])[ \t]+([，。；：、！？])", r"\1", text)


def _without_marks(line: str) -> str:
    """A line without lists of attributes and entries of an index; code says what it says."""
    if line.startswith(("    ", "\t")) or not re.search(r"\{|<\?code", line):
        return line
    parts = _CODE_SPAN.split(line)
    for number in range(0, len(parts), 2):
        part = re.sub(r"^\{\.[\w-]+\}", "", parts[number]) if number else parts[number]
        parts[number] = _UNSEEN.sub("", _ATTRIBUTES.sub(r"\1", part))
    return "".join(parts)


def _displayed(text: str) -> str:
    """Equations of LaTeX that stand without dollar signs get them."""

    counted = marks = 0

    def put(found: re.Match[str]) -> str:
        nonlocal counted, marks
        marks += text[counted : found.start()].count("$$")
        counted = found.start()
        return found.group() if marks % 2 else f"\n$$\n{found.group(1)}\n$$\n"

    return _ENVIRONMENT.sub(put, text)


def shown_role(name: str, body: str, titles: dict[str, str]) -> str:
    """A role of Sphinx or MyST as a reader sees it, in Markdown; `titles` by label."""
    name = name.lower()
    if name == "math":
        return f"${body}$"
    if name in ("label", "eqlabel", "width", "height", "alias") or _CITATIONS.fullmatch(name):
        return ""
    text = re.match(r"^(.*?)\s*<[^<>]+>$", body, re.S)
    if text and text.group(1):
        return re.sub(r"\s*(%s|\{number\}|\{name\})", "", text.group(1))
    if name in ("eq", "eqref"):
        return "公式"
    if name in _REFERENCES:
        return _reference(body, titles)
    if name in ("sub", "sup") and re.fullmatch(r"[A-Za-z0-9+-]{1,8}", body):
        sign = "_" if name == "sub" else "^"
        return f"{sign}{body}" if len(body) == 1 else f"{sign}{{{body}}}"
    if name in ("term", "abbr", "sub", "sup", "dfn", "guilabel", "menuselection"):
        return body
    if ":" in name or name in (
        "func", "class", "meth", "mod", "attr", "obj", "data", "exc", "const", "type", "file",
        "code", "command", "option", "envvar", "program", "samp", "kbd", "keyword", "macro",
        "member",
    ):  # fmt: skip
        shown = body.rsplit(".", 1)[-1] if body.startswith("~") else body
        return f"`{shown.lstrip('~!')}`"
    return body


def _reference(label: str, titles: dict[str, str]) -> str:
    """What a reference says: the title that its label stands under, else the kind of thing."""
    title = re.sub(r"^\[|\]\(.*$", "", titles.get(label, "")).strip()
    title = re.split(r"[。；，（(]", title)[0] if len(title) > 20 else title
    kind = kind_of_label(label)
    if not title or len(title) > 40:
        return f"另一{kind}" if kind in ("节", "章") and not title else kind or "另一处"
    if kind == "图":
        return f"图“{title}”"
    return f"“{title}”{'一' if kind in ('节', '章') else ''}{kind}"


def kind_of_label(label: str) -> str:
    """What a label is of, by its prefix: "fig:a" is 图; "" where it does not say."""
    prefix = re.split(r"[_:\-]", label.strip().lower())[0]
    return next((word for starts, word in _KINDS if prefix in starts), "")
