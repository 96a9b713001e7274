"""AsciiDoc prepared for pandoc: parts put in, attributes filled, captions where it reads them."""

import re
from collections.abc import Iterable
from pathlib import Path

from common.language import either
from common.text_encodings import decode
from data.losses import TEXT, Loss
from data.markup.parts import found_file

_DEPTH = 6
_VERBATIM = re.compile(r"(?m)^(?:-{4,}|\.{4,}|\+{4,}|/{4,}|```\w*)[ \t]*$")
_UNDERLINES = {"-": "==", "~": "===", "^": "====", "+": "====="}
_INCLUDE = re.compile(r"(?m)^include::([^\[\n]+)\[([^\]\n]*)\][ \t]*$")
_ATTRIBUTE = re.compile(r"(?m)^:([\w-]+):[ \t]*(.*)$")
_CONDITION = re.compile(r"^(ifdef|ifndef|ifeval|endif)::([^\[]*)\[(.*)\][ \t]*$")


def prepared(path: Path) -> tuple[str, list[Loss]]:
    """The text of a file with what it includes."""
    losses: list[Loss] = []
    attributes: dict[str, str] = {}
    text = _ATTRIBUTE.sub("", _included(path, path, attributes, losses, 0))
    text = re.sub(r"(?m)^```[ \t]+(\w+)[ \t]*$", r"```\1", text)
    # pandoc takes a title of the first level at the beginning only, and none above a picture.
    text = _shifted(text, 1)
    text = re.sub(
        r"(?m)(?<=\S)[ \t]*(?://|#|--)?(?:[ \t]*<(?:\d+|\.)>)+[ \t]*$", "", text
    )  # callouts
    text = re.sub(
        r"(?m)^\.([^\s.][^\n]*)\n((?:\[[^\]\n]*\]\n)*)image::?(\S+?)\[[^\]\n]*\]",
        r"\2image::\3[\1]",
        text,
    )
    return closed(_without_traps(text)), losses


def whole_blocks(parts: Iterable[str], room: str) -> list[str]:
    """Parts of a text, those joined again that a listing goes through."""
    whole: list[list[str]] = []
    mark = ""
    for part in parts:
        if mark:
            whole[-1].append(part)
        else:
            whole.append([part])
        mark = _open(part, mark)
    return [room.join(each) for each in whole]


def closed(text: str) -> str:
    """The text with an end to its last listing, without which pandoc runs out of memory."""
    return f"{text}\n{_open(text)}\n"


def _without_traps(text: str) -> str:
    """What makes pandoc give up, or take all memory, goes: lines of comment (in listings they are
    code), listings of nothing, a fence right below a line of text ("----" may underline it)."""
    mark, kept, opened = "", [""], 0
    for line in text.split("\n"):
        before, mark = mark, _after(mark, line)
        if not before and mark:
            if mark == "```" and not re.match(r"\s*$|\[.*\]\s*$|\.\S|\+\s*$", kept[-1]):
                kept.append("")
            opened = len(kept)
        if before and not mark and not "".join(kept[opened + 1 :]).strip():
            del kept[opened:]
            while re.match(r"\[.*\]\s*$", kept[-1]):
                kept.pop()
        elif mark or before or not re.match("//(?!/)", line):
            kept.append(line)
    return "\n".join(kept[1:])


def _underlined(kept: list[str], line: str) -> str:
    """The sign of a title in two lines, as older books write it; "" for none. `kept`: what stands
    above, its last line the title."""
    title, rule = kept[-1].strip(), line.rstrip()
    alone = len(kept) < 2 or re.match(r"\s*$|//", kept[-2])
    if not alone or not title or re.search(r"^[\[.=*|:]|[：:。]$", title):
        return ""
    width = len(title) + sum(char > "\u2e80" for char in title)  # Chinese is as wide as two
    near = abs(len(rule) - width) <= 2 or abs(len(rule) - len(title)) <= 2
    return _UNDERLINES.get(rule[:1], "") if len(rule) > 3 and len({*rule}) == 1 and near else ""


def _open(text: str, mark: str = "") -> str:
    """What would end the listing that has no end; "" for none. `mark`: of one open before."""
    for found in _VERBATIM.finditer(text):
        mark = _after(mark, found[0])
    return mark


def _after(mark: str, line: str) -> str:
    """What ends the listing that is open behind a line; `mark`: before it."""
    line = line.rstrip()
    if mark or not _VERBATIM.fullmatch(line):
        return "" if line == mark else mark
    return line[:3] if line.startswith("```") else line  # ```java ends with ```


def _included(
    path: Path, main: Path, attributes: dict[str, str], losses: list[Loss], depth: int
) -> str:
    text = decode(path.read_bytes()).replace("\r\n", "\n").replace("\r", "\n")
    attributes.update(_ATTRIBUTE.findall(text))
    text = "\n".join(_without_conditions(text.split("\n")))

    def part(found: re.Match[str]) -> str:
        name = _filled(found.group(1), attributes)
        place = found_file(name, [path.parent, main.parent])
        if place is None or depth >= _DEPTH:
            why = either("写在另一个文件里，没有读", "stands in another file, which was not read")
            losses.append(Loss(TEXT, name, why))
            return ""
        if place.suffix.lower() not in (".adoc", ".asc", ".asciidoc", ".txt"):
            return _chosen(decode(place.read_bytes()).replace("\r\n", "\n"), found.group(2))
        inside = _chosen(_included(place, main, attributes, losses, depth + 1), found.group(2))
        shift = re.search(r"leveloffset=\+?(-?\d+)", found.group(2))
        return _shifted(inside, int(shift.group(1))) if shift else inside

    return _filled(_INCLUDE.sub(part, text), attributes)


def _filled(text: str, attributes: dict[str, str]) -> str:
    def value(found: re.Match[str]) -> str:
        return attributes.get(found.group(1)) or found.group()

    return re.sub(r"(?<!\\)\{([a-z][\w-]*)\}", value, text)


def _chosen(text: str, options: str) -> str:
    """The lines or the tagged part of a file that an include asks for."""
    if tags := re.search(r"tags?=([\w;,-]+)", options):
        names = re.split("[;,]", tags.group(1))
        parts = [
            found.group(1)
            for name in names
            for found in re.finditer(
                rf"(?s)tag::{re.escape(name)}\[\][^\n]*\n(.*?)\n[^\n]*end::{re.escape(name)}\[\]",
                text,
            )
        ]
        text = "\n".join(parts) or text
    if lines := re.search(r"lines=\"?([\d.;,]+)", options):
        rows, every = text.split("\n"), []
        for span in re.split("[;,]", lines.group(1)):
            first, dots, last = span.partition("..")
            if first.isdigit():
                end = int(last) if last.isdigit() else len(rows) if dots else int(first)
                every += rows[int(first) - 1 : end]
        text = "\n".join(every)
    return re.sub(r"(?m)^.*\b(?:tag|end)::[\w-]+\[\].*\n?", "", text)


def _shifted(text: str, levels: int) -> str:
    """The text with its titles so many levels down, all in one line; in listings "== x" is code."""
    mark, shifted = "", [""]
    lines = text.split("\n")
    for line, below in zip(lines, [*lines[1:], ""], strict=True):
        sign, title = "", ""
        if not mark and not below.strip() and (sign := _underlined(shifted, line)):
            title = shifted.pop().strip()
        elif not mark and (found := re.match(r"(={1,6}) (?=\S)", line)):
            sign, title = found[1], line[found.end() :]
        else:
            mark = _after(mark, line)
        count = min(max(1, len(sign) + levels), 6)
        shifted.append(f"{'=' * count} {title}" if sign else line)
    return "\n".join(shifted[1:])


def _without_conditions(lines: list[str]) -> list[str]:
    """Both branches stay: which attributes a build sets is not known here."""
    out = []
    for line in lines:
        found = _CONDITION.match(line)
        if not found:
            out.append(line)
        elif found.group(3) and found.group(1) != "endif" and not found.group(3).startswith(":"):
            out.append(found.group(3))
    return out
