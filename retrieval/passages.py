"""Passages: what is found and shown. One JSON object a line, in the order of the book."""

import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

PASSAGES_NAME = "passages.jsonl"


@dataclass(frozen=True)
class Passage:
    """A stretch of one section of a book.

    path: headings, outermost first. start, end: characters in the book's Markdown text. page: on
    which it begins, from 1, where the book has pages (PDF).
    """

    id: str
    book: str
    path: tuple[str, ...]
    start: int
    end: int
    text: str
    page: int | None = None

    @property
    def place(self) -> str:
        """Where a reader finds it: the book, its headings, the page."""
        named = " › ".join([self.book, *self.path])
        return f"{named} · p. {self.page}" if self.page else named

    @property
    def heading(self) -> str:
        """The two innermost headings: enough to say what the passage is about."""
        return " › ".join(self.path[-2:])

    @property
    def indexed_text(self) -> str:
        """What is searched: the heading often holds the word that the text only refers to."""
        return f"{self.heading}\n{self.text}" if self.path else self.text


def write_passages(directory: Path, passages: Iterable[Passage]) -> None:
    """Write `passages.jsonl`. Raises OSError."""
    with (directory / PASSAGES_NAME).open("w", encoding="utf-8", newline="\n") as stream:
        for passage in passages:
            row = asdict(passage)
            if passage.page is None:
                del row["page"]
            stream.write(json.dumps(row, ensure_ascii=False) + "\n")


def read_passages(directory: Path) -> Sequence[Passage]:
    """The passages of an index. Raises OSError, or ValueError naming the line."""
    path = directory / PASSAGES_NAME
    passages = []
    for number, line in enumerate(path.read_text(encoding="utf-8").split("\n"), 1):
        if not line:
            continue
        try:
            row = json.loads(line)
            passages.append(Passage(**{**row, "path": tuple(row["path"])}))
        except (ValueError, TypeError, KeyError) as error:
            raise ValueError(f"{path}, line {number}: not a passage ({error})") from error
    return passages
