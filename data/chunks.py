"""Sections → chunks: whole paragraphs and code blocks, `MIN_CHARS` to `MAX_CHARS` long."""

from collections.abc import Iterable, Iterator
from dataclasses import replace

from data.records import CODE, ITEM, TABLE, Block, Chunk, block_text
from data.sections import Section
from data.text import sentences

MIN_CHARS, MAX_CHARS = 200, 1500


def cut_chunks(
    book: str, sections: Iterable[Section], low: int = MIN_CHARS, high: int = MAX_CHARS
) -> Iterator[Chunk]:
    """Chunks of a book in order. No sentence, code block, table or list item is cut.

    A chunk is longer than `high` only when it is one code block, table or sentence; shorter than
    `low` only when no neighbour under the same parent heading has room for it.
    Contents and reference sections give none.
    """
    held: Chunk | None = None
    for section, following in _with_next(sections):
        if section.is_apparatus:
            continue
        made = list(_section_chunks(book, section, low, high))
        parted = following is not None and following.path[: len(section.path)] == section.path
        if len(made) == 1 and not parted and not section.figures:
            made = [replace(made[0], whole=(section.path,))]
        for chunk in made:
            if held is None:
                held = chunk
                continue
            joined = _join(held, chunk)
            small = _size(held) < low or _size(chunk) < low
            if small and joined and _size(joined) <= high:
                held = joined
            else:
                yield held
                held = chunk
    if held is not None:
        yield held


def _with_next(sections: Iterable[Section]) -> Iterator[tuple[Section, Section | None]]:
    """Each section with the one after it."""
    before: Section | None = None
    for section in sections:
        if before is not None:
            yield before, section
        before = section
    if before is not None:
        yield before, None


def _size(chunk: Chunk) -> int:
    return len(chunk.text)


def _join(first: Chunk, second: Chunk) -> Chunk | None:
    """Both as one chunk, if they share a heading; its path is the headings they share."""
    shared = 0
    for a, b in zip(first.path, second.path, strict=False):
        if a != b:
            break
        shared += 1
    if shared == 0 and (first.path or second.path):
        return None
    blocks = first.blocks + second.blocks
    return Chunk(
        first.book,
        first.path[:shared],
        first.start,
        second.end,
        blocks,
        whole=first.whole + second.whole,
    )


def _section_chunks(book: str, section: Section, low: int, high: int) -> Iterator[Chunk]:
    """Fill chunks up to `high`; a last one below `low` takes blocks from the one before."""
    runs: list[list[list[Block]]] = []
    size = 0
    for unit in _units(section.blocks, high):
        length = sum(len(block_text(block)) + 2 for block in unit)
        if runs and size + length <= high:
            runs[-1].append(unit)
            size += length
        else:
            runs.append([unit])
            size = length
    if len(runs) > 1 and _length(runs[-1]) < low:
        while len(runs[-2]) > 1 and _length(runs[-1]) < low:
            unit = runs[-2][-1]
            if _length([unit, *runs[-1]]) > high:
                break
            runs[-1].insert(0, runs[-2].pop())
    for run in runs:
        blocks = tuple(block for unit in run for block in unit)
        yield Chunk(book, section.path, blocks[0].start, blocks[-1].end, blocks)


def _length(run: list[list[Block]]) -> int:
    return sum(len(block_text(block)) + 2 for unit in run for block in unit)


def _units(blocks: list[Block], high: int) -> Iterator[list[Block]]:
    """Blocks that belong together: a line that announces ("…：") with what it announces."""
    unit: list[Block] = []
    size = 0
    for block in (part for whole in blocks for part in _split_long(whole, high)):
        length = len(block_text(block)) + 2
        announced = bool(unit) and (
            unit[-1].text.rstrip().endswith(("：", ":"))
            or (unit[-1].kind == ITEM and block.kind == ITEM)
        )
        if announced and size + length <= high:
            unit.append(block)
            size += length
            continue
        if unit:
            yield unit
        unit, size = [block], length
    if unit:
        yield unit


def _split_long(block: Block, high: int) -> Iterator[Block]:
    """A paragraph longer than `high` in pieces of whole sentences; code and tables stay whole."""
    if block.kind in (CODE, TABLE) or len(block.text) <= high:
        yield block
        return
    piece = ""
    for sentence in sentences(block.text):
        if piece and len(piece) + len(sentence) > high:
            yield replace(block, text=piece)
            piece = ""
        spaced = bool(piece) and piece[-1].isascii() and sentence[0].isascii()
        piece += (" " if spaced else "") + sentence
    if piece:
        yield replace(block, text=piece)
