"""A whole chunk in stretches to ask about, for questions that are answered anew (`--to-compose`).

Such a stretch is no answer, so that it may begin inside a thought or point to a figure: nothing of
the book is left out but what holds nothing to ask for.
"""

import re
from collections.abc import Iterator, Sequence
from itertools import groupby, pairwise

from data.records import CODE, ITEM, TABLE, Block, Chunk
from data.sources.spans import Span
from data.text import ascii_terms, sentences

USUAL, LONGEST = 400, 600  # characters; a stretch is filled up to the first
LEAST = 20  # letters, digits and Chinese characters: less says nothing to ask for
_LINK = re.compile(r"!?\[[^\]]*\]\([^)]*\)|https?://\S+")


def stretches(chunk: Chunk) -> tuple[list[Span], int]:
    """The stretches of a chunk in order, and how many of its parts hold too little to ask for.

    None crosses a heading. Code is cut at blank lines, long paragraphs between sentences.
    """
    found, short = [], 0
    for _, group in groupby(chunk.blocks, lambda block: block.path):
        for pieces in _filled([piece for block in group for piece in _pieces(block)]):
            text = _joined(pieces)
            if len(re.sub(r"[\W_]+", "", _LINK.sub("", text))) < LEAST:
                short += 1
                continue
            first, last = pieces[0][1], pieces[-1][1]
            kind = CODE if any(block.kind == CODE for _, block in pieces) else "other"
            found.append(Span(text, first.start, last.end, kind))
    return found, short


def _pieces(block: Block) -> Iterator[tuple[str, Block]]:
    """A block whole, or in pieces of at most LONGEST characters where it is longer."""
    text = f"{block.marker} {block.text}" if block.marker else block.text
    if len(text) <= LONGEST:
        yield text.strip("\n"), block
        return
    lines = block.kind in (CODE, TABLE)
    units = re.split(r"\n(?=\s*\n)", text) if lines else sentences(text)
    units = [part for unit in units for part in (_lines(unit) if lines else [unit])]
    held = ""
    for unit in units:
        if held and len(held) + len(unit) > USUAL:
            yield held.strip("\n"), block
            held = ""
        held += ("\n" if held and lines else "") + unit
    yield held.strip("\n"), block


def _lines(part: str) -> Iterator[str]:
    """What has no blank line and is still too long, by lines."""
    if len(part) <= LONGEST:
        yield part
    else:
        yield from part.split("\n")


def _filled(pieces: Sequence[tuple[str, Block]]) -> Iterator[list[tuple[str, Block]]]:
    """Pieces together up to USUAL characters; a line that announces goes with what follows, and a
    short rest with what was before."""
    runs: list[list[tuple[str, Block]]] = []
    for piece in pieces:
        size = sum(len(text) + 1 for text, _ in runs[-1]) if runs else 0
        announced = bool(runs) and runs[-1][-1][0].rstrip().endswith(("：", ":"))
        limit = LONGEST if announced or len(piece[0]) < USUAL / 4 else USUAL
        if runs and size + len(piece[0]) <= limit:
            runs[-1].append(piece)
        else:
            runs.append([piece])
    yield from runs


def _joined(pieces: Sequence[tuple[str, Block]]) -> str:
    text = pieces[0][0]
    for (_, before), (piece, block) in pairwise(pieces):
        same = before is block and block.kind not in (CODE, ITEM, TABLE)
        text += ("" if same else "\n") + piece
    return text


_WORDS_OF_LANGUAGES = frozenset(
    """int float double char void const auto return for if else while include define struct class
    template typename using namespace std static inline unsigned size_t true false main printf
    import from def print self the and with this that not nullptr NULL bool long
    """.split()  # noqa: SIM905 - reads better than a list
)


def terms_of(span: Span, chunk: Chunk) -> list[str]:
    """Names that a question to the stretch can be about: those the author marked, then Latin ones
    of its prose and functions that its code calls, the most frequent first."""
    marked = [
        term
        for block in chunk.blocks
        if span.start <= block.start and block.end <= span.end
        for term in block.terms
        if term in span.text and re.fullmatch(r"[^，。：:；;？?]{2,24}", term)
    ]
    prose = "\n".join(line for line in span.text.split("\n") if re.search("[\u4e00-\u9fff]", line))
    called = re.findall(r"\b([A-Za-z_]\w{3,})\s*(?:<<<|\()", span.text)
    names = [name for name in [*ascii_terms(prose), *called] if re.match(r"[A-Za-z_]\w\w", name)]
    names.sort(key=lambda name: -names.count(name))
    left_out = {*_WORDS_OF_LANGUAGES, *chunk.topics}
    return [name for name in dict.fromkeys([*marked, *names]) if name not in left_out]
