"""The funnel of a build: how much is left after each step from books to pairs, for the report."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from data.dropped import Dropped
from data.figures import Figure
from data.losses import Loss, by_kind, lines_of
from data.records import Chunk


@dataclass
class Funnel:
    """Counts after each step.

    `sections` maps (book, headings…) to characters, `parts` a chunk's id to its sections;
    `apparatus` counts contents and reference sections, `unanswered` chunks that the source made
    nothing of, `usage` the calls, prompt and answer tokens of the others, in this run or an
    earlier one, `filtered` the pairs that the filters let through, `leaked` those too near to a
    test pair, `unlike` those left out by --like.
    """

    books: list[str] = field(default_factory=list)
    skipped: list[str] = field(default_factory=list)
    skipped_why: list[str] = field(default_factory=list)
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
    unlike: int = 0
    losses: dict[str, list[Loss]] = field(default_factory=dict)
    figures: list[dict[str, Any]] = field(default_factory=list)
    pages: dict[str, tuple[int, int]] = field(default_factory=dict)
    usage: list[int] = field(default_factory=lambda: [0, 0, 0])
    duplicates: Dropped = field(default_factory=Dropped)
    reviewed: Dropped = field(default_factory=Dropped)
    unrated: int = 0
    leaks: Dropped = field(default_factory=Dropped)

    def skip(self, book: str, why: str) -> None:
        """Counts a book that is left out; `why` names it with its folder."""
        self.skipped.append(book)
        self.skipped_why.append(why)

    def add_chunks(self, book: str, chunks: list[Chunk]) -> None:
        """Counts a book's chunks and the sections that they hold."""
        self.books.append(book)
        self.chunks += len(chunks)
        for chunk in chunks:
            sections = [(book, *block.path) for block in chunk.blocks]
            self.parts[chunk.id] = list(dict.fromkeys(sections))
            for section, block in zip(sections, chunk.blocks, strict=True):
                self.sections[section] = self.sections.get(section, 0) + len(block.text)

    def add_reading(
        self, book: str, losses: list[Loss], figures: list[Figure], pages: int, ocr_pages: int
    ) -> None:
        """What of a book is not in its text, its figures, and its pages where it has some."""
        if losses:
            self.losses[book] = losses
        self.figures += [figure.to_dict(book) for figure in figures]
        if pages:
            self.pages[book] = (pages, ocr_pages)

    def reading(self) -> list[dict[str, Any]]:
        """For the report: by book its pages, those from OCR, and the place of each loss by kind."""
        rows = []
        for book in dict.fromkeys([*self.pages, *self.losses]):
            pages, ocr_pages = self.pages.get(book, (0, 0))
            lost = {
                kind: [f"{loss.place}: {loss.why}" if loss.why else loss.place for loss in losses]
                for kind, losses in by_kind(self.losses.get(book, [])).items()
            }
            rows.append({"book": book, "pages": pages, "ocr_pages": ocr_pages, "lost": lost})
        return rows

    def reading_warnings(self) -> list[str]:
        """One line a book that lost something; one for all where there are many."""
        return lines_of(self.losses, len(self.books))

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
        if self.unlike:
            left = self.distinct - self.leaked - self.unlike
            rows.append(("like the target", left, {"of a sort that it has fewer of": self.unlike}))
        return [
            {"name": name, "count": count, "lost": {k: v for k, v in lost.items() if v}}
            for name, count, lost in rows
        ]
