"""Figures of books as records: a picture is not in the text, but its place is known."""

import re
from dataclasses import asdict, dataclass
from typing import Any

from common.language import either

_NUMBER = re.compile(r"^\s*(?:图|圖|插图|Figure|Fig\.?)\s*([A-Z]?\d+(?:[.\-–]\d+)*[a-z]?)", re.I)
_CAPTION = re.compile(rf"{_NUMBER.pattern}[\s:：.、]*\S", re.I)


@dataclass(frozen=True)
class Figure:
    """One picture: its file as the book names it, caption, number, section and place.

    `image` is a file name, a part of an e-book, or "#page=12" of a PDF; `start` is the offset in
    the book's Markdown.
    """

    image: str
    caption: str
    path: tuple[str, ...]
    start: int

    @property
    def number(self) -> str:
        """As printed: "3.2"; empty for none."""
        found = _NUMBER.match(self.caption)
        return found.group(1) if found else ""

    @property
    def place(self) -> str:
        """A short name for messages."""
        file = "" if self.image == "data:" else self.image.rsplit("/", 1)[-1]
        return (self.caption or file or " › ".join(self.path) or either("图", "picture"))[:40]

    def to_dict(self, book: str) -> dict[str, Any]:
        """JSON form, as figures.jsonl has it."""
        return {"book": book, "number": self.number, **asdict(self)}


def is_caption(text: str) -> bool:
    """Does a short paragraph name the figure above it?"""
    return len(text) < 120 and bool(_CAPTION.match(text)) and not re.search(r"。.", text)
