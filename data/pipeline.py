"""The build: books → chunks → pairs → clean → deduplicate → leaks out → split → reword → write."""

import json
import shutil
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Protocol

from answering.manifest import (
    MANIFEST_NAME,
    FileRecord,
    Manifest,
    directory_records,
    file_record,
    library_versions,
    read_manifest,
    write_manifest,
)
from data import leaks as leak_check
from data import report as reports
from data.books import BookError, read_book
from data.cache import Cache
from data.chunks import MAX_CHARS, MIN_CHARS, cut_chunks
from data.clean import Cleaner
from data.dedupe import drop_duplicates
from data.formats import dataset_info, merged_pairs, read_pairs, write_rows, write_testset
from data.records import Chunk, Pair, pair_at
from data.rephrase import rephrased
from data.sections import read_sections
from data.sources import PairSource
from data.split import SPLITS, SplitSettings, split_pairs

LIBRARIES = (
    "markitdown",
    "mammoth",
    "pdfplumber",
    "markdown-it-py",
    "datasketch",
    "rapidfuzz",
    "jieba",
)


class Progress(Protocol):
    """What the pipeline tells while it works; `__main__` shows it with rich."""

    def step(self, name: str, total: int | None = None) -> None:
        """A new step begins, of `total` parts where known."""

    def advance(self, count: int = 1) -> None:
        """So many parts of the step are done."""

    def warn(self, text: str) -> None:
        """Something the user should know."""


@dataclass(frozen=True)
class BuildSettings:
    """Everything besides the inputs that changes the outcome."""

    chunk_chars: tuple[int, int] = (MIN_CHARS, MAX_CHARS)
    split: SplitSettings = field(default_factory=SplitSettings)
    wordings: int = 2
    rules_off: frozenset[str] = frozenset()
    shape: str = "messages"
    system: bool = False
    keep_going: bool = False
    tokenizer: Path | None = None
    demo: bool = False


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
    BookError, TestSetError, SourceError, SplitLeakError, NothingLeftError; whatever a source
    made before an error is in the cache.
    """
    started = time.monotonic()
    tests = [(path, read_pairs(path)) for path in excludes]  # a typo must show before the work
    tokens = reports.token_counter(settings.tokenizer)
    cleaner = Cleaner(settings.rules_off)
    out.parent.mkdir(parents=True, exist_ok=True)
    work = Path(tempfile.mkdtemp(prefix=f".{out.name}.", dir=out.parent))
    try:
        funnel = Funnel()
        pairs = _from_books(books, work, source, cache, settings, cleaner, funnel, progress)
        for note in source.notes:
            progress.warn(note)
        for path in merges:
            merged = merged_pairs(path)
            funnel.merged += len(merged)
            pairs += cleaner.keep(merged, "")
        funnel.cleaned = len(pairs)
        progress.step("near-duplicates, leaks, split")
        pairs = drop_duplicates(pairs, funnel.duplicates)
        funnel.distinct = len(pairs)
        pairs, found_leaks = _without_leaks(pairs, tests)
        funnel.leaked = funnel.distinct - len(pairs)
        if not pairs:
            raise NothingLeftError(f"no pair is left: {json.dumps(funnel.steps(cleaner))}")
        splits = split_pairs(pairs, settings.split)
        held_out = {pair.question for name in ("dev", "calibration") for pair in splits[name]}
        train = rephrased(splits["train"], settings.wordings, held_out)
        splits["train"], reworded_leaks = _without_leaks(train, tests)
        for before, after in zip(found_leaks, reworded_leaks, strict=True):
            before["removed_wordings"] = after["removed"]
        report = _report(source, splits, pairs, funnel, cleaner, found_leaks, compare, tokens)
        report["warnings"] += _write(work, splits, report, settings)
        manifest = _manifest(out, work, source, settings, funnel, books, excludes, merges)
        manifest.seconds = round(time.monotonic() - started, 2)
        changed = _publish(work, out, manifest)
        counts = {name: len(rows) for name, rows in splits.items()}
        return BuildResult(out, counts, report, changed)
    finally:
        shutil.rmtree(work, ignore_errors=True)


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

    def steps(self, cleaner: Cleaner) -> list[dict[str, Any]]:
        """The funnel as rows: name, count, and what was lost there by reason."""
        rows: list[tuple[str, int, dict[str, int]]] = [
            ("books", len(self.books), {"unreadable": len(self.skipped)}),
            ("sections with text", len(self.sections), {"contents and references": self.apparatus}),
            ("chunks", self.chunks, {"the source gave no answer": self.unanswered}),
            ("pairs made", self.made, {}),
            ("pairs merged in", self.merged, {}),
            ("after cleaning", self.cleaned, dict(sorted(cleaner.dropped.items()))),
            ("after near-duplicates", self.distinct, dict(sorted(self.duplicates.items()))),
            ("after leaks", self.distinct - self.leaked, {"near a test pair": self.leaked}),
        ]
        return [
            {"name": name, "count": count, "lost": {k: v for k, v in lost.items() if v}}
            for name, count, lost in rows
        ]


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
        rows = [(pair.question, pair.answer) for pair in pairs]
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
                        "row": rows[match.row][0],
                        "test": wanted[match.test][0],
                    }
                    for match in outcome.survivors
                ],
            }
        )
        pairs = [pair for number, pair in enumerate(pairs) if number not in gone]
    return pairs, found


def _report(
    source: PairSource,
    splits: dict[str, list[Pair]],
    pairs: list[Pair],
    funnel: Funnel,
    cleaner: Cleaner,
    found_leaks: list[dict[str, Any]],
    compare: Path | None,
    tokens: Any,
) -> dict[str, Any]:
    kinds = Counter(pair.kind for pair in pairs)
    data = reports.describe([(p.question, p.answer) for p in pairs], tokens)
    compared = None
    if compare:
        compared = {"name": compare.name, "data": reports.describe(read_pairs(compare), tokens)}
    return {
        "name": _title(funnel.books),
        "source": source.fingerprint,
        "books": funnel.books,
        "skipped": funnel.skipped,
        "splits": {split: len(rows) for split, rows in splits.items()},
        "facts": {split: len({p.group for p in rows}) for split, rows in splits.items()},
        "funnel": funnel.steps(cleaner),
        "coverage": reports.coverage(funnel.sections, funnel.parts, pairs),
        "kinds": dict(kinds.most_common()),
        "kinds_max": max(kinds.values(), default=1),
        "data": data,
        "compared": compared,
        "length_rows": [k for k in data if k not in ("answer_histogram", "pairs")],
        "leaks": found_leaks,
        "samples": reports.samples(pairs),
        "warnings": [f"{name}: skipped, it could not be read" for name in funnel.skipped],
    }


def _write(
    work: Path, splits: dict[str, list[Pair]], report: dict[str, Any], settings: BuildSettings
) -> list[str]:
    """Write all files of a build but the manifest; returns warnings for the report."""
    warnings = []
    for name in SPLITS:
        write_rows(work / f"{name}.jsonl", splits[name], settings.shape, settings.system)
        if not splits[name]:
            warnings.append(f"{name} is empty: the books have too few sections to share out")
    info = dataset_info(settings.shape, system=settings.system)
    (work / "dataset_info.json").write_text(_json(info), encoding="utf-8")
    if splits["dev"]:
        lost = write_testset(work / "testset.docx", splits["dev"])
        if lost:
            warnings.append(
                f"testset.docx leaves out {len(lost)} pairs that its layout cannot hold"
            )
    report = {**report, "warnings": report["warnings"] + warnings}
    (work / "report.json").write_text(_json(report), encoding="utf-8")
    (work / "report.html").write_text(reports.render_html(report), encoding="utf-8")
    return warnings


def _title(books: Sequence[str]) -> str:
    return ", ".join(books[:5]) + (" …" if len(books) > 5 else "")


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, indent=2) + "\n"


def _manifest(
    out: Path,
    work: Path,
    source: PairSource,
    settings: BuildSettings,
    funnel: Funnel,
    books: Sequence[Path],
    excludes: Sequence[Path],
    merges: Sequence[Path],
) -> Manifest:
    inputs: list[FileRecord] = [file_record(path) for path in [*books, *merges] if path.is_file()]
    chosen = asdict(settings)
    chosen["rules_off"] = sorted(settings.rules_off)
    chosen["tokenizer"] = settings.tokenizer.name if settings.tokenizer else None
    chosen["source"] = source.fingerprint
    chosen["excluded"] = {path.name: file_record(path).sha256 for path in excludes}
    return Manifest(
        stage="data",
        demo=settings.demo,
        name=_title(funnel.books),
        inputs=inputs,
        outputs=directory_records(work),
        settings=json.loads(json.dumps(chosen)),
        counts={
            "chunks": funnel.chunks,
            "made": funnel.made,
            "kept": funnel.distinct - funnel.leaked,
        },
        versions=library_versions(LIBRARIES),
    )


def _publish(work: Path, out: Path, manifest: Manifest) -> bool:
    """Move new files to `out`; says whether anything differs from what was there.

    An unchanged build keeps its old manifest, time stamp and all.
    """
    old = read_manifest(out) if (out / MANIFEST_NAME).is_file() else None
    same = old is not None and all(
        getattr(old, name) == getattr(manifest, name)
        for name in ("inputs", "outputs", "settings", "counts", "versions")
    )
    if same and directory_records(out) == manifest.outputs:
        return False
    out.mkdir(parents=True, exist_ok=True)
    for old_file in [*(f"{name}.jsonl" for name in SPLITS), "testset.docx"]:
        (out / old_file).unlink(missing_ok=True)
    for path in sorted(work.iterdir()):
        path.replace(out / path.name)
    write_manifest(out, manifest)
    return True
