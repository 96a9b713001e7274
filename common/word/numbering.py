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
        root = document.numbering
        abstracts = {}
        for each in root if root is not None else ():
            if name(each) == "w:abstractNum":
                abstracts[attribute(each, "abstractNumId")] = each
        for each in root if root is not None else ():
            if name(each) == "w:num":
                chosen = value(each, "w:abstractNumId") or ""
                levels = abstracts.get(chosen)
                self._lists[attribute(each, "numId") or ""] = {
                    attribute(level, "ilvl") or "0": level
                    for level in (levels if levels is not None else ())
                    if name(level) == "w:lvl"
                }
                self._abstract[attribute(each, "numId") or ""] = chosen

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
