"""Train answers written anew by a local model that has the book and worked examples at hand.

A model that answers so is better than the pairs that a small model writes, and where it is right
its draws agree. So each train question is answered several times, in two ways of asking, whose
faults differ, and the answers are kept that agree most with the others
(common/minimum_bayes_risk.py) and with the answer that the row had; a row where no draw comes near
is left out. What is trained on it answers without examples, or without the book (scores:
docs/training.md).
"""

import json
import shutil
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from common.language import either
from common.manifest import (
    MANIFEST_NAME,
    directory_records,
    library_versions,
    read_manifest,
    write_manifest,
)
from common.minimum_bayes_risk import agreements, f1, words
from data.answer_profile import AnswerProfile, measure
from data.sources.asking import Ask, Chat, chat_of

if TYPE_CHECKING:
    from retrieval.search import Retriever

TRAIN = "train.jsonl"
# As measured (bench/results/compose_h100.json): 12 draws by each way, the best three kept. The sum
# is of the agreement, the draw itself among the others, and of the likeness to the row's answer, 0
# to 2.
DRAWS, TEMPERATURE, PASSAGES, ANSWER_TOKENS, KEPT = 12, 0.6, 3, 320, 3
PLAIN_PASSAGES = 2  # of the way without examples: as many as the service shows by default
LEAST_LIKENESS, LEAST_SUM = 0.1, 0.6
ASKED = "根据教材片段，直接回答问题"  # of the prompt, which small models sometimes say again


class ComposeError(ValueError):
    """Data that cannot be composed from; the message says what to do."""


@dataclass(frozen=True)
class Composed:
    """Counts of rows, and what the train answers were like before and after. composed: questions
    with new answers, of which each has up to KEPT rows."""

    rows: int
    composed: int
    dropped: int
    unchanged: int
    before: AnswerProfile
    after: AnswerProfile


@dataclass(frozen=True)
class Row:
    """One line of train.jsonl. question: alone, without passages; "" where it is no plain row, or
    its answer has no word that likeness could be told by."""

    fields: dict[str, Any]
    question: str
    answer: str


def best_draws(draws: Sequence[str], answer: str, most: int = KEPT) -> list[str]:
    """The draws that agree most with the others and with the row's answer, best first, none twice.

    All likeness is the judge's: ROUGE-L F1 of the words that it counts. Draws that did not end or
    say the prompt again agree with nothing.
    """
    texts = [text for text in map(str.strip, draws) if text and ASKED not in text]
    tokens, wanted = [words(text) for text in texts], words(answer)
    found: dict[str, float] = {}
    for text, said, mean in zip(texts, tokens, agreements(tokens), strict=True):
        share, near = (1 + (len(texts) - 1) * mean) / len(draws), f1(wanted, said)
        if near >= LEAST_LIKENESS and share + near >= LEAST_SUM:
            found.setdefault(text, share + near)
    return sorted(found, key=lambda text: -found[text])[:most]


def read_rows(directory: Path) -> list[Row]:
    """The train rows of a build. Raises ComposeError where there are none, by file and line."""
    path = directory / TRAIN
    if not path.is_file() or read_manifest(directory) is None:
        raise ComposeError(
            either(
                f"{directory} 里没有 data build 写的 {TRAIN}；先：bash run.sh data build 教材 "
                f"--out {directory}",
                f"{directory}: no {TRAIN} of data build; first: bash run.sh data build BOOK "
                f"--out {directory}",
            )
        )
    rows = []
    for number, line in enumerate(path.read_text(encoding="utf-8").split("\n"), 1):
        if not line.strip():
            continue
        try:
            rows.append(_row(json.loads(line)))
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise ComposeError(f"{path}, line {number}: {error!r}") from error
    if not any(row.question for row in rows):
        raise ComposeError(
            either(
                f"{path} 里没有 messages 格式的单轮行",
                f"{path} has no rows of one turn in the messages shape",
            )
        )
    return rows


def _row(fields: dict[str, Any]) -> Row:
    turns = [turn for turn in fields.get("messages", []) if turn["role"] != "system"]
    plain = [turn["role"] for turn in turns] == ["user", "assistant"]
    if not plain or turns[1].get("weight") == 0 or not words(turns[1]["content"]):
        return Row(fields, "", "")
    return Row(fields, fields.get("asked") or turns[0]["content"], turns[1]["content"])


def compose(
    data: Path,
    out: Path,
    index: Path,
    ask: Ask,
    *,
    model: str,
    draws: int = DRAWS,
    temperature: float = TEMPERATURE,
    passages: int = PASSAGES,
    examples: bool = True,
    keep: int = KEPT,
) -> Composed:
    """Write `out` like `data`, with train answers that the model composed from the index.

    Each question is drawn `draws` times with `passages` passages and the worked examples, and as
    often with two passages alone. Everything else, dev rows and their answers too, is copied; the
    manifest names both parents.
    Raises ComposeError, and what reading an index raises.
    """
    from data.index_folder import need_index
    from retrieval.search import Retriever

    started = time.monotonic()
    if out.resolve() == data.resolve():
        raise ComposeError(either("--out 要是另一个目录", "--out has to be another folder"))
    need_index(index)
    rows, retriever = read_rows(data), Retriever.load(index)
    asked = [row for row in rows if row.question]
    ways = dict.fromkeys([(passages, examples), (PLAIN_PASSAGES, False)])
    chats = [chat for way in ways for chat in _chats(asked, retriever, *way)]
    drawn = ask(chats, ANSWER_TOKENS, draws, temperature)
    kept: list[dict[str, Any]] = []
    answers: list[str] = []
    composed = dropped = place = 0
    for row in rows:
        if not row.question:
            kept.append(row.fields)
            continue
        pool = [text for replies in drawn[place :: len(asked)] for text in replies]
        place += 1
        best = best_draws(pool, row.answer, keep)
        kept += [_with_answer(row.fields, answer, n) for n, answer in enumerate(best)]
        answers += best
        composed, dropped = composed + bool(best), dropped + (not best)
    told = Composed(
        rows=len(kept),
        composed=composed,
        dropped=dropped,
        unchanged=len(rows) - len(asked),
        before=measure([row.answer for row in asked]),
        after=measure(answers),
    )
    if not answers:
        raise ComposeError(
            either(
                "没有一题的几次回答够一致：换大一点的模型，或检查索引是不是这本书的",
                "the draws of no question agree enough: take a larger model, or see whether the "
                "index is of this book",
            )
        )
    _write(data, out, kept)
    chosen = {
        "model": model,
        "draws": draws,
        "temperature": temperature,
        "passages": passages,
        "examples": examples,
        "keep": keep,
    }
    _record(data, out, index, chosen, told, time.monotonic() - started)
    return told


def _chats(
    asked: Sequence[Row], retriever: "Retriever", passages: int, examples: bool
) -> list[Chat]:
    found = retriever.search([row.question for row in asked], passages)
    return [
        chat_of(row.question, [hit.passage for hit in hits], examples)
        for row, hits in zip(asked, found, strict=True)
    ]


def _with_answer(fields: dict[str, Any], answer: str, number: int) -> dict[str, Any]:
    """The row with its answer number `number` of several, whose ids have to differ."""
    messages = fields["messages"]
    changes: dict[str, Any] = {"messages": [*messages[:-1], messages[-1] | {"content": answer}]}
    if number and "id" in fields:
        changes["id"] = f"{fields['id']}-{number + 1}"
    return fields | changes


def _write(data: Path, out: Path, rows: Sequence[dict[str, Any]]) -> None:
    """All files of the build but its report, which tells of the answers that were."""
    out.mkdir(parents=True, exist_ok=True)
    for path in sorted(data.iterdir()):
        if path.is_file() and path.name not in (TRAIN, MANIFEST_NAME, "report.json", "report.html"):
            shutil.copyfile(path, out / path.name)
    lines = [json.dumps(row, ensure_ascii=False) + "\n" for row in rows]
    (out / TRAIN).write_text("".join(lines), encoding="utf-8")


def _record(
    data: Path, out: Path, index: Path, chosen: dict[str, Any], told: Composed, seconds: float
) -> None:
    built, searched = read_manifest(data), read_manifest(index)
    assert built is not None  # read_rows looked
    counts = {"composed": told.composed, "dropped": told.dropped, "unchanged": told.unchanged}
    (out / MANIFEST_NAME).unlink(missing_ok=True)
    # The build's own record with what changed: readers of a data folder look for its settings.
    changes = {
        "created": "",
        "outputs": directory_records(out),
        "settings": built.settings | {"composed": chosen},
        "counts": built.counts | counts,
        "versions": built.versions | library_versions(["vllm"]),
        "seconds": round(seconds, 1),
        "parents": [built, *([searched] if searched else [])],
    }
    write_manifest(out, built.model_copy(update=changes))
