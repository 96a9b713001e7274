"""The build: books → chunks → pairs → filters → near-duplicates → test questions out → split
→ paraphrases → files.
"""

import glob
import json
import os
import shutil
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

from common.language import either
from data import contamination as leak_check
from data import like
from data.context import BuildContext
from data.dedupe import drop_duplicates
from data.dropped import Dropped
from data.formats import merged_pairs, read_told
from data.funnel import Funnel
from data.labels import label
from data.making import make_pairs, usage_key
from data.output import (
    make_manifest,
    make_report,
    more_pairs,
    publish,
    write_figures,
    write_files,
)
from data.paraphrase import paraphrased
from data.passage_rows import PassageRows, PassageSettings, told
from data.reading import chunk_batches
from data.records import Pair
from data.review import Rated
from data.row_counts import row_counts
from data.settings import BuildInputs
from data.split import soundly_held_out, split_pairs, without_near


@dataclass
class BuildResult:
    """Where the data is, how many rows each split has, and the report as it was written."""

    out: Path
    splits: dict[str, int]
    report: dict[str, Any]
    changed: bool


class NothingLeftError(ValueError):
    """No pair survived; the message says at which step they went."""


def build(inputs: BuildInputs, out: Path, context: BuildContext) -> BuildResult:
    """Make training data in `out`; with the same inputs its bytes stay the same.

    Books are read and asked about one after another, so memory holds one book and all pairs.
    Raises BookError, PairsError, SourceError, SplitLeakError, NothingLeftError; whatever a
    source made before an error is in the cache.
    """
    started = time.monotonic()
    # What can be wrong with the inputs must show before the work.
    if out.exists() and not out.is_dir():
        raise ValueError(
            either(f"--out {out}：是一个文件；给一个目录", f"--out {out}: a file; give a folder")
        )
    tests = [(path, _texts(path)) for path in inputs.excluded]
    merges = [merged_pairs(path) for path in inputs.merge]
    shown = [inputs.compare] if inputs.compare else []
    beside = [(path.name, _texts(path)) for path in shown] + [(p.name, t) for p, t in tests]
    target = read_target(inputs.like, context) if inputs.like else None
    funnel, filters, settings = context.funnel, context.filters, context.settings
    passages = _passage_rows(inputs, context)
    out.parent.mkdir(parents=True, exist_ok=True)
    work = _work_directory(out)
    try:
        pairs = _from_books(inputs.books, context, work / "chunks.jsonl")
        write_figures(work, funnel.figures)
        for note in context.source.notes:
            context.progress.warn(note)
        # Merged pairs first: of two that say the same, the one that somebody chose stays.
        pairs = _merged(merges, context) + pairs
        funnel.filtered = len(pairs)
        pairs = _reviewed(pairs, context, work / "chunks.jsonl")
        context.progress.step(either("去重、查泄题、划分", "near-duplicates, leaks, split"))
        pairs, funnel.duplicates = drop_duplicates(pairs)
        funnel.distinct = len(pairs)
        pairs, found_leaks = _without_leaks(pairs, tests, funnel.leaks)
        funnel.leaked = funnel.distinct - len(pairs)
        if not pairs:
            lines = [
                _what_took_all(funnel.steps(filters.dropped), context.source.fingerprint),
                *funnel.reading_warnings(),
            ]
            raise NothingLeftError("\n".join(lines))
        made, liked = [(pair.question, pair.answer) for pair in pairs], None
        if target:  # before the split: dev chooses the checkpoint, and must be like it as well
            liked = like.compared(made, target, context.count_tokens)
            pairs = like.select(pairs, target, settings.like_least)
            funnel.unlike = len(made) - len(pairs)
        splits, unsound = soundly_held_out(split_pairs(pairs, settings.split))
        if unsound:
            context.progress.warn(
                either(
                    f"{unsound} 题所在的小节留作验证或校准，而它们的答案有毛病（只能重答后训练）："
                    "两边都不用",
                    f"{unsound} pairs are left out: their sections are held out, and their answers "
                    "have faults (good only for training, written anew)",
                )
            )
        in_use = {id(pair) for rows in splits.values() for pair in rows}
        pairs = [pair for pair in pairs if id(pair) in in_use]
        facts = splits["train"]
        asked = paraphrased(facts, settings.wordings)
        train = without_near(asked, [*splits["dev"], *splits["calibration"]])
        splits["train"], paraphrase_leaks = _without_leaks(train, tests, funnel.leaks)
        for before, after in zip(found_leaks, paraphrase_leaks, strict=True):
            before["removed_wordings"] = after["removed"]
        counts = row_counts(facts, len(asked), splits["train"])
        report = make_report(context, splits, pairs, found_leaks, beside, counts)
        if target and liked:
            made = [(pair.question, pair.answer) for pair in pairs]
            chosen = like.compared(made, target, context.count_tokens)
            report["like"] = {**chosen, "distance_before": liked["distance"]}
        if passages:
            context.progress.step(either("题目前放教材片段", "passages before the questions"))
            splits = {name: passages.shown(rows) for name, rows in splits.items()}
            report["passages"] = told(passages.counts)
        report["warnings"] += write_files(work, splits, report, settings)
        manifest = make_manifest(work, context, inputs, passages and passages.manifest)
        manifest.seconds = round(time.monotonic() - started, 2)
        changed = publish(work, out, manifest)
        sizes = {name: len(rows) for name, rows in splits.items()}
        return BuildResult(out, sizes, report, changed)
    finally:
        shutil.rmtree(work, ignore_errors=True)


def _passage_rows(inputs: BuildInputs, context: BuildContext) -> PassageRows | None:
    settings = context.settings
    if inputs.with_passages is None:
        if settings.passages != PassageSettings():
            context.progress.warn(
                either(
                    "没有 --with-passages，片段的选项不起作用",
                    "options for passages do nothing without --with-passages",
                )
            )
        return None
    books = [path for path in inputs.books if path.is_file()]
    return PassageRows(
        inputs.with_passages, settings.passages, books, context.count_tokens, settings.split.seed
    )


def read_target(path: Path, context: BuildContext) -> like.Target:
    """The numbers of a test set that rows are to be like. Raises PairsError or ValueError."""
    return like.target_of(path.name, _texts(path), context.count_tokens)


def _texts(path: Path) -> list[tuple[str, str]]:
    """Questions and answers of a test set. Raises PairsError."""
    return [(pair.question, pair.answer) for pair in read_told(path)]


def _from_books(books: Sequence[Path], context: BuildContext, listing: Path) -> list[Pair]:
    """The pairs of the books that the filters let through; every chunk is written to `listing`."""
    pairs: list[Pair] = []
    source, funnel, progress = context.source, context.funnel, context.progress
    with listing.open("w", encoding="utf-8", newline="\n") as stream:
        for chunks in chunk_batches(books, context):
            progress.step(f"{source.name}: {chunks[0].book}", len(chunks))
            made = dict(make_pairs(chunks, source, context.cache, progress))
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
                used = context.cache.get(usage_key(source, chunk)) or (0, 0, 0)
                funnel.usage = [a + b for a, b in zip(funnel.usage, used, strict=True)]
                pairs += context.filters.keep(made[chunk.id], chunk.grounds)
    return pairs


def _reviewed(pairs: list[Pair], context: BuildContext, listing: Path) -> list[Pair]:
    """The pairs that the reviewer denies nothing of; merged ones have no text to be held to."""
    if context.reviewer is None:
        return pairs
    with listing.open(encoding="utf-8") as stream:
        texts = {row["id"]: row["text"] for row in map(json.loads, stream)}
    rows = [Rated(pair, texts[pair.chunk]) for pair in pairs if pair.chunk in texts]
    reviewer, progress = context.reviewer, context.progress
    progress.step(either(f"评审：{len(rows)} 个问答", f"review: {len(rows)} pairs"), len(rows))

    def rated() -> None:
        progress.advance()
        progress.tell(reviewer.used())

    failed = reviewer.failed(rows, context.cache, rated)
    denied = dict(zip((id(row.pair) for row in rows), failed, strict=True))
    if used := reviewer.used():
        progress.warn(either(f"评审用了 {used}", f"the review took {used}"))
    context.funnel.unrated = sum(reason is None for reason in denied.values())
    kept = []
    for pair in pairs:
        if reason := denied.get(id(pair)):
            context.funnel.reviewed.note(f"reviewer: not {reason}", pair)
        else:
            kept.append(pair)
    if context.funnel.unrated:
        count, why = context.funnel.unrated, reviewer.problems[0]
        progress.warn(
            either(
                f"评审：{count} 个问答没有评成，留下了（{why}）",
                f"review: {count} pairs could not be rated and stay ({why})",
            )
        )
    return kept


def _merged(merges: Sequence[list[Pair]], context: BuildContext) -> list[Pair]:
    """The existing pairs that the filters let through."""
    found: list[Pair] = []
    for pairs in merges:
        context.funnel.merged += len(pairs)
        found += context.filters.keep(_placed(pairs, context.funnel), "")
    return found


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


def _what_took_all(steps: list[dict[str, Any]], source: str) -> str:
    """One sentence: at which step the last pairs went, for which reasons, and what to do."""
    before: dict[str, Any] = {"name": "", "count": 0}
    for step in steps:
        if step["count"] == 0 and before["count"] and step["name"].startswith("after"):
            break
        if step["count"] or not before["count"]:
            before = step
    lost = ", ".join(f"{count} {reason}" for reason, count in step["lost"].items())
    counts = ", ".join(f"{one['name']} {one['count']}" for one in steps)
    made = sum(one["count"] for one in steps if one["name"].startswith("pairs"))
    if not made:
        more = more_pairs(source)
        read = sum(one["count"] for one in steps if one["name"] == "chunks")
        zh = f"书读出来了（{read} 块，可以建检索的索引）" if read else "没有读出文本"
        en = f"text was read ({read} chunks, enough for an index)" if read else "no text was read"
        zh = f"一个问答对也没有造出来：{zh}，没有找到可问的句子；试试：{more}"
        en = f"no pair is left, none was made: {en}, no sentence to ask about; try this: {more}"
    else:
        told = ", ".join(f"{count} {label(reason)}" for reason, count in step["lost"].items())
        zh = f"没有剩下问答对：在“{label(step['name'])}”这一步全部去掉了（{told}）"
        en = f"no pair is left: the last went at {step['name']!r} ({lost})"
    steps_told = "，".join(f"{label(one['name'])} {one['count']}" for one in steps)
    return either(f"{zh}。各步：{steps_told}", f"{en}. Steps: {counts}")


def _work_directory(out: Path) -> Path:
    """A fresh directory beside `out`, named by this process; those of killed builds go first."""
    for left in out.parent.glob(f".{glob.escape(out.name)}.*.*"):
        owner = left.name.split(".")[-2]
        if owner.isdigit() and not psutil.pid_exists(int(owner)):
            shutil.rmtree(left, ignore_errors=True)
    return Path(tempfile.mkdtemp(prefix=f".{out.name}.{os.getpid()}.", dir=out.parent))


def _without_leaks(
    pairs: list[Pair], tests: Sequence[tuple[Path, list[tuple[str, str]]]], dropped: Dropped
) -> tuple[list[Pair], list[dict[str, Any]]]:
    """The pairs of which no wording is near a test pair: a fact goes with all its wordings."""
    found = []
    for path, wanted in tests:
        rows = [
            [*leak_check.shown(pair), *((text, pair.answer) for text in pair.wordings)]
            for pair in pairs
        ]
        outcome = leak_check.check(rows, wanted)
        gone = {match.row for match in outcome.leaks}
        for match in outcome.leaks:
            dropped.note("near a test pair", pairs[match.row], wanted[match.test][0])
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
