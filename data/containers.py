"""Containers of MkDocs, VitePress, GitBook, Hugo and Docusaurus → plain Markdown.

Boxes keep their title and text, tabs become the comments that `data/sections.py` makes sections
of; what only steers the site goes. Code is left alone.
"""

import re
from collections.abc import Iterator, Set

from data.inline_html import CODE_SPAN

_FENCE = re.compile(r"^\s*(`{3,}|~{3,})")
_INDENTED = re.compile(r'^( *)(===|!!!|\?\?\?\+?)\s+(?:([\w-]+)(?=\s|$))?[^"]*(?:"(.*)")?\s*$')
_COLONS = re.compile(r"^\s*:{3,}\s*(?:([\w-]+)\s*(.*))?$")
_DIV = re.compile(r"^\s*:{3,}\s*\{([.#][^{}]*)\}\s*:*\s*$")
_DIV_TITLE = re.compile(r"""\btitle\s*=\s*["']([^"']+)["']""")
_CALLOUT = re.compile(r"^(\s*>\s*)\[![A-Za-z]+\][+-]?\s*(.*?)\s*$")  # of GitHub and Obsidian
_CITED = re.compile(r"\s?\[-?@(?=[\w:.-]*\d)[\w:.-]+(?:[;,][^\[\]\n]*)?\](?!\()")
_CROSS = re.compile(r"(?<![\w@/.])@((?:fig|tbl|tab|sec|eq|lst|thm|lem|def|exm)-[\w-]+)")
_CROSS_KINDS = {"fig": "图", "tbl": "表", "tab": "表", "sec": "另一节", "eq": "公式", "lst": "代码",
                "thm": "定理", "lem": "引理", "def": "定义", "exm": "例"}  # fmt: skip
_BLOCKS = re.compile(r"^\s*/{3,}\s*(?:([\w-]+)\s*(?:\|\s*(.*))?)?$")
_GITBOOK = re.compile(r"\{%\s*(end)?(tabs?|hint|code|content-ref|embed|raw)\b([^%]*)%\}")
_HEXO = re.compile(
    r"\{%\s*(end)?(note|asset_img|img|cq|quote|fold|centerquote|post_link)\b"
    r"\s*([^%]*?)\s*%\}"
)
_LISTING = re.compile(
    r"(?m)^[ \t]*\{%-?[ \t]*(end)?(?:codeblock|highlight)\b[ \t]*([^%\n]*?)[ \t]*-?%\}[ \t]*$"
)
_HUGO = re.compile(r"\{\{[<%]\s*(/?)\s*([\w/-]*)([^{}]*?)/?[>%]\}\}")
_JSX = re.compile(r"<(/?)(TabItem|Tabs|CodeGroup|CodeGroupItem|Tab)\b([^>]*)>")
_IMPORT = re.compile(r"^import\s.+from\s+['\"](?:@|\.)[^'\"]*['\"];?\s*$")
_TITLE = re.compile(
    r"""(?:label|title|header|name|tabName)\s*=\s*["']([^"']+)|^\s*["']([^"']+)["']\s*$"""
)
_NOTE_MARK = re.compile(r"(?<=\S)\[\^[^\]\s]{1,30}\](?!:)")
_NOTE_TEXT = re.compile(r"^\[\^[^\]\s]{1,30}\]:\s*")
# "%% … %%" of Obsidian; not %%time (IPython), 50%% (printf) or cells of a table.
_COMMENT_LINE = re.compile(r"\s*%%[^%\n]+%%\s*")
_COMMENT = re.compile(r"(?<!\S)%%\s[^%|\n]+\s%%(?!\S)")
# Attributes of pandoc, Quarto and kramdown, where only they can stand: "a[i]{.size}" is code.
_SPAN = re.compile(r"(?<![A-Za-z0-9_)\]!])\[([^\[\]\n]+)\]\{[.#][^{}\n]*\}")
_LINK_ATTRIBUTES = re.compile(
    r"(\]\((?:[^()\n]|\([^()\n]*\))*\)|(?<![A-Za-z0-9_)\]])\[[^\[\]\n]+\]\[[^\[\]\n]*\])"
    r"\{(?::\s|[.#:])[^{}\n]*\}"
)
_CODE_ATTRIBUTES = re.compile(r"^\{\.[A-Za-z][^{}\n]*\}")
# Where an id is given: {#fig-a}, "#| label: fig-a" and {r fig-a} of a cell, id="fig-a", (sec-a)=.
_ID = re.compile(
    r"""\{[^{}\n]*#([\w:.-]+)|^[ \t]*#\|\s*label:\s*["']?([\w:.-]+)"""
    r"""|^[ \t]*`{3,}\{r[ ,]+([\w:.-]+)|\bid=["']([\w:.-]+)["']|^\(([\w:.-]+)\)=""",
    re.M,
)
_AT_TAB = re.compile(r"^\s*@tab(?::active)?\s+(\S.*?)\s*$")
_NAMED = re.compile(r"\s*\[([^\[\]]+)\]\s*$")
_OPEN, _CLOSE = "\n<!-- tab: {} -->\n", "\n<!-- /tab -->\n"


def listings(text: str) -> str:
    """The text with the listing tags of Hexo and Jekyll as fences."""

    def fence(found: re.Match[str]) -> str:
        end, rest = found.groups()
        language = re.search(r"lang:([\w+#-]+)|^([\w+#-]+)", rest)
        return "```" if end else f"```{next(filter(None, language.groups())) if language else ''}"

    return _LISTING.sub(fence, text) if "{%" in text else text


def ids_of(text: str) -> set[str]:
    """The ids that a page gives to its figures, tables, sections and so on."""
    return {next(filter(None, found.groups())) for found in _ID.finditer(text)}


def opened(text: str, ids: Set[str] = frozenset()) -> str:
    """The text with its containers opened; the same text where it has none.

    ids: those of the page; cross references to them are read, other words with an @ stay.
    """
    return "\n".join(_opened(text.split("\n"), ids))


def _opened(lines: list[str], ids: Set[str]) -> Iterator[str]:
    fence = ""
    position = 0
    open_blocks: list[str] = []
    group = tab_open = at_tab = False
    while position < len(lines):
        line = lines[position]
        position += 1
        mark = _FENCE.match(line)
        if fence:
            fence = "" if mark and line.strip() == mark.group(1) >= fence else fence
            yield line
            if not fence and tab_open:
                yield _CLOSE
                tab_open = False
            continue
        if mark:
            fence = mark.group(1)
            named = _NAMED.search(line)
            if named and group:
                yield _OPEN.format(named.group(1))
                line = line[: named.start()]
                tab_open = True
            yield line
            continue
        if colons := _COLONS.match(line):
            # "@tab NAME" (VuePress) and named fences (VitePress) begin the tabs of these.
            if at_tab:
                yield _CLOSE
                at_tab = False
            group = colons.group(1) in ("code-group", "code-tabs", "tabs")
        if group and (named := _AT_TAB.match(line)):
            yield (_CLOSE if at_tab else "") + _OPEN.format(named.group(1))
            at_tab = True
            continue
        box = _INDENTED.match(line)
        if box and (box.group(2) != "===" or box.group(4)):
            end = _block_end(lines, position, len(box.group(1)))
            if end > position:
                room = len(box.group(1)) + 4
                inside = list(_opened([each[room:] for each in lines[position:end]], ids))
                yield from _box(box, inside)
                position = end
                continue
            if box.group(2) != "===":  # a box of a title only
                yield f"{box.group(1)}**{box.group(4)}**" if box.group(4) else ""
                continue
        yield from _plain(line, open_blocks, ids)


def _block_end(lines: list[str], start: int, indent: int) -> int:
    """The first line after the block indented below line `start` - 1."""
    end = start
    for number in range(start, len(lines)):
        if not lines[number].strip():
            continue
        if not lines[number].startswith(" " * (indent + 4)):
            break
        end = number + 1
    return end


def _box(box: re.Match[str], inside: list[str]) -> Iterator[str]:
    indent, kind, _, title = box.groups()
    tab = kind == "==="
    if tab:
        yield _OPEN.format(title)
    elif title:
        yield f"\n{indent}**{title}**\n"
    yield ""
    yield from (indent + line if line else line for line in inside)
    yield _CLOSE if tab else ""


def _plain(line: str, open_blocks: list[str], ids: Set[str]) -> Iterator[str]:
    divided = _DIV.match(line)
    if divided:  # of pandoc and Quarto
        titled = _DIV_TITLE.search(divided.group(1))
        yield f"\n**{titled.group(1)}**\n" if titled else ""
        return
    noted = _CALLOUT.match(line)
    if noted:
        yield f"{noted.group(1)}**{noted.group(2)}**" if noted.group(2) else ""
        return
    colons = _COLONS.match(line)
    if colons:
        title = colons.group(2)
        yield f"\n**{title.strip()}**\n" if title and not title.startswith("{") else ""
        return
    block = _BLOCKS.match(line)
    if block:
        kind, title = block.group(1), (block.group(2) or "").strip()
        stack = open_blocks
        if not kind:
            yield _CLOSE if stack and stack.pop() == "tab" else ""
            return
        stack.append(kind)
        yield _OPEN.format(title) if kind == "tab" else f"\n**{title}**\n" if title else ""
        return
    if _IMPORT.match(line) or re.fullmatch(
        r"\s*\[TOC\]\s*|\+\+\+.*|\s*\{\*.*\*\}\s*|\s*<<< \S.*", line
    ):
        yield ""
        return
    if re.match(r"#{1,6} ", line):
        line = re.sub(r"\s*\{[#.][^{}]*\}\s*$", "", line)
    if _COMMENT_LINE.fullmatch(line):
        yield ""
        return
    # Odd pieces are code spans.
    parts = CODE_SPAN.split(line)
    for number in range(2, len(parts), 2):
        parts[number] = _CODE_ATTRIBUTES.sub("", parts[number])
    yield "".join(part if number % 2 else _inline(part, ids) for number, part in enumerate(parts))


def _inline(text: str, ids: Set[str]) -> str:
    if "{%" in text:
        text = _HEXO.sub(_hexo, text)
        text = _GITBOOK.sub(lambda m: _tab(m.group(2) == "tab", m.group(1), m.group(3)), text)
    if "{{" in text:
        text = _HUGO.sub(_shortcode, text)
    if "<" in text:
        is_tab = ("TabItem", "Tab", "CodeGroupItem")
        text = _JSX.sub(lambda m: _tab(m.group(2) in is_tab, m.group(1), m.group(3)), text)
    if "@" in text:
        text = _CITED.sub("", text)
        text = _CROSS.sub(lambda m: _cross(m, ids), text)
    if "%%" in text:
        text = _COMMENT.sub("", text)
    if "[" in text:
        text = _SPAN.sub(r"\1", text)
        text = re.sub(r"!\[\[([^\]|]+)(?:\|[^\]]*)?\]\]", r"![](\1)", text)
        text = re.sub(
            r"(?<![\w\[])\[\[(?:[^\[\]|]+\|)?([^\[\]|\d][^\[\]|]*)\]\](?!\()", r"\1", text
        )
        text = _LINK_ATTRIBUTES.sub(r"\1", text)
        text = _NOTE_TEXT.sub("> ", text)
        text = _NOTE_MARK.sub("", text)
    return re.sub(
        r"(?<![=A-Za-z0-9_])==(?=[^\s=])([^=\n]{1,80}?)(?<=[^\s=])==(?![=A-Za-z0-9_])", r"\1", text
    )


def _cross(found: re.Match[str], ids: Set[str]) -> str:
    """A cross reference by the kind of its target; Chinese goes on without a blank behind it."""
    name = found.group(1)
    label = name if name in ids else re.match(r"[\w-]+", name, re.ASCII).group()
    if label not in ids:
        return found.group()
    return _CROSS_KINDS[label.split("-")[0]] + name[len(label) :]


def _hexo(found: re.Match[str]) -> str:
    """Tags of Hexo: pictures, links; boxes go."""
    _, name, rest = found.groups()
    if name in ("asset_img", "img"):
        picture = re.search(r"(\S+\.\w+)((?:\s+\d+%?)*)\s*(.*)", rest)
        return f"![{picture.group(3).strip(chr(34))}]({picture.group(1)})" if picture else ""
    if name == "post_link":
        return re.sub(r"^\S+\s*", "", rest).strip("\"'")
    return ""


def _shortcode(found: re.Match[str]) -> str:
    """What a reader sees of a shortcode: a figure, a table's title; tabs as elsewhere."""
    closing, name, rest = found.groups()
    values = dict(re.findall(r"""([\w-]+)\s*=\s*["']([^"']*)["']""", rest))
    title = values.get("caption") or values.get("title") or ""
    if name == "figure" and "src" in values:
        return f"![{title}]({values['src']})"
    if name == "table" and title:
        return f"{title}\n"
    return _tab(name == "tab", closing, rest)


def _tab(tab: bool, closing: str | None, rest: str) -> str:
    if not tab:
        return ""
    if closing:
        return _CLOSE
    named = _TITLE.search(rest)
    return _OPEN.format(next(filter(None, named.groups()))) if named else ""
