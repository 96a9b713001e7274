"""The build: books → chunks → pairs → clean → deduplicate → leaks out → split → reword → write."""

import glob
import json
import os
import shutil
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import psutil

from data import contamination as leak_check
from data import report as reports
from data.books import BookError, read_book
from data.cache import Cache
from data.chunks import cut_chunks
from data.dedupe import drop_duplicates
from data.filters import Cleaner
from data.formats import merged_pairs, read_told
from data.funnel import Funnel
from data.output import make_manifest, make_report, publish, write_files
from data.paraphrase import rephrased
from data.records import Chunk, Pair, pair_at
from data.sections import read_sections
from data.settings import BuildSettings
from data.sources import PairSource
from data.split import split_pairs, without_near


class Progress(Protocol):
    """What the pipeline tells while it works; `__main__` shows it with rich."""

    def step(self, name: str, total: int | None = None) -> None:
        """A new step begins, of `total` parts where known."""

    def advance(self, count: int = 1) -> None:
        """So many parts of the step are done."""

    def warn(self, text: str) -> None:
        """Something the user should know."""


@dataclass
class BuildResult:
    """Where the data is, how many rows each split has, and the report as it was written."""

    out: Path
    splits: dict[str, int]
    report: dict[str, Any]
    changed: bool


class NothingLeftError(ValueError):
    """No pair survived; the message says at which step they went."""


def build(
    books: Sequence[Path],
    out: Path,
    source: PairSource,
    cache: Cache,
    settings: BuildSettings,
    progress: Progress,
    excludes: Sequence[Path] = (),
    merges: Sequence[Path] = (),
    compare: Path | None = None,
) -> BuildResult:
    """Make training data in `out`; with the same inputs its bytes stay the same.

    Books are read and asked one after another, so memory holds one book and all pairs. Raises
    BookError, PairsError, SourceError, SplitLeakError, NothingLeftError; whatever a source
    made before an error is in the cache.
    """
    started = time.monotonic()
    # Read now: a typo must show before the work.
    tests = [(path, [(p.question, p.answer) for p in read_told(path)]) for path in excludes]
    tokens = reports.token_counter(settings.tokenizer)
    cleaner = Cleaner(settings.rules_off)
    out.parent.mkdir(parents=True, exist_ok=True)
    work = _work_directory(out)
    try:
        funnel = Funnel()
        pairs = _from_books(books, work, source, cache, settings, cleaner, funnel, progress)
        for note in source.notes:
            progress.warn(note)
        given: list[Pair] = []
        for path in merges:
            merged = _placed(merged_pairs(path), funnel)
            funnel.merged += len(merged)
            given += cleaner.keep(merged, "")
        pairs = given + pairs  # of two that say the same, the one that somebody chose stays
        funnel.cleaned = len(pairs)
        progress.step("near-duplicates, leaks, split")
        pairs = drop_duplicates(pairs, funnel.duplicates)
        funnel.distinct = len(pairs)
        pairs, found_leaks = _without_leaks(pairs, tests)
        funnel.leaked = funnel.distinct - len(pairs)
        if not pairs:
            raise NothingLeftError(f"no pair is left: {json.dumps(funnel.steps(cleaner))}")
        splits = split_pairs(pairs, settings.split)
        train = rephrased(splits["train"], settings.wordings)
        train = without_near(train, [*splits["dev"], *splits["calibration"]])
        splits["train"], reworded_leaks = _without_leaks(train, tests)
        for before, after in zip(found_leaks, reworded_leaks, strict=True):
            before["removed_wordings"] = after["removed"]
        report = make_report(source, splits, pairs, funnel, cleaner, found_leaks, compare, tokens)
        report["warnings"] += write_files(work, splits, report, settings)
        manifest = make_manifest(work, source, settings, funnel, books, excludes, merges)
        manifest.seconds = round(time.monotonic() - started, 2)
        changed = publish(work, out, manifest)
        counts = {name: len(rows) for name, rows in splits.items()}
        return BuildResult(out, counts, report, changed)
    finally:
        shutil.rmtree(work, ignore_errors=True)


def _placed(pairs: list[Pair], funnel: Funnel) -> list[Pair]:
    """Merged pairs under a heading that exactly one section of the books has go to that section.

    So they are split with it, and can be traced to the book like pairs made from it.
    """
    homes: dict[str, list[tuple[str, ...]]] = {}
    for section in funnel.sections:
        homes.setdefault(section[-1], []).append(section)
    chunks = {part: chunk for chunk, parts in funnel.parts.items() for part in parts}
    for pair in pairs:
        found = homes.get(pair.path[-1], []) if len(pair.path) == 1 else []
        if len(found) == 1:
            pair.book, *path = found[0]
            pair.path, pair.chunk = tuple(path), chunks[found[0]]
    return pairs


def _work_directory(out: Path) -> Path:
    """A fresh directory beside `out`, named by this process; those of killed builds go first."""
    for left in out.parent.glob(f".{glob.escape(out.name)}.*.*"):
        owner = left.name.split(".")[-2]
        if owner.isdigit() and not psutil.pid_exists(int(owner)):
            shutil.rmtree(left, ignore_errors=True)
    return Path(tempfile.mkdtemp(prefix=f".{out.name}.{os.getpid()}.", dir=out.parent))


def read_chunks(
    path: Path, cache: Cache | None, settings: BuildSettings, funnel: Funnel
) -> list[Chunk]:
    """The chunks of one book; sections are counted in `funnel`. Raises BookError."""
    book = read_book(path, cache)
    sections = list(read_sections(book.text))
    funnel.apparatus += sum(section.is_apparatus for section in sections)
    low, high = settings.chunk_chars
    # Two books of one name are two books: the digest keeps their sections apart.
    name = book.name if book.name not in funnel.books else f"{book.name}#{book.sha256[:8]}"
    chunks = list(cut_chunks(name, sections, low, high))
    if not chunks:
        raise BookError(f"{path}: no section with text in it")
    for chunk in chunks:
        funnel.parts[chunk.id] = list(dict.fromkeys((name, *block.path) for block in chunk.blocks))
        for block in chunk.blocks:
            section = (name, *block.path)
            funnel.sections[section] = funnel.sections.get(section, 0) + len(block.text)
    funnel.books.append(name)
    funnel.chunks += len(chunks)
    return chunks


def _from_books(
    books: Sequence[Path],
    work: Path,
    source: PairSource,
    cache: Cache,
    settings: BuildSettings,
    cleaner: Cleaner,
    funnel: Funnel,
    progress: Progress,
) -> list[Pair]:
    pairs: list[Pair] = []
    with (work / "chunks.jsonl").open("w", encoding="utf-8", newline="\n") as stream:
        for chunks in _chunk_batches(books, source, cache, settings, funnel, progress):
            progress.step(f"{source.name}: {chunks[0].book}", len(chunks))
            made = dict(make_pairs(chunks, source, cache, progress))
            for chunk in chunks:
                row = {
                    "id": chunk.id,
                    "book": chunk.book,
                    "path": list(chunk.path),
                    "span": [chunk.start, chunk.end],
                    "text": chunk.text,
                }
                stream.write(json.dumps(row, ensure_ascii=False) + "\n")
                if chunk.id not in made:
                    funnel.unanswered += 1
                    continue
                funnel.made += len(made[chunk.id])
                pairs += cleaner.keep(made[chunk.id], chunk.text)
    return pairs


def _chunk_batches(
    books: Sequence[Path],
    source: PairSource,
    cache: Cache,
    settings: BuildSettings,
    funnel: Funnel,
    progress: Progress,
) -> Iterator[list[Chunk]]:
    """Chunks book by book, or all at once for a source that wants one batch."""
    everything: list[Chunk] = []
    for path in books:
        progress.step(f"reading {path.name}")
        try:
            chunks = read_chunks(path, cache, settings, funnel)
        except BookError as error:
            if not settings.keep_going:
                raise
            progress.warn(f"skipped: {error}")
            funnel.skipped.append(path.name)
            continue
        if source.one_batch:
            everything += chunks
        else:
            yield chunks
    if everything:
        yield everything


def cache_key(source: PairSource, chunk: Chunk) -> str:
    """What a chunk's pairs depend on: the source and the chunk's text and headings."""
    return f"pairs-1/{source.fingerprint}/{chunk.content_key}"


def make_pairs(
    chunks: Sequence[Chunk], source: PairSource, cache: Cache, progress: Progress | None = None
) -> Iterator[tuple[str, list[Pair]]]:
    """(chunk id, pairs): from the cache where the chunk was asked before, else from the source.

    New pairs are cached one chunk at a time, as they come.
    """
    new: list[Chunk] = []
    for chunk in chunks:
        rows = cache.get(cache_key(source, chunk))
        if rows is None:
            new.append(chunk)
            continue
        yield chunk.id, [_pair(chunk, row, source.name) for row in rows]
        if progress:
            progress.advance()
    for chunk, pairs in source.pairs(new):
        rows = [_row(chunk, pair) for pair in pairs]
        cache.put(cache_key(source, chunk), rows)
        yield chunk.id, [_pair(chunk, row, source.name) for row in rows]
        if progress:
            progress.advance()


def _row(chunk: Chunk, pair: Pair) -> list[Any]:
    """A pair as cached: its place is a block's number (-1: the chunk), as the chunk may move."""
    spans = [(block.start, block.end) for block in chunk.blocks]
    place = (pair.start, pair.end)
    number = spans.index(place) if place in spans else -1
    return [pair.question, pair.answer, pair.kind, list(pair.wordings), number]


def _pair(chunk: Chunk, row: list[Any], source: str) -> Pair:
    question, answer, kind, wordings, number = row
    block = chunk.blocks[number] if number >= 0 else None
    pair = pair_at(chunk, question, answer, kind, source, block)
    pair.wordings = tuple(wordings)
    return pair


def _without_leaks(
    pairs: list[Pair], tests: Sequence[tuple[Path, list[tuple[str, str]]]]
) -> tuple[list[Pair], list[dict[str, Any]]]:
    found = []
    for path, wanted in tests:
        rows = [[(pair.question, pair.answer)] for pair in pairs]
        outcome = leak_check.check(rows, wanted)
        gone = {match.row for match in outcome.leaks}
        found.append(
            {
                "testset": path.name,
                "tests": len(wanted),
                "removed": len(gone),
                "thresholds": {
                    "question": leak_check.QUESTION_SIMILARITY,
                    "answer": leak_check.ANSWER_SIMILARITY,
                },
                "survivors": [
                    {
                        "similarity": round(match.similarity, 3),
                        "part": match.part,
                        "row": match.text,
                        "test": wanted[match.test][0],
                    }
                    for match in outcome.survivors
                ],
            }
        )
        pairs = [pair for number, pair in enumerate(pairs) if number not in gone]
    return pairs, found
