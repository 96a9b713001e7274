"""Containers of MkDocs, VitePress, GitBook, Hugo and Docusaurus → plain Markdown.

Boxes keep their title and text, tabs become the comments that `data/sections.py` makes sections
of; what only steers the site goes. Code is left alone.
"""

import re
from collections.abc import Iterator

_FENCE = re.compile(r"^\s*(`{3,}|~{3,})")
_INDENTED = re.compile(r'^( *)(===|!!!|\?\?\?\+?)\s+(?:([\w-]+)(?=\s|$))?[^"]*(?:"([^"]*)")?\s*$')
_COLONS = re.compile(r"^\s*:{3,}\s*(?:([\w-]+)\s*(.*))?$")
_BOXES = {"tip", "note", "info", "warning", "danger", "caution", "details", "code-group", "tabs",
          "important", "success", "center", "abstract", "example", "question"}  # fmt: skip
_GITBOOK = re.compile(r"\{%\s*(end)?(tabs?|hint|code|content-ref|embed|raw)\b([^%]*)%\}")
_HUGO = re.compile(r"\{\{[<%]\s*(/?)\s*([\w/-]*)([^{}]*?)/?[>%]\}\}")
_JSX = re.compile(r"<(/?)(TabItem|Tabs|CodeGroup|CodeGroupItem|Tab)\b([^>]*)>")
_IMPORT = re.compile(r"^import\s.+from\s+['\"](?:@|\.)[^'\"]*['\"];?\s*$")
_TITLE = re.compile(
    r"""(?:label|title|header|name|tabName)\s*=\s*["']([^"']+)|^\s*["']([^"']+)["']\s*$"""
)
_NOTE_MARK = re.compile(r"(?<=\S)\[\^[^\]\s]{1,30}\](?!:)")
_NOTE_TEXT = re.compile(r"^\[\^[^\]\s]{1,30}\]:\s*")
_CODE_SPAN = re.compile(r"(`+[^`\n]+`+)")
_OPEN, _CLOSE = "\n<!-- tab: {} -->\n", "\n<!-- /tab -->\n"


def opened(text: str) -> str:
    """The text with its containers opened; the same text where it has none."""
    return "\n".join(_opened(text.split("\n")))


def _opened(lines: list[str]) -> Iterator[str]:
    fence = ""
    position = 0
    while position < len(lines):
        line = lines[position]
        position += 1
        mark = _FENCE.match(line)
        if fence:
            fence = "" if mark and line.strip() == mark.group(1) >= fence else fence
            yield line
            continue
        if mark:
            fence = mark.group(1)
            yield line
            continue
        box = _INDENTED.match(line)
        if box and (box.group(2) != "===" or box.group(4)):
            end = _block_end(lines, position, len(box.group(1)))
            if end > position:
                room = len(box.group(1)) + 4
                inside = list(_opened([each[room:] for each in lines[position:end]]))
                yield from _box(box, inside)
                position = end
                continue
        yield from _plain(line)


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


def _plain(line: str) -> Iterator[str]:
    colons = _COLONS.match(line)
    if colons and (not colons.group(1) or colons.group(1) in _BOXES):
        title = colons.group(2)
        yield f"\n**{title.strip()}**\n" if title and not title.startswith("{") else ""
        return
    if _IMPORT.match(line) or re.fullmatch(
        r"\s*\[TOC\]\s*|\+\+\+.*|\s*>\s*\[![A-Za-z]+\][+-]?", line
    ):
        yield ""
        return
    if re.match(r"#{1,6} ", line):
        line = re.sub(r"\s*\{[#.][^{}]*\}\s*$", "", line)
    # Odd pieces are code spans.
    parts = _CODE_SPAN.split(line)
    yield "".join(part if number % 2 else _inline(part) for number, part in enumerate(parts))


def _inline(text: str) -> str:
    if "{%" in text:
        text = _GITBOOK.sub(lambda m: _tab(m.group(2) == "tab", m.group(1), m.group(3)), text)
    if "{{" in text:
        text = _HUGO.sub(_shortcode, text)
    if "<" in text:
        is_tab = ("TabItem", "Tab", "CodeGroupItem")
        text = _JSX.sub(lambda m: _tab(m.group(2) in is_tab, m.group(1), m.group(3)), text)
    if "[" in text:
        text = re.sub(r"!\[\[([^\]|]+)(?:\|[^\]]*)?\]\]", r"![](\1)", text)
        text = re.sub(
            r"(?<![\w\[])\[\[(?:[^\[\]|]+\|)?([^\[\]|\d][^\[\]|]*)\]\](?!\()", r"\1", text
        )
        text = _NOTE_TEXT.sub("> ", text)
        text = _NOTE_MARK.sub("", text)
    return re.sub(
        r"(?<![=A-Za-z0-9_])==(?=[^\s=])([^=\n]{1,80}?)(?<=[^\s=])==(?![=A-Za-z0-9_])", r"\1", text
    )


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
