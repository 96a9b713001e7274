"""One reader of all the markups that pandoc reads."""

import hashlib
import json
import re
import zipfile
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
from data.markup.pandoc import PandocError, read_tree
from data.markup.tree import HIDDEN, Plain, markdown_of

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


def _read(source: str, form: str) -> tuple[dict[str, Any], list[Loss]]:
    """The tree of a text; what pandoc cannot read of it costs its paragraph only."""
    try:
        return read_tree(source.encode(), form)[0], []
    except PandocError as error:
        parts = [part for part in re.split(_SECTION.get(form, r"(?!)"), source) if part.strip()]
        if len(parts) < 2:
            parts = [part for part in re.split(r"\n[ \t]*\n", source) if part.strip()]
        if form == "asciidoc":
            parts = whole_blocks(parts, "\n\n")
        if len(parts) > 1:
            middle = len(parts) // 2
            room = "\n\n"
            trees = [_read(room.join(half), form) for half in (parts[:middle], parts[middle:])]
            first = trees[0][0]
            first["blocks"] += trees[1][0]["blocks"]
            return first, trees[0][1] + trees[1][1]
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
