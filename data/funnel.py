"""Counts of a build from books to distinct pairs, for the report."""

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from data.filters import Filters


@dataclass
class Funnel:
    """Counts from books to distinct pairs.

    `sections` maps (book, headings…) to characters, `parts` a chunk's id to its sections.
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
    cleaned: int = 0
    distinct: int = 0
    leaked: int = 0
    duplicates: Counter[str] = field(default_factory=Counter)

    def steps(self, filters: Filters) -> list[dict[str, Any]]:
        """The funnel as rows: name, count, and what was lost there by reason."""
        rows: list[tuple[str, int, dict[str, int]]] = [
            ("books", len(self.books), {"unreadable": len(self.skipped)}),
            ("sections with text", len(self.sections), {"contents and references": self.apparatus}),
            ("chunks", self.chunks, {"the source gave no answer": self.unanswered}),
            ("pairs made", self.made, {}),
            ("pairs merged in", self.merged, {}),
            ("after cleaning", self.cleaned, dict(sorted(filters.dropped.items()))),
            ("after near-duplicates", self.distinct, dict(sorted(self.duplicates.items()))),
            ("after leaks", self.distinct - self.leaked, {"near a test pair": self.leaked}),
        ]
        return [
            {"name": name, "count": count, "lost": {k: v for k, v in lost.items() if v}}
            for name, count, lost in rows
        ]
