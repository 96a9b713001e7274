"""Stretches of a chunk that can be answers: whole sentences, list items, code and tables.

A small model writes short, vague answers, but asks well about an answer that it is shown. So the
book's own words are the answer: true, rich in terms, and of the length that is wanted.
"""

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import groupby, pairwise

from data.records import CODE, ITEM, PARAGRAPH, TABLE, Block, Chunk, block_text, digest
from data.sources.sentence import clean_sentences, is_standalone, points_elsewhere
from data.text import ascii_terms, cjk_share

_ANNOUNCES = re.compile(r"[：:]$")
_BELOW = re.compile(r"^(?:以下|下面|如下)是?|(?:如下|下面|以下)(?:所示)?(?=[：:]?$)")
_ENDS = re.compile(r"[。！？.!?；;）)」”]\s*$")
_ENDS_OR_ANNOUNCES = re.compile(r"[。！？.!?：:)）」”`]\s*$")
_PICTURE = re.compile(r"^\s*!?\[[^\]]*\]\([^)]*\)\s*$")
# Signs of Markdown dialects for boxes: ":::tip", "[!NOTE]".
_BOX = re.compile(r"^\s*:{3,}\s*\w*\s*|\[!\w+\]\s*|\s*:{3,}\s*$", re.M)


@dataclass(frozen=True)
class Span:
    """An answer and its place in the book; kind is CODE where code is part of it."""

    text: str
    start: int
    end: int
    kind: str


@dataclass(frozen=True)
class _Unit:
    """What is never cut. `opens`: an answer may begin here; `closes`: one may end here."""

    text: str
    block: Block
    opens: bool
    closes: bool


def answer_spans(chunk: Chunk, shortest: int, longest: int, most: int) -> list[Span]:
    """At most `most` spans of about `shortest` to `longest` characters, in the book's order.

    They overlap as little as their number allows. None crosses a heading, begins with a word that
    points back or holds a sentence that points elsewhere (a figure, another chapter).
    """
    lengths = (shortest, (shortest + longest) // 2, longest)
    found: dict[str, Span] = {}
    for units in _runs(chunk, longest):
        for first, unit in enumerate(units):
            # Code goes with the sentence before it.
            parted = first and unit.block.kind == CODE != units[first - 1].block.kind
            for length in lengths if unit.opens and not parted else ():
                last = _reach(units, first, length, longest)
                if last is not None:
                    span = _span(units[first : last + 1])
                    found.setdefault(span.text, span)
    fit = [s for s in found.values() if len(s.text) >= shortest / 2 and _is_worth_asking(s)]
    return _spread(fit, most)


def _runs(chunk: Chunk, longest: int) -> Iterator[list[_Unit]]:
    """Units without a heading, or anything that cannot stand in an answer, between them."""
    run: list[_Unit] = []
    for before, block in pairwise((None, *_joined_lists(chunk.blocks))):
        if block is None:
            continue
        if before is not None and before.path != block.path:
            yield run
            run = []
        if before is None or before.path != block.path:
            whole = True
        elif block.kind == ITEM:  # without the line before it, a list is a list of what?
            whole = False
        else:
            whole = before.kind != PARAGRAPH or bool(_ENDS_OR_ANNOUNCES.search(before.text))
        for unit in _units(block, longest, whole):
            if unit is None:
                yield run
                run = []
            else:
                run.append(unit)
    yield run


def _joined_lists(blocks: Sequence[Block]) -> Iterator[Block]:
    """The blocks, all items of a list as one: half a list is a half answer."""
    for is_list, group in groupby(blocks, lambda block: (block.kind == ITEM, block.path)):
        items = list(group)
        if not is_list[0]:
            yield from items
            continue
        text = "\n".join(block_text(item) for item in items)
        yield replace(items[0], text=text, end=items[-1].end, marker="")


def _units(block: Block, longest: int, whole: bool) -> Iterator[_Unit | None]:
    """The units of a block; None where an answer may not go on.

    An answer begins at the beginning of a paragraph, where the text before it is `whole`: in the
    middle of one, a sentence says half a thought.
    """
    if block.kind == CODE:
        for piece in _pieces(block.text, longest):
            whole = _is_balanced(piece) and len(piece.split("\n")) > 1
            yield _Unit(piece, block, whole, True)
    elif block.kind == TABLE:
        yield _Unit(block.text, block, False, True) if len(block.text) <= longest else None
    elif block.kind == ITEM:
        text = _BOX.sub("", block.text).strip()
        yield (
            None
            if len(text) > longest or points_elsewhere(text)
            else _Unit(text, block, whole and is_standalone(re.sub(r"^\S+ ", "", text)), True)
        )
    else:
        for number, sentence in enumerate(clean_sentences(_BOX.sub("", block.text))):
            announces = bool(_ANNOUNCES.search(sentence))
            if _PICTURE.match(sentence) or (points_elsewhere(sentence) and not announces):
                yield None
                continue
            if announces and points_elsewhere(sentence := _BELOW.sub("", sentence)):
                yield None
                continue
            if not (announces or _ENDS.search(sentence)):
                yield None  # a line cut by its layout: the rest of the sentence is elsewhere
                continue
            opens = whole and number == 0 and is_standalone(sentence)
            yield _Unit(sentence, block, opens, not announces)


def _pieces(code: str, longest: int) -> list[str]:
    """Code as it is, or cut at its blank lines where it is longer than an answer.

    Not inside a function or a loop, where what it needs would be cut off.
    """
    if len(code) <= longest:
        return [code.strip("\n")]
    pieces: list[str] = []
    for part in re.split(r"\n\s*\n", code):
        if pieces and not _is_balanced(pieces[-1]):
            pieces[-1] += "\n\n" + part
        else:
            pieces.append(part)
    return [piece.strip("\n") for piece in pieces if piece.strip()]


def _reach(units: Sequence[_Unit], first: int, length: int, longest: int) -> int | None:
    """The last unit of an answer from `first` of at least `length` characters, or None."""
    size, last = 0, None
    for number in range(first, len(units)):
        size += len(units[number].text) + 1
        if size > 1.5 * longest:
            break
        if units[number].closes:
            last = number
            if size >= length:
                break
    return last


def _span(units: Sequence[_Unit]) -> Span:
    text = units[0].text
    for before, unit in pairwise(units):
        same = before.block is unit.block and unit.block.kind not in (CODE, ITEM)
        text += (" " if same and text[-1].isascii() else "" if same else "\n") + unit.text
    if units[-1].block.kind not in (CODE, TABLE) and not _ENDS.search(text):
        text += "。"  # list items have no end mark, and an answer without one looks cut off
    kind = CODE if any(unit.block.kind == CODE for unit in units) else "other"
    return Span(text, units[0].block.start, units[-1].block.end, kind)


def _is_balanced(code: str) -> bool:
    return code.count("{") == code.count("}") and code.count("(") == code.count(")")


def _is_worth_asking(span: Span) -> bool:
    """Has something to be asked for, and is no code torn out of its brackets."""
    if span.kind == CODE and not _is_balanced(span.text):
        return False
    return bool(ascii_terms(span.text)) or cjk_share(span.text) > 0.5


def _spread(spans: Sequence[Span], most: int) -> list[Span]:
    """The spans whose blocks were used least, one after another; ties by digest."""
    used: Counter[int] = Counter()
    left = sorted(spans, key=lambda span: digest(span.text))
    chosen: list[Span] = []
    while left and len(chosen) < most:
        best = min(left, key=lambda span: used[span.start] + used[span.end])
        if used[best.start] and used[best.end]:
            break  # the others say what was said
        left.remove(best)
        used.update((best.start, best.end))
        chosen.append(best)
    return sorted(chosen, key=lambda span: (span.start, span.end, len(span.text)))
