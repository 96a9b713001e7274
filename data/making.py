"""Chunks → pairs, each chunk asked about once: pairs are cached as they come."""

from collections.abc import Iterator, Sequence
from typing import Any

from data.cache import Cache
from data.context import NoProgress, Progress
from data.records import Chunk, Pair, pair_at
from data.sources import PairSource


def cache_key(source: PairSource, chunk: Chunk) -> str:
    """What a chunk's pairs depend on: the source and the chunk's text and headings.

    The topics, too, where the source names them in its questions.
    """
    about = "/".join(chunk.topics) if getattr(source, "names_topics", False) else ""
    return f"pairs-1/{source.fingerprint}/{chunk.content_key}{about and f'/{about}'}"


def usage_key(source: PairSource, chunk: Chunk) -> str:
    """Where the calls and tokens of a chunk's pairs are kept: calls, prompt, answer."""
    return f"usage-1/{source.fingerprint}/{chunk.content_key}"


def make_pairs(
    chunks: Sequence[Chunk],
    source: PairSource,
    cache: Cache,
    progress: Progress = NoProgress(),  # noqa: B008 - it has no state
) -> Iterator[tuple[str, list[Pair]]]:
    """(chunk id, pairs): from the cache where the chunk was asked about before, else from `source`.

    New pairs are cached one chunk at a time. Raises what the source raises.
    """
    new: list[Chunk] = []
    for chunk in chunks:
        rows = cache.get(cache_key(source, chunk))
        if rows is None:
            new.append(chunk)
            continue
        yield chunk.id, [_pair(chunk, row, source.name) for row in rows]
        progress.advance()
    for chunk, pairs in source.pairs(new):
        rows = [_row(chunk, pair) for pair in pairs]
        cache.put(cache_key(source, chunk), rows)
        if usage := getattr(source, "usage", None):
            cache.put(usage_key(source, chunk), usage.of_chunk.get(chunk.id, [0, 0, 0]))
            progress.tell(usage.line())
        yield chunk.id, [_pair(chunk, row, source.name) for row in rows]
        progress.advance()


def _row(chunk: Chunk, pair: Pair) -> list[Any]:
    """A pair as cached; its block by number (-1: the whole chunk), as the chunk may move. At the
    end stand its talk and whether it is for training alone, where there are such."""
    spans = [(block.start, block.end) for block in chunk.blocks]
    place = (pair.start, pair.end)
    number = spans.index(place) if place in spans else -1
    return [
        *(pair.question, pair.answer, pair.kind, list(pair.wordings), number),
        *([list(map(list, pair.history))] if pair.history else []),
        *([True] if pair.train_only else []),
    ]


def _pair(chunk: Chunk, row: list[Any], source: str) -> Pair:
    question, answer, kind, wordings, number, *more = row
    block = chunk.blocks[number] if number >= 0 else None
    pair = pair_at(chunk, question, answer, kind, source, block)
    pair.wordings = tuple(wordings)
    if more and more[-1] is True:
        pair.train_only = more.pop()
    if more:
        pair.history = tuple(map(tuple, more[0]))
        pair.group = pair.id
    return pair
