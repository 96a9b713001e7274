"""HTML that authors write into Markdown → Markdown: headings, pictures, tables, listings, scripts.

A parser of Markdown passes HTML through, so that its words would come without their shape.
"""

import html
import re
from collections.abc import Iterator

from data.text import fenced

_FENCE = re.compile(r"^\s*(`{3,}|~{3,})")
CODE_SPAN = re.compile(r"((?<!`)`+[^`\n]+`+)")
_BLOCK = re.compile(r"<(table|pre)\b", re.I)
_BLOCK_END = re.compile(r"</(table|pre)>", re.I)
_LONGEST = 1000  # lines of one table or listing; more means that its end is missing
_LAYOUT = "div|center|p|span|font|figure|figcaption|section|article|big|small|u|mark|picture"
_TAG = re.compile(rf"</?(?:{_LAYOUT}|details|summary)\b[^<>]*>", re.I)
_OPENS = re.compile(rf"^\s*</?(?:{_LAYOUT}|details|summary|h[1-6]|img|br|table|pre)\b", re.I)
_HEADING = re.compile(r"<h([1-6])\b[^<>]*>(.*?)</h\1>", re.I)
_IMAGE = re.compile(r"<(?:img|Illustration|Image)\b([^<>]*?)/?>")
_SCRIPT = re.compile(
    r"(?<=[A-Za-z0-9)\]}α-ωΑ-Ω])<(sup|sub)>([A-Za-z0-9α-ωΑ-Ω+\-−*/=,.()]{1,12})</\1>", re.I
)
_NO_SCRIPT = re.compile("st|nd|rd|th|TM", re.I)
# JSX in Markdown (MDX): components on a line of their own, those around words, comments.
_AROUND = re.compile(r"<([A-Z]\w*)(?:\s[^<>]*)?>([^<>\n]+)</\1>")
_COMPONENT = re.compile(r"^\s*</?[A-Z][\w.]*(?:\s+[^<>]*)?/?>\s*$")
_COMMENT = re.compile(r"\s*\{/\*.*?\*/\}")


def without_html(text: str) -> str:
    """The text with its HTML as Markdown; code is left alone."""
    if "<" not in text and "{/*" not in text:
        return text
    return "\n".join(_lines(text.split("\n")))


def _lines(lines: list[str]) -> Iterator[str]:
    fence, raw, indent, position = "", False, "", 0
    last = _last_ends(lines)
    while position < len(lines):
        line = lines[position]
        position += 1
        mark = _FENCE.match(line)
        if fence or mark:
            closes = mark and line.strip() == mark.group(1) >= fence
            fence = ("" if closes else fence) if fence else mark.group(1) if mark else ""
            yield line
            continue
        # Up to an empty line HTML goes on, and its indentation makes no code.
        raw = raw and bool(line.strip())
        if "<" not in line and "{/*" not in line:
            yield indent + line.lstrip() if raw else line
            continue
        block = _BLOCK.search(CODE_SPAN.sub(lambda m: " " * len(m.group()), line))
        if block and position - 1 <= last[block.group(1).lower()]:
            end = _end(lines, position - 1, block.group(1))
            if end:
                whole = "\n".join(lines[position - 1 : end])
                before, body, after = _cut(whole, block.start(), block.group(1))
                pad = indent if raw else _margin(line)
                shown = _table(body) if block.group(1).lower() == "table" else _listing(body)
                yield _inline(before).rstrip()
                yield ""
                yield from (pad + each if each else each for each in shown.split("\n"))
                yield ""
                lines[end - 1] = after
                position = end - 1 if after.strip() else end
                continue
        if not raw and _OPENS.match(line):
            raw, indent = True, _margin(line)
        if _COMPONENT.match(line) and not _IMAGE.search(line):
            title = re.search(r"""\b(?:title|titleText|label)=["']([^"']+)""", line)
            picture = re.search(r"""\balt=["']([^"']+)""", line)
            yield f"\n**{title.group(1)}**\n" if title else ""
            yield f"\n{picture.group(1)}\n" if picture else ""
            continue
        parts = CODE_SPAN.split(line)
        line = "".join(p if n % 2 else _inline(p) for n, p in enumerate(parts))
        yield indent + line.lstrip() if raw and line.strip() else line


def _margin(line: str) -> str:
    return line[: len(line) - len(line.lstrip())]


def _end(lines: list[str], start: int, tag: str) -> int:
    """The line after the one that closes a table or listing; 0 where none does."""
    depth = 0
    for number in range(start, min(start + _LONGEST, len(lines))):
        depth += len(re.findall(rf"<{tag}\b", lines[number], re.I))
        depth -= len(re.findall(rf"</{tag}>", lines[number], re.I))
        if depth <= 0:
            return number + 1
    return 0


def _last_ends(lines: list[str]) -> dict[str, int]:
    """The last line that closes a table or listing, by its tag: nothing opened below it ends."""
    found = {"table": -1, "pre": -1}
    for number, line in enumerate(lines):
        for end in _BLOCK_END.finditer(line):
            found[end.group(1).lower()] = number
    return found


def _cut(whole: str, start: int, tag: str) -> tuple[str, str, str]:
    end = whole.lower().rindex(f"</{tag.lower()}>") + len(tag) + 3
    return whole[:start], whole[start:end], whole[end:]


def _inline(text: str) -> str:
    text = _COMMENT.sub("", text)
    if "<" not in text:
        return text
    text = _HEADING.sub(lambda m: f"\n{'#' * int(m.group(1))} {m.group(2).strip()}\n", text)
    text = _IMAGE.sub(_picture, text)
    text = _SCRIPT.sub(_script, text)
    text = _AROUND.sub(r"\2", text)
    text = re.sub(r"<summary\b[^<>]*>\s*(.+?)\s*</summary>", r"\n**\1**\n", text, flags=re.I)
    return _TAG.sub("", text)


def _picture(found: re.Match[str]) -> str:
    pairs = re.findall(r"""([\w-]+)\s*=\s*(?:"([^"]*)"|'([^']*)'|([^\s"'>]+))""", found.group(1))
    values = {name.lower(): first or second or third for name, first, second, third in pairs}
    source = values.get("data-src") or values.get("src", "")
    if source.startswith("{"):  # JSX: {require('./a.png').default}, {useBaseUrl('/a.png')}
        quoted = re.search(r"src=\{[^}]*?[\"']([^\"']+)[\"']", found.group(1))
        source = quoted.group(1) if quoted else ""
    if not source:
        return ""
    named = (values.get(name, "") for name in ("caption", "alt"))
    words = " ".join(filter(None, named)) or values.get("title", "")
    return f"![{words.replace('[', '').replace(']', '')}](<{source}>)"


def _script(found: re.Match[str]) -> str:
    tag, body = found.groups()
    if _NO_SCRIPT.fullmatch(body):
        return body
    sign = "^" if tag.lower() == "sup" else "_"
    return f"{sign}{body}" if len(body) == 1 else f"{sign}{{{body}}}"


def _table(body: str) -> str:
    """A table as a pipe table; cells that span several are said in each row."""
    from bs4 import BeautifulSoup

    from data.web import even_tables

    soup = BeautifulSoup(body, "html.parser")
    even_tables(soup)
    for tag in soup("img"):
        tag.replace_with(f"![{tag.get('alt', '')}]({tag.get('src', '')})")
    for tag in soup("code"):
        tag.replace_with(f"`{tag.get_text()}`")
    for tag in soup("br"):
        tag.replace_with(" ")
    title = soup.find("caption")
    rows = [
        [" ".join(cell.get_text().split()) for cell in row.find_all(["td", "th"])]
        for row in soup("tr")
    ]
    rows = [row for row in rows if any(row)]
    if not rows:
        return ""
    width = max(map(len, rows))
    shown = ["| " + " | ".join(row + [""] * (width - len(row))) + " |" for row in rows]
    head = [title.get_text(" ", strip=True), ""] if title else []
    return "\n".join([*head, shown[0], "|" + " --- |" * width, *shown[1:]])


def _listing(body: str) -> str:
    language = re.search(r"(?:lang(?:uage)?[-=:\"']+)([\w+#-]+)", body)
    plain = re.sub(r"</?[a-zA-Z][^<>]*>", "", re.sub(r"<br\s*/?>", "\n", body, flags=re.I))
    code = html.unescape(plain)
    return fenced(code.strip("\n"), language.group(1) if language else "")
