"""A Word document in memory: its body, its styles, and what of it could not be read."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from common.word.xml import attribute, child, is_on, name, value


@dataclass(frozen=True)
class Style:
    """What a style says about text: its name, the one it is based on, and what shows of it."""

    name: str = ""
    based_on: str = ""
    hidden: bool | None = None
    vertical: str = ""
    outline: str = ""
    numbering: Any = None
    struck: bool | None = None


@dataclass
class WordDocument:
    """The cleaned body, the styles by id, the numbering part's root, and what could not be read.

    `unread` maps what it is ("formula", "picture", …) to the numbers of its paragraphs.
    """

    body: Any
    styles: Mapping[str, Style]
    numbering: Any = None
    unread: dict[str, list[int]] = field(default_factory=dict)

    def note(self, what: str, number: int) -> None:
        """Something visible in paragraph `number` is not in the text."""
        found = self.unread.setdefault(what, [])
        if number not in found:
            found.append(number)

    def style(self, style_id: str | None) -> Iterator[Style]:
        """A style and those it is based on, nearest first."""
        seen = set()
        while style_id and style_id not in seen and style_id in self.styles:
            seen.add(style_id)
            found = self.styles[style_id]
            yield found
            style_id = found.based_on


def read_styles(root: Any) -> dict[str, Style]:
    """The styles of a styles part by their ids; none where there is no such part."""
    found = {}
    for each in root if root is not None else ():
        if name(each) != "w:style":
            continue
        found[attribute(each, "styleId") or ""] = Style(
            value(each, "w:name") or "",
            value(each, "w:basedOn") or "",
            is_on(each, "w:rPr", "w:vanish"),
            value(each, "w:rPr", "w:vertAlign") or "",
            value(each, "w:pPr", "w:outlineLvl") or "",
            child(each, "w:pPr", "w:numPr"),
            is_on(each, "w:rPr", "w:strike"),
        )
    return found
