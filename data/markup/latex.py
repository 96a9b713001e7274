"""LaTeX books → Markdown through pandoc."""

import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from common.language import either
from common.text_encodings import decode
from data.losses import TEXT, Loss, Reading
from data.markup.latex_clean import cleaned, of_packages, shown_source, without_drawings
from data.markup.latex_macros import arguments, definitions, stand_ins
from data.markup.latex_source import Source, document_body
from data.markup.missing import missing
from data.markup.pandoc import PandocError, Skipped, read_tree
from data.markup.parts import found_file
from data.markup.tree import Plain, markdown_of
from data.text import CJK

_FORM = "latex+smart"
_ROOT = re.compile(r"(?im)^\s*%\s*!\s*TEX\s+root\s*=\s*(.+?)\s*$")
_ENVIRONMENT = re.compile(r"\\begin\{([A-Za-z@]+\*?)\}")
# Environments whose arguments pandoc understands, or that only set their content.
_ARGUED = {"tabular", "array", "minipage", "multicols", "thebibliography", "figure", "table",
           "subfigure", "columns", "column", "tabularx", "longtable", "adjustbox"}  # fmt: skip


class LatexBook:
    """The book of which a file is the main one, or the chapter that it is.

    `material` is all of its text, put together; `reading` is slow. Both raise ValueError.
    """

    def __init__(self, path: Path) -> None:
        self.source = source = Source(path)
        text = source.read(path)
        begun = r"\begin{document}" in text
        preamble = text.partition(r"\begin{document}")[0] if begun else ""
        kept, self.own = definitions(source.restored(preamble + _packages(source, preamble, path)))
        self.body = cleaned(document_body(text))
        self.kept = [*of_packages(self.body, self.own), *kept]
        self.material = "\n".join([*self.kept, source.restored(self.body)])
        self.losses = list(source.losses)

    def reading(self) -> Reading:
        """The book as Markdown; what is lost, beside `losses`."""
        blocks, skipped, unread = _trees(self.kept, self.body, self.source)
        others = stand_ins(skipped, self.own)
        boxes = _unknown(skipped)
        if others or boxes or _lost(skipped):
            body = _with_titles(self.body, boxes)
            blocks, _, unread = _trees([*self.kept, *others], body, self.source, strict=True)
        plain = Plain({"pandoc-api-version": [1, 23], "meta": {}, "blocks": blocks})
        text = markdown_of(plain)
        lacks = missing(shown_source(self.body), text)
        return Reading(text, [*unread, *plain.losses, *lacks])


def _packages(source: Source, preamble: str, path: Path) -> str:
    """The text of packages and classes of the book's own, and of the main file of a chapter."""
    texts: list[str] = []
    root = _ROOT.search(decode(path.read_bytes())[:2000])
    main = found_file(root.group(1), [path.parent]) if root else None
    subfile = re.search(r"\\documentclass\s*\[([^\]]+)\]\s*\{subfiles\}", preamble)
    if main is None and subfile:
        main = found_file(subfile.group(1), [path.parent], ("", ".tex"))
    if main is not None and main.resolve() != path.resolve():
        texts.append(Source(main).read(main).partition(r"\begin{document}")[0])
    named = "\n".join([preamble, *texts])
    texts += [Source(path).read(part) for part, _ in source.packages(named)]
    return "\n".join(texts)


_Found = tuple[list[Any], list[Skipped], list[Loss]]  # blocks, what was left out, what is lost


def _trees(kept: list[str], body: str, source: Source, strict: bool = False) -> _Found:
    """The blocks of a book, read at once or, where that fails, piece by piece."""
    try:
        return _read(kept, body, source, strict)
    except PandocError:
        # Often the definition of an environment that pandoc opens and cannot close.
        sound = [each for each in kept if "environment" not in each[:20] and _sound(each)]
    return _piece(sound, body, source, strict)


def _read(kept: list[str], body: str, source: Source, strict: bool) -> _Found:
    # A part first: else each piece's highest heading would be of the first level.
    whole = "\n".join([*kept, r"\part{x}", "", source.restored(body)])
    tree, skipped = read_tree(whole.encode(), _FORM)
    if strict and (lost := _lost(skipped)):
        raise PandocError(lost)
    return tree["blocks"][1:], skipped, []


def _lost(skipped: list[Skipped]) -> str:
    """The beginning of an environment that pandoc gave up as a whole, with words in it."""
    for each in skipped:
        if each.text.startswith(r"\begin{") and r"\end{" in each.text:
            words = re.sub(
                r"(?s)\\begin\{(comment|filecontents).*", "", without_drawings(each.text)
            )
            if re.search(f"[{CJK}]{{4}}", words):
                return " ".join(each.text[:60].split())
    return ""


def _joined(parts: Iterable[_Found]) -> _Found:
    blocks, skipped, losses = [], [], []
    for some, left_out, lost in parts:
        blocks += some
        skipped += left_out
        losses += lost
    return blocks, skipped, losses


def _piece(kept: list[str], piece: str, source: Source, strict: bool) -> _Found:
    """A piece's blocks; what pandoc cannot read of it costs its paragraph or environment only."""
    try:
        return _read(kept, piece, source, strict)
    except PandocError as error:
        units = _units(piece)
        if len(units) > 1:
            middle = len(units) // 2
            halves = "\n\n".join(units[:middle]), "\n\n".join(units[middle:])
            return _joined(_piece(kept, half, source, strict) for half in halves)
        inside = _ENVIRONMENT.match(piece.strip())
        end = rf"\end{{{inside.group(1)}}}" if inside else ""
        if inside and piece.rstrip().endswith(end):  # without the environment around it
            return _piece(kept, piece.strip()[inside.end() :].removesuffix(end), source, strict)
        words = " ".join(re.sub(r"\\[A-Za-z@]+\*?|[{}$~]", " ", source.restored(piece)).split())
        if not words:
            return [], [], []
        why = either("留下了普通文字：", "its plain words stay: ") + str(error)[:80]
        return [{"t": "Para", "c": [{"t": "Str", "c": words}]}], [], [Loss(TEXT, words[:30], why)]


_HEADING = re.compile(r"\n(?=[ \t]*\\(?:part|chapter|(?:sub)*section)\*?\s*[\[{])")
_BOUNDS = re.compile(r"\\(begin|end)(?=\{)|(?<!\\)(?:\\\\)*([{}])|\n[ \t]*\n")


def _units(piece: str) -> list[str]:
    """Sections of a piece, or paragraphs of a section; an environment is one with all in it.

    Where braces or environments do not close, they are not looked at.
    """
    sections = [part for part in _HEADING.split(piece) if part.strip()]
    if len(sections) > 1:
        return sections
    for with_braces, with_environments in ((True, True), (False, True), (False, False)):
        units: list[str] = []
        depth = start = 0
        for found in _BOUNDS.finditer(piece):
            if found.group(1):
                depth += with_environments * (1 if found.group(1) == "begin" else -1)
            elif found.group(2):
                depth += with_braces * (1 if found.group(2) == "{" else -1)
            elif not depth:
                units.append(piece[start : found.start()])
                start = found.end()
        if not depth:
            break
    units.append(piece[start:])
    return [unit for unit in units if unit.strip()]


def _sound(definition: str) -> bool:
    try:
        read_tree(f"{definition}\n\nx".encode(), _FORM)
    except PandocError:
        return False
    return True


def _unknown(skipped: list[Skipped]) -> set[str]:
    """Environments that pandoc does not know: it keeps their content, arguments and all."""
    names = (_ENVIRONMENT.match(each.text) for each in skipped)
    return {found.group(1) for found in names if found} - _ARGUED


def _with_titles(body: str, boxes: set[str]) -> str:
    r"""\begin{theorem}{勾股定理}{thm:a} as a box with a bold title; options and labels go."""
    out, place = [], 0
    for found in _ENVIRONMENT.finditer(body):
        if found.group(1) not in boxes or found.start() < place:
            continue
        given, end = arguments(body, found.end())
        titles = []
        for _, content in given:
            said = re.search(
                r"(?:^|[,\s])(?:title|frametitle)\s*=\s*(\{.*?\}|[^,\]]+)", content, re.S
            )
            if said:
                titles.append(said.group(1).strip("{} \n"))
            elif re.search(f"[{CJK}]", content) and "=" not in content:
                titles.append(content.strip())
        if not given or (
            not titles and any(re.search(r"\s", content.strip()) for _, content in given)
        ):
            continue  # words in braces, not arguments
        title = f"\\textbf{{{titles[0]}}}\n\n" if titles else ""
        out += [body[place : found.end()], "\n", title]
        place = end
    return "".join([*out, body[place:]])
