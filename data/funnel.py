"""The funnel of a build: how much is left after each step from books to pairs, for the report."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from data.dropped import Dropped
from data.records import Chunk


@dataclass
class Funnel:
    """Counts after each step.

    `sections` maps (book, headings…) to characters, `parts` a chunk's id to its sections;
    `apparatus` counts contents and reference sections, `unanswered` chunks that the source made
    nothing of, `usage` the calls, prompt and answer tokens of the others, in this run or an
    earlier one, `filtered` the pairs that the filters let through, `leaked` those too near to a
    test pair.
    """

    books: list[str] = field(default_factory=list)
    skipped: list[str] = field(default_factory=list)
    sections: dict[tuple[str, ...], int] = field(default_factory=dict)
    parts: dict[str, list[tuple[str, ...]]] = field(default_factory=dict)
    apparatus: int = 0
    chunks: int = 0
    unanswered: int = 0
    made: int = 0
    merged: int = 0
    filtered: int = 0
    distinct: int = 0
    leaked: int = 0
    usage: list[int] = field(default_factory=lambda: [0, 0, 0])
    duplicates: Dropped = field(default_factory=Dropped)
    reviewed: Dropped = field(default_factory=Dropped)
    unrated: int = 0
    leaks: Dropped = field(default_factory=Dropped)

    def add_chunks(self, book: str, chunks: list[Chunk]) -> None:
        """Counts a book's chunks and the sections that they hold."""
        self.books.append(book)
        self.chunks += len(chunks)
        for chunk in chunks:
            sections = [(book, *block.path) for block in chunk.blocks]
            self.parts[chunk.id] = list(dict.fromkeys(sections))
            for section, block in zip(sections, chunk.blocks, strict=True):
                self.sections[section] = self.sections.get(section, 0) + len(block.text)

    def steps(self, dropped: Mapping[str, int]) -> list[dict[str, Any]]:
        """Rows of name, count and what was lost there by reason; `dropped` is the filters'."""
        rows: list[tuple[str, int, Mapping[str, int]]] = [
            ("books", len(self.books), {"unreadable": len(self.skipped)}),
            ("sections with text", len(self.sections), {"contents and references": self.apparatus}),
            ("chunks", self.chunks, {"the source gave no answer": self.unanswered}),
            ("pairs made", self.made, {}),
            ("pairs merged in", self.merged, {}),
            ("after cleaning", self.filtered, dict(sorted(dropped.items()))),
            *(
                [("after review", self.filtered - self.reviewed.total(), dict(self.reviewed))]
                if self.reviewed or self.unrated
                else []
            ),
            ("after near-duplicates", self.distinct, dict(sorted(self.duplicates.items()))),
            ("after leaks", self.distinct - self.leaked, {"near a test pair": self.leaked}),
        ]
        return [
            {"name": name, "count": count, "lost": {k: v for k, v in lost.items() if v}}
            for name, count, lost in rows
        ]
