"""Markdown text → sections with their blocks, each at its place in the text."""

import html
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace

from markdown_it import MarkdownIt
from markdown_it.token import Token
from mdit_py_plugins.dollarmath import dollarmath_plugin

from data.figures import Figure, is_caption
from data.records import CODE, ITEM, PARAGRAPH, QUOTE, TABLE, Block
from data.text import CJK, cjk_share, join_lines, tidy

SEGMENT_CHARS = 500_000  # a parser's tokens weigh far more than the text: parse piece by piece
_TOC_TITLE = re.compile(r"^(目\s*录|目\s*次|(table of )?contents)$", re.I)
_REFERENCE_TITLE = re.compile(
    r"^[\dA-Z.、\s]*附?\s*(参考(资料|文献|文档|链接)?|references?|bibliography|延伸阅读|致谢|索引|index)\s*[:：]?$",
    re.I,
)
_TOC_LINE = re.compile(
    r"(?<!\.)(?<!\.\s)(\.\s?){4,}\s*\d+\s*$|(?<!…)…+\s*\d+\s*$|^\[[^\]]+\]\(#[^)]*\)$"
)
_LISTS = re.compile(r"目\s*[录次]$|索引$|contents$|index$", re.I)  # of entries, not of sentences
_PROSE = 30  # characters from which a question is no entry; few entries end like a sentence
_STATED = 10
# "第3章 线程", "1.2 线程束", "线程束 12", a link alone: a line of contents.
_ENTRY = re.compile(
    r"第?[\d一二三四五六七八九十百]+(?:[章节篇讲课部](?:[\s：:]|$)|[.．]\d|[.．、]?\s)"
    r"|\d+(?:\.\d+)+|.*\s\d{1,4}$"
)
_LINK = re.compile(r"(?:[-*+]|\d+[.)])?\s*\[[^\]]*\]\((?!\w+:)[^)]*\)\s*")
_TAG = re.compile(
    r"</?(?:p|br|div|span|img|a|b|i|em|strong|sub|sup|u|center|font|details|summary"
    r"|table|tr|td|th|tbody|thead|ul|ol|li|h[1-6]|code|pre|hr|figure|figcaption"
    r"|section|article|nav|header|footer|main|aside|dl|dt|dd|s|del|ins|mark|q|abbr|kbd|small|big|iframe|video|source)\b[^>]*>",
    re.I,
)
_COMMENT = re.compile(r"<!--.*?-->", re.S)
_BACK = ("^", "↩", "↩︎", "↑", "⏎")  # links from a note to its place
# Underscores are part of names (`__global__`) far more often than emphasis in technical books.
_UNDERSCORE = "\ue000"
# "<" that is no tag: "\\<" in the text, as long as it was, and "<" and "*" of words in a code face.
_ESCAPED, _LESS, _STAR = "\ue002\ue003", "\ue002", "\ue004"
_MATH = "\ue001"  # keeps the place of a formula while emphasis and tags go
_TABLE_IMAGE = re.compile(r"!\[([^\]\n]*)\]\(<?([^)\n>]*)>?\)")
_TABLE_LINK = re.compile(r"(?<![!\\`\w])\[([^\[\]\n]*)\]\((?!\s)[^)\s]*\)")
_NUMBERED = re.compile(
    r"第?[\d一二三四五六七八九十百]+[章节篇讲课部、.．]|\d+\s|[^，。；]*：[^，。；]*$"
)
_SAYING = re.compile(rf"[，。；：]|[:;,](?= |[{CJK}])")
_TAB = re.compile(r"^<!-- (?:tab: (.+)|(/tab)) -->\s*$")


@dataclass
class Section:
    """A heading path with the blocks under it (subsections are sections of their own).

    What stands in a tab for one framework is a section of that name.
    """

    path: tuple[str, ...]
    start: int
    blocks: list[Block] = field(default_factory=list)
    figures: list[Figure] = field(default_factory=list)

    @property
    def is_apparatus(self) -> bool:
        """Contents, references, index: nothing to ask about; 索引 is a database's as well."""
        title = self.path[-1] if self.path else ""
        if _LISTS.search(title) and any(map(_is_prose, self.blocks)):
            return False
        return bool(_TOC_TITLE.match(title) or _REFERENCE_TITLE.match(title))


def _is_prose(block: Block) -> bool:
    text = block.text
    if block.kind != PARAGRAPH or not text:
        return False
    return text[-1] in "。！？" and len(text) >= (_STATED if text[-1] == "。" else _PROSE)


def _without_entries(section: Section, text: str) -> Section:
    """A contents section that holds prose without its entries; others as they are."""
    if not section.path or not _TOC_TITLE.match(section.path[-1]) or section.is_apparatus:
        return section
    entries = [block for block in section.blocks if _is_entry(block, text)]
    if len(entries) * 3 < len(section.blocks):  # 目录 of an operating system's files
        return section
    return replace(section, blocks=[block for block in section.blocks if block not in entries])


def _is_entry(block: Block, text: str) -> bool:
    if block.kind not in (PARAGRAPH, ITEM) or block.text[-1] in "。！？；：":
        return False
    lines = text[block.start : block.end].strip().split("\n")
    linked = all(_LINK.fullmatch(line.strip()) for line in lines)
    return linked or bool(_ENTRY.match(block.text))


def empty_headings(sections: Iterable[Section]) -> list[str]:
    """Headings over nothing, neither text nor pictures nor further headings, in order."""
    sections = list(sections)
    filled = {s.path for s in sections if s.blocks or s.figures}
    above = {s.path[:length] for s in sections for length in range(1, len(s.path))}
    empty = (s.path for s in sections if s.path and s.path not in filled | above)
    return [" › ".join(path[-2:]) for path in dict.fromkeys(empty)]


def _parser() -> MarkdownIt:
    parser = MarkdownIt("commonmark").enable("table").disable(["emphasis", "html_inline"])
    return parser.use(dollarmath_plugin, allow_space=False, double_inline=True)


def segments(text: str, size: int = SEGMENT_CHARS) -> Iterator[tuple[int, str]]:
    """Cut a long text before headings (never inside a code fence): (offset, piece)."""
    start = position = 0
    fence = ""
    for line in text.splitlines(keepends=True):
        mark = re.match(r" {0,3}(```+|~~~+)", line)
        if mark and not fence:
            fence = mark.group(1)
        elif mark and mark.group(1).startswith(fence) and line.strip() == mark.group(1):
            fence = ""
        elif not fence and position - start >= size and re.match(r"#{1,6} ", line):
            yield start, text[start:position]
            start = position
        position += len(line)
    yield start, text[start:]


def _line_offsets(text: str) -> list[int]:
    offsets = [0]
    for line in text.split("\n"):
        offsets.append(offsets[-1] + len(line) + 1)
    offsets[-1] = len(text)
    return offsets


# "线程块[12]": the number of a footnote; "a[12]" is code.
_NOTE = re.compile(r"(?:(?<![A-Za-z0-9_)\]\s])\s+|(?<![A-Za-z0-9_)\]]))\\?\[\d{1,3}\\?\](?!\()")
_EMPHASIS = re.compile(
    rf"(?<![A-Za-z0-9_*/)\]])\*(?![\s*])([^*\n]{{1,120}}?)(?<![\s*])(?:\*(?![A-Za-z0-9_*(])|(?<=[{CJK}）])\*)"
)


def plain(inline: Token) -> str:
    """An inline token as plain text: no emphasis marks, link targets, images or tags.

    Formulas stay as they are, between dollar signs.
    """
    text = ""
    formulas: list[str] = []
    before = None
    for child in inline.children or []:
        linked = before is not None and before.type == "link_open"
        if linked and child.content in _BACK and str(before.attrs["href"]).startswith("#"):
            continue
        before = child
        if child.type == "softbreak" or child.type == "hardbreak":
            text += "\n"
        elif child.type.startswith("math_inline"):
            mark = "$$" if child.type == "math_inline_double" else "$"
            formulas.append(f"{mark}{_raw(child.content)}{mark}")
            text += _MATH
        elif child.type == "code_inline":
            text += _raw(child.content).replace("<", _LESS).replace("*", _STAR)
        elif child.type != "image":
            text += child.content
    text = _untagged(text.replace(f"\\{_UNDERSCORE}", "_").replace(_UNDERSCORE, "_"), "")
    text = text.replace(_ESCAPED, "<").replace(_LESS, "<")
    text = re.sub(r"\*{2,3}(?!\s)(.+?)(?<!\s)\*{2,3}", r"\1", text)
    text = re.sub(rf"(?<=[{CJK}（「，。])\*([^*\n]+)\*(?=[{CJK}）」，。])", r"\1", text)
    # Emphasis opens after and closes before something that is no word: "int *a, *b" is none.
    text = _EMPHASIS.sub(r"\1", text)
    text = _NOTE.sub("", text)
    lines = [tidy(line) for line in text.split("\n")]
    joined = ""
    for line in lines:
        joined = join_lines(joined, line) if joined else line
    joined = joined.strip("* ") if joined.startswith(("***", "**")) else joined.strip()
    for formula in formulas:
        joined = joined.replace(_MATH, formula, 1)
    return joined.replace(_STAR, "*")


def _untagged(text: str, room: str) -> str:
    """The text without tags and comments; behind the last end of a comment none is looked for."""
    end = text.rfind("-->") + 3 if "-->" in text else 0
    return _TAG.sub(room, _COMMENT.sub(room, text[:end]) + text[end:])


def _images(inline: Token) -> Iterator[tuple[str, str]]:
    """(file, caption) of the images in an inline token."""
    for child in inline.children or []:
        if child.type == "image":
            source = _raw(str(child.attrGet("src") or ""))
            image = _file(source.replace("%EE%80%80", "_"))
            yield image, tidy(_raw(child.content))


def _raw(text: str) -> str:
    """What a parser was given, with the signs that stood in for others."""
    return text.replace(_UNDERSCORE, "_").replace(_ESCAPED, "\\<")


def _file(source: str) -> str:
    return "data:" if source.startswith("data:") else source


def terms(inline: Token) -> tuple[str, ...]:
    """Words set in bold or in a code face, as plain text, at most 40 characters each."""
    found = [c.content for c in inline.children or [] if c.type == "code_inline"]
    found += re.findall(r"\*\*\s*([^*\n]+?)\s*\*\*", inline.content)
    cleaned = (tidy(_raw(term).strip("`* ")) for term in found)
    return tuple(dict.fromkeys(term for term in cleaned if 0 < len(term) <= 40))


def read_sections(text: str) -> Iterator[Section]:
    """Sections of a Markdown text in order, each with its blocks (possibly none)."""
    stack: list[tuple[int, str]] = []
    held: Section | None = None
    for offset, piece in segments(text):
        for section in _segment_sections(piece, offset, stack):
            section = _without_entries(section, text)
            if held is not None:
                yield _outlined(held, section, text)
            held = section
    if held is not None:
        yield _outlined(held, None, text)


def _outlined(section: Section, following: Section | None, text: str) -> Section:
    """A sentence set as a heading over nothing, as outlines have them, is text of what is above."""
    *above, title = section.path or ("",)
    empty = not (section.blocks or section.figures)
    parted = following is not None and following.path[: len(section.path)] == section.path
    if not empty or parted or len(title) < 10 or not _SAYING.search(title):
        return section
    if _NUMBERED.match(title):
        return section  # a chapter that is not written yet
    end = text.find("\n", section.start)
    path, end = tuple(above), len(text) if end < 0 else end
    return Section(path, section.start, [Block(PARAGRAPH, title, path, section.start, end)])


def _segment_sections(piece: str, offset: int, stack: list[tuple[int, str]]) -> Iterator[Section]:
    tokens = _parser().parse(piece.replace("_", _UNDERSCORE).replace("\\<", _ESCAPED))
    lines = _line_offsets(piece)

    def span(token: Token) -> tuple[int, int]:
        first, last = token.map or (0, 0)
        end = lines[min(last, len(lines) - 1)]
        start = lines[first]
        return offset + start, offset + start + len(piece[start:end].rstrip())

    section = Section(tuple(title for _, title in stack), offset)
    markers: list[str] = []  # one per open list item; emptied once used
    quotes = depth = 0
    position = 0
    while position < len(tokens):
        token = tokens[position]
        if token.type == "heading_open":
            title = plain(tokens[position + 1])
            level = int(token.tag[1])
            if title:
                if section.blocks or section.path:
                    yield section
                while stack and stack[-1][0] >= level:
                    stack.pop()
                stack.append((level, title))
                section = Section(tuple(t for _, t in stack), span(token)[0])
            position += 2
        elif token.type == "list_item_open":
            markers.append(f"{token.info}." if token.info else "-")
            depth += 1
        elif token.type == "list_item_close":
            markers.pop()
            depth -= 1
        elif token.type in ("blockquote_open", "blockquote_close"):
            quotes += 1 if token.type.endswith("open") else -1
        elif token.type in ("fence", "code_block"):
            content = _raw(token.content).strip("\n").rstrip()
            prose = token.type == "code_block" and cjk_share(content) > 0.5
            if content.strip():
                kind = PARAGRAPH if prose else CODE
                body = tidy(content.replace("\n", " ")) if prose else content
                info = token.info.strip().split(" ")[0] if token.info else ""
                section.blocks.append(
                    Block(kind, body, section.path, *span(token), depth=depth, language=info)
                )
        elif token.type == "table_open":
            start, end = span(token)
            body = piece[start - offset : end - offset]
            for caption, image in _TABLE_IMAGE.findall(body):
                section.figures.append(Figure(_file(image), caption, section.path, start))
            body = _TABLE_LINK.sub(r"\1", _TABLE_IMAGE.sub(r"\1", body))
            body = re.sub(r" ?<br\s*/?> ?", " ", body).replace("\\<", "<")
            section.blocks.append(Block(TABLE, body, section.path, start, end))
            while tokens[position].type != "table_close":
                position += 1
        elif token.type.startswith("math_block"):
            content = re.sub(r"\s+", " ", _raw(token.content)).strip()
            if content:
                body = f"$${content}$$"
                section.blocks.append(Block(PARAGRAPH, body, section.path, *span(token)))
        elif token.type == "html_block" and (tab := _TAB.match(token.content)):
            if section.blocks or section.figures:
                yield section
            titles = tuple(title for _, title in stack)
            inside = (tab.group(1),) if tab.group(1) else ()
            section = Section((*titles, *inside), span(token)[0])
        elif token.type == "html_block":
            shown = html.unescape(_untagged(_raw(token.content), " "))
            body = tidy(re.sub(r"\s+", " ", shown))
            if body:
                section.blocks.append(Block(PARAGRAPH, body, section.path, *span(token)))
        elif token.type == "inline":
            body = plain(token)
            for image, caption in _images(token):
                found = Figure(image, caption, section.path, span(token)[0])
                section.figures.append(found)
            if body and section.figures and is_caption(body) and not section.figures[-1].caption:
                section.figures[-1] = replace(section.figures[-1], caption=body)
            if body and not _TOC_LINE.search(token.content.strip()):
                kind = ITEM if depth else QUOTE if quotes else PARAGRAPH
                marker = markers[-1] if markers else ""
                if markers:
                    markers[-1] = ""
                start, end = span(token)
                section.blocks.append(
                    Block(kind, body, section.path, start, end, marker, depth, terms=terms(token))
                )
        position += 1
    if section.blocks or section.path:
        yield section
