"""The numbers that Word draws before the paragraphs of a list ("1.", "问题1：", "第2章")."""

import re
from collections import defaultdict
from typing import Any

from common.word.document import WordDocument
from common.word.xml import attribute, child, name, value

_CHINESE = "零一二三四五六七八九"
_CHINESE_FORMATS = {
    *("chineseCounting", "chineseCountingThousand", "chineseLegalSimplified"),
    *("ideographDigital", "japaneseCounting", "taiwaneseCountingThousand"),
}


class Numbering:
    """Counts a document's list paragraphs; ask for the labels in reading order."""

    def __init__(self, document: WordDocument) -> None:
        self._document = document
        self._lists: dict[str, dict[str, Any]] = {}  # list id → level → its w:lvl
        self._counts: dict[str, dict[int, int]] = defaultdict(dict)
        self._abstract: dict[str, str] = {}
        self._starts: dict[str, dict[int, int]] = {}  # list id → level → where its own count begins
        root = document.numbering
        parts = list(root) if root is not None else []
        abstracts = {attribute(e, "abstractNumId"): e for e in parts if name(e) == "w:abstractNum"}
        linked = [(value(e, "w:styleLink"), e) for e in abstracts.values()]
        by_style = {style: levels for style, levels in linked if style}
        for each in parts:
            if name(each) != "w:num":
                continue
            number, chosen = attribute(each, "numId") or "", value(each, "w:abstractNumId") or ""
            levels = abstracts.get(chosen)
            style = value(levels, "w:numStyleLink")
            if style is not None and style in by_style:  # a list style defines it
                levels = by_style[style]
                chosen = attribute(levels, "abstractNumId") or ""
            self._lists[number] = _levels(levels)
            self._abstract[number] = chosen
            self._starts[number] = {}
            for change in (e for e in each if name(e) == "w:lvlOverride"):
                self._lists[number] |= _levels(change)
                level = attribute(change, "ilvl") or "0"
                start = value(change, "w:startOverride")
                if start and start.isascii() and start.isdigit() and level.isdigit():
                    self._starts[number][int(level)] = int(start[:5])

    def label(self, paragraph: Any) -> str:
        """What Word draws before the paragraph; "" for no list, or a bullet."""
        found = child(paragraph, "w:pPr", "w:numPr")
        if found is None:
            styles = self._document.style(value(paragraph, "w:pPr", "w:pStyle"))
            found = next((s.numbering for s in styles if s.numbering is not None), None)
        if found is None:
            return ""
        number, level = value(found, "w:numId") or "", value(found, "w:ilvl") or "0"
        levels = self._lists.get(number, {})
        if level not in levels or not level.isdigit():
            return ""
        depth = int(level)
        counts = self._counts[self._abstract[number]]
        if (again := self._starts[number].pop(depth, None)) is not None:
            counts[depth] = again - 1
        counts[depth] = counts.get(depth, _start(levels[level]) - 1) + 1
        for deeper in [each for each in counts if each > depth]:
            del counts[deeper]
        if (value(levels[level], "w:numFmt") or "decimal") in ("bullet", "none"):
            return ""

        def count(place: re.Match[str]) -> str:
            inner = int(place.group(1)) - 1
            own = levels.get(str(inner))
            reached = counts.get(inner, 1 if own is None else _start(own))
            return _written(reached, "" if own is None else value(own, "w:numFmt") or "")

        return re.sub(r"%([1-9])", count, value(levels[level], "w:lvlText") or "").strip()


def _levels(holder: Any) -> dict[str, Any]:
    """The w:lvl of a list's definition, or of a change to it, by their numbers."""
    found = [each for each in (holder if holder is not None else ()) if name(each) == "w:lvl"]
    return {attribute(level, "ilvl") or "0": level for level in found}


def _start(level: Any) -> int:
    start = value(level, "w:start") or "1"
    return int(start) if start.isascii() and start.isdigit() and len(start) < 6 else 1


def _written(count: int, form: str) -> str:
    """A count in the list's own digits; those that matter for labels, else decimal ones."""
    if form in _CHINESE_FORMATS and 0 < count < 100:
        tens, ones = divmod(count, 10)
        head = {0: "", 1: "十"}.get(tens, f"{_CHINESE[tens]}十")
        return head + (_CHINESE[ones] if ones else "")
    if form == "upperLetter" and 0 < count <= 26:
        return chr(ord("A") + count - 1)
    if form == "lowerLetter" and 0 < count <= 26:
        return chr(ord("a") + count - 1)
    return str(count)
