"""What of a book is not in its text: pages, formulas, figures, tables, each with its place."""

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from common.language import either

PAGE, FORMULA, FIGURE, TABLE, TEXT = "page", "formula", "figure", "table", "text"
HEADING, SUMMARY = "heading", "summary"
_NAMES = {
    PAGE: ("页没有读出", "pages not read"),
    FORMULA: ("个公式没有读出", "formulas not read"),
    FIGURE: ("幅图只留下记录", "figures kept as records only"),
    TABLE: ("个表格没有读成表格", "tables not read as tables"),
    TEXT: ("处文字没有读出", "pieces of text not read"),
    HEADING: ("个标题下面没有文字，没有用", "headings with nothing under them, left out"),
    SUMMARY: ("条页面简介没有读", "descriptions of pages not read"),
}


@dataclass(frozen=True)
class Loss:
    """One thing that the text lacks.

    `kind`: page, formula, figure, table, text, heading or summary. `place`: where a reader finds
    it ("p. 12", "paragraph 40", a caption). `why`: in a few words.
    """

    kind: str
    place: str
    why: str = ""


@dataclass
class Reading:
    """A book's text as Markdown, and what of the book is not in it.

    `pages` and `ocr_pages` count the pages of a PDF, and those whose text comes from OCR;
    `page_starts`: characters of `text` where a page begins, with its number from 1.
    """

    text: str
    losses: list[Loss] = field(default_factory=list)
    pages: int = 0
    ocr_pages: int = 0
    page_starts: list[tuple[int, int]] = field(default_factory=list)

    def to_dict(self) -> dict[str, Any]:
        """JSON form; `reading_from` reads it back."""
        return asdict(self)


def reading_from(row: dict[str, Any]) -> Reading:
    """Rebuild a reading from `Reading.to_dict`."""
    return Reading(**{**row, "losses": [Loss(**loss) for loss in row["losses"]]})


def by_kind(losses: Iterable[Loss]) -> dict[str, list[Loss]]:
    """Losses grouped by their kind."""
    found: dict[str, list[Loss]] = defaultdict(list)
    for loss in losses:
        found[loss.kind].append(loss)
    return found


def spoken(losses: Iterable[Loss]) -> str:
    """One line that counts and names the losses; empty for none."""
    parts = []
    for kind, rows in by_kind(losses).items():
        places = list(dict.fromkeys(row.place for row in rows))
        if kind == PAGE and all(re.fullmatch(r"p\. \d+", place) for place in places):
            named = ranges(places)
        else:
            named = ", ".join(places[:3]) + (" …" if len(places) > 3 else "")
        whys = _summed(row.why for row in rows if row.why)
        reason = f"; {'; '.join(whys[:2])}" if whys else ""
        zh, en = _NAMES[kind]
        parts.append(
            either(f"{len(rows)} {zh}（{named}{reason}）", f"{len(rows)} {en} ({named}{reason})")
        )
    return "; ".join(parts)


def _summed(whys: Iterable[str]) -> list[str]:
    """Reasons, each once; of those that only count differently, one with their sum."""
    sums: dict[str, list[int]] = {}
    for why in whys:
        count, rest = re.fullmatch(r"(\d*)(.*)", why, re.S).groups()
        sums.setdefault(rest, []).append(int(count or 0))
    return [f"{sum(counts) or ''}{rest}" for rest, counts in sums.items()]


def lines_of(losses: Mapping[str, list[Loss]], books: int) -> list[str]:
    """One line a book that lost something; one for all of so many books where there are many."""
    if len(losses) <= 3:
        return [f"{book}: {spoken(rows)}" for book, rows in losses.items()]
    everything = [
        Loss(loss.kind, f"{book} {loss.place}", loss.why)
        for book, rows in losses.items()
        for loss in rows
    ]
    books = max(books, len(losses))
    return [f"{len(losses)} of {books} books: {spoken(everything)}"]


def ranges(places: Iterable[str]) -> str:
    """Page numbers with neighbours joined: "p. 1–3, 7"."""
    numbers = sorted({int(place.removeprefix("p. ")) for place in places})
    found: list[list[int]] = []
    for number in numbers:
        if found and found[-1][1] == number - 1:
            found[-1][1] = number
        else:
            found.append([number, number])
    shown = [f"{a}" if a == b else f"{a}–{b}" for a, b in found]
    return "p. " + ", ".join(shown[:12]) + (" …" if len(shown) > 12 else "")
