"""One reader of all the markups that pandoc reads."""

import hashlib
import json
import re
import time
import zipfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from common.archives import check_archive, read_part
from common.language import either
from common.text_encodings import decode
from data.cache import Cache
from data.kinds import ASCIIDOC, LATEX, MARKUP, REST
from data.losses import TEXT, Loss, Reading, reading_from
from data.markup.adoc import whole_blocks
from data.markup.missing import missing
from data.markup.pandoc import SECONDS, PandocError, SlowError, read_tree
from data.markup.tree import HIDDEN, Plain, markdown_of

# pandoc's time with AsciiDoc grows faster than the text: a long book is read in pieces.
PIECE = 20_000
PIECE_SECONDS, BOOK_SECONDS = 60.0, 1800.0
_ROOM = "\n\n"
_BINARY = (".odt", ".rtf", ".fb2", ".dbk", ".docbook")


def read_markup(path: Path, cache: Cache | None = None, version: str = "") -> Reading:
    """A book as Markdown, with what of it is not in the text. Raises ValueError.

    What was read earlier comes from the cache, as long as no file that it includes has changed.
    """
    suffix = path.suffix.lower()
    if suffix in LATEX:
        from data.markup.latex import LatexBook

        book = LatexBook(path)
        material, losses, read = book.material, book.losses, book.reading
    else:
        titles: dict[str, str] = {}
        losses = []
        if suffix in REST:
            from data.markup import rst

            material, losses = rst.prepared(path)
            titles, unreadable = rst.titles_of(path, material)
            losses += unreadable
        elif suffix in ASCIIDOC:
            from data.markup import adoc

            material, losses = adoc.prepared(path)
        elif suffix in _BINARY:
            if suffix == ".odt":
                _refuse_damaged(path)
            material = path.read_bytes().hex()
        else:
            material = decode(path.read_bytes()).replace("\r\n", "\n").replace("\r", "\n")

        def read() -> Reading:
            return _read_text(material, suffix, titles)

    whole = json.dumps([suffix, material, {} if suffix in LATEX else titles], ensure_ascii=False)
    key = f"markup/{version}/{hashlib.sha256(whole.encode()).hexdigest()}"
    if cache and (row := cache.get(key)) is not None:
        reading = reading_from(row)
    else:
        reading = read()
        if cache:
            cache.put(key, reading.to_dict())
    return Reading(reading.text, [*losses, *reading.losses])


def _refuse_damaged(path: Path) -> None:
    """pandoc reads the text of an .odt without a look at its checksum."""
    check_archive(path)
    with zipfile.ZipFile(path) as archive:
        for part in archive.infolist():
            if part.filename == "content.xml":
                read_part(archive, part)


def _read_text(material: str, suffix: str, titles: dict[str, str]) -> Reading:
    form = MARKUP[suffix]
    if suffix in _BINARY:
        tree, unread, material = read_tree(bytes.fromhex(material), form)[0], [], ""
    else:
        tree, unread = _read(material, form)
    plain = Plain(tree, titles)
    text = markdown_of(plain)
    unread += [*plain.losses, *missing(_shown(material, suffix), text)]
    return Reading(text, unread + (_commented_out(material) if suffix == ".org" else []))


def _commented_out(material: str) -> list[Loss]:
    """Lines with # that are a good part of an org file: org shows none of them."""
    outside = re.sub(r"(?mis)^[ \t]*#\+begin_(\w+).*?^[ \t]*#\+end_\1", "", material)
    comments = re.findall(r"(?m)^#[ \t]+(\S.*)$", outside)
    written = sum(bool(line.strip()) for line in outside.split("\n"))
    if len(comments) < 5 or len(comments) < written * 0.2:
        return []
    count = len(comments)
    why = either(f"{count} 行以 # 开头，是 org 的注释", f"{count} lines with #, comments to org")
    return [Loss(TEXT, comments[0][:30], why)]


_SECTION = {
    "org": r"(?m)^(?=\*+ )",
    "asciidoc": r"(?m)(?<!\]\n)^(?=(?:\[[^\n]*\]\n)*=+ )",
    "textile": r"(?m)^(?=h\d\. )",
    "typst": r"(?m)^(?==+ )",
}


def _read(source: str, form: str, until: float = 0.0) -> tuple[dict[str, Any], list[Loss]]:
    """The tree of a text; what pandoc cannot read of it costs its paragraph only.

    until: for a piece of a long book, by when the whole of it is to be read.
    """
    sections = _sections(source, form)
    if form == "asciidoc" and len(source) > 2 * PIECE and len(sections) > 1:
        until = until or time.monotonic() + BOOK_SECONDS
        return _together(_read(piece, form, until) for piece in _joined(sections))
    left = min(PIECE_SECONDS, max(until - time.monotonic(), 1.0)) if until else SECONDS
    try:
        return _tree(source, form, left), []
    except SlowError as error:
        if not until or time.monotonic() > until:
            raise
        return _halves(sections, form, until) if len(sections) > 1 else _words(source, error)
    except PandocError as error:
        parts = sections
        if len(parts) < 2:
            parts = [part for part in re.split(r"\n[ \t]*\n", source) if part.strip()]
            if form == "asciidoc":
                parts = whole_blocks(parts, _ROOM)
        return _halves(parts, form, until) if len(parts) > 1 else _words(source, error)


def _tree(source: str, form: str, seconds: float) -> dict[str, Any]:
    """pandoc's tree. It takes a first heading of AsciiDoc for the first level: those above it are
    put in for it."""
    first = re.match(r"\s*(?:\[[^\n]*\]\n)*(==+) ", source) if form == "asciidoc" else None
    above = len(first[1]) - 2 if first else 0
    chain = "".join(f"{'=' * level} x{_ROOM}" for level in range(2, above + 2))
    tree = read_tree((chain + source).encode(), form, seconds)[0]
    del tree["blocks"][:above]
    return tree


def _sections(source: str, form: str) -> list[str]:
    """A text cut before its headings."""
    parts = [part for part in re.split(_SECTION.get(form, r"(?!)"), source) if part.strip()]
    return whole_blocks(parts, "") if form == "asciidoc" else parts


def _joined(parts: list[str]) -> list[str]:
    """Parts that are neighbours together, as far as they make a piece."""
    pieces = parts[:1]
    for part in parts[1:]:
        if len(pieces[-1]) + len(part) < PIECE:
            pieces[-1] += _ROOM + part
        else:
            pieces.append(part)
    return pieces


def _halves(parts: list[str], form: str, until: float) -> tuple[dict[str, Any], list[Loss]]:
    middle = len(parts) // 2
    halves = (parts[:middle], parts[middle:])
    return _together(_read(_ROOM.join(half), form, until) for half in halves)


def _together(
    read: Iterable[tuple[dict[str, Any], list[Loss]]],
) -> tuple[dict[str, Any], list[Loss]]:
    """The trees of a text's parts as one."""
    whole: dict[str, Any] = {}
    losses: list[Loss] = []
    for tree, lost in read:
        losses += lost
        if whole:
            whole["blocks"] += tree["blocks"]
        else:
            whole = tree
    return whole, losses


def _words(source: str, error: ValueError) -> tuple[dict[str, Any], list[Loss]]:
    """The plain words of what pandoc cannot read."""
    words = " ".join(source.split())
    why = either("留下了普通文字：", "its plain words stay: ") + str(error)[:80]
    block = {"t": "Para", "c": [{"t": "Str", "c": words}]}
    tree = {"pandoc-api-version": [1, 23], "meta": {}, "blocks": [block] if words else []}
    return tree, [Loss(TEXT, words[:30], why)] if words else []


_COMMENTS = {
    "rst": re.compile(
        r"(?m)^([ \t]*)\.\.(?: (?:"
        rf"(?:{'|'.join(sorted(HIDDEN))})::|(?!\S+::|\[|\||_))[^\n]*|[ \t]*)"
        r"(?:\n(?:\1[ \t]+[^\n]*|[ \t]*(?=\n)))*|<https?:[^>\n]*>"
    ),
    "asciidoc": re.compile(
        r"(?ms)^//(?!/)[^\n]*|^////+\n.*?^////+$|^:[\w-]+:[^\n]*|^indexterm[^\n]*"
        r"|\(\(\([^\n]*?\)\)\)"
    ),
    "org": re.compile(
        r"(?mis)^[ \t]*#(?: |\+(?!title|begin|end|caption))[^\n]*"
        r"|^#\+begin_comment.*?^#\+end_comment|^[ \t]*:[\w-]+:[^\n]*"
    ),
    "textile": re.compile(r"(?m)^###\.[^\n]*"),
    "typst": re.compile(r"(?ms)//[^\n]*|/\*.*?\*/"),
}


def _shown(source: str, suffix: str) -> str:
    """The source without comments and settings."""
    comments = _COMMENTS.get(MARKUP[suffix])
    return comments.sub("", source) if comments else source
