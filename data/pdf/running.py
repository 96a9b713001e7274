"""Running heads and feet: title, date, page number at the same height on page after page."""

import re
from collections import Counter, defaultdict
from collections.abc import Sequence

from data.pdf.lines import Line
from data.text import normalise

_NUMBER_ONLY = re.compile(r"[-–—\s·.第]*\d{1,4}[-–—\s·.页]*|[ivxlcIVXLC]{1,6}")
_NUMBER = re.compile(r"(?<![\d.])\d{1,4}(?![\d.])")  # not the "2" of a section's 1.2
_LONGEST = 90  # characters of a running head
_LARGE = 1.15  # of the usual size: a row set so is a title that happens to begin each page
_BEGIN = 6  # characters that heads of one book have in common
Row = list[int]  # indexes of the lines of one baseline


def without_running(lines: Sequence[Line], pages: int) -> list[Line]:
    """The lines without heads, feet and page numbers; up to three of them at either end, or
    six in small print (a notice below each page)."""
    gone: set[int] = set()
    sizes = Counter(line.size for line in lines)
    large = max(sizes, key=sizes.__getitem__, default=0.0) * _LARGE
    for row in range(6):
        rows = _edge_rows(lines, gone)
        found = _running(lines, rows, pages, large) | _of_first_page(lines, rows["top"], large)
        if row >= 3:
            found = {i for i in found if _small(lines[i], large)}
            found -= {i for i in found if _NUMBER_ONLY.fullmatch(lines[i].text.strip())}
        if not found:
            break
        gone |= found
    return [line for index, line in enumerate(lines) if index not in gone]


def _edge_rows(lines: Sequence[Line], gone: set[int]) -> dict[str, dict[int, Row]]:
    """The first and the last row of each page: end → page → line indexes."""
    ends: dict[str, dict[int, Row]] = {"top": {}, "bottom": {}}
    pages: dict[int, list[int]] = defaultdict(list)
    for index, line in enumerate(lines):
        if index not in gone and not line.block:
            pages[line.page].append(index)
    for page, indexes in pages.items():
        for end, pick in (("top", min), ("bottom", max)):
            base = pick(lines[index].base for index in indexes)
            row = [i for i in indexes if abs(lines[i].base - base) < 3]
            ends[end][page] = sorted(row, key=lambda i: lines[i].left)
    return ends


def _running(
    lines: Sequence[Line], ends: dict[str, dict[int, Row]], pages: int, large: float
) -> set[int]:
    found: set[int] = set()
    for by_page in ends.values():
        said: set[str] = set()
        heights: dict[int, list[int]] = defaultdict(list)
        for page, row in by_page.items():
            base = lines[row[0]].base
            heights[
                min(heights, key=lambda h: abs(h - base))
                if any(abs(h - base) <= 2 for h in heights)
                else round(base)
            ].append(page)
        for own in heights.values():
            texts = {page: " ".join(lines[i].text for i in by_page[page]) for page in own}
            if any(lines[i].mono for page in own[:5] for i in by_page[page]) and len(own) < 10:
                continue
            titles = {page for page in own if any(lines[i].size > large for i in by_page[page])}
            kept = _repeated(texts, titles) if len(own) >= max(3, pages * 0.1) else set()
            said |= {_words(texts[page]) for page in kept}
            for page in own:
                number = _NUMBER_ONLY.fullmatch(texts[page].strip()) and pages > 1
                if page in kept or number:
                    found.update(by_page[page])
        # The first page, or a chapter's, may set it at a height of its own.
        for row in by_page.values():
            if said - {""} and _words(" ".join(lines[i].text for i in row)) in said - {""}:
                found.update(row)
    return found


def _small(line: Line, large: float) -> bool:
    return line.size < large / _LARGE * 0.9


def _of_first_page(lines: Sequence[Line], tops: dict[int, Row], large: float) -> set[int]:
    """Small heads that say the title or journal of the first page: an article has few pages."""
    first = min(tops, default=0)
    said = [_words(line.text) for line in lines if line.page == first and not line.block]
    said = [words for words in said if words]
    found: set[int] = set()
    for page, row in tops.items():
        words = _words(" ".join(lines[i].text for i in row))
        small = all(_small(lines[i], large) and not lines[i].mono for i in row)
        # A word of a title is a word of the text as well: it has to be half of it.
        told = any(words in line and 2 * len(words) >= len(line) for line in said)
        if page != first and small and len(words) >= 4 and told:
            found.update(row)
    return found


def _repeated(texts: dict[int, str], titles: set[int]) -> set[int]:
    """The pages whose row is a running one: it says what others say, or counts the pages.

    titles: pages whose row is set larger than the text; only what others say makes those run.
    """
    offsets: Counter[int] = Counter()
    same: Counter[str] = Counter()
    for page, text in texts.items():
        offsets.update({int(number) - page for number in _NUMBER.findall(text)})
        same[_words(text)] += 1
    offset, counted = offsets.most_common(1)[0] if offsets else (0, 0)
    counting = counted >= max(3, len(texts) * 0.5)

    def runs(page: int) -> bool:
        text = texts[page]
        numbered = counting and page not in titles and str(page + offset) in _NUMBER.findall(text)
        words = _words(text)
        return len(text) <= _LONGEST and (numbered or bool(words) and same[words] >= 3)

    running = {page for page in texts if runs(page)}
    if len(running) < len(texts) * 0.5:
        return set()
    # The rest of such a row is one as well: a title that stands on two pages only.
    rest = {p for p, text in texts.items() if len(text) <= _LONGEST * 0.5 and counting}
    # So is what begins as they do: the book's title before that of a short chapter.
    begins = {_words(texts[page])[:_BEGIN] for page in running}
    alike = {
        p
        for p, text in texts.items()
        if len(text) <= _LONGEST and len(_words(text)) > _BEGIN and _words(text)[:_BEGIN] in begins
    }
    return running | (rest | alike) - titles


def _words(text: str) -> str:
    return normalise(re.sub(r"\d+", "", text))
