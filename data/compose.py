"""Train answers written anew by a local model that has the book and worked examples at hand.

A model that answers so is better than the pairs that a small model writes, and where it is right
its draws agree. So each train question is answered several times, and the answer is kept that
agrees most with the others (common/minimum_bayes_risk.py) and with the answer that the row had; a
row where no draw comes near is left out. What is trained on it answers without examples, or without
the book (scores: docs/training.md).
"""

import json
import shutil
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from common.language import either
from common.manifest import (
    MANIFEST_NAME,
    directory_records,
    library_versions,
    read_manifest,
    write_manifest,
)
from common.minimum_bayes_risk import agreements, f1, words
from common.prompting import SYSTEM_PROMPT, messages_for
from data.answer_profile import AnswerProfile, measure
from data.sources.asking import Ask, Chat
from retrieval.examples import examples_of, turns_of
from retrieval.passages import Passage
from retrieval.prompt import with_passages

TRAIN = "train.jsonl"
# As measured; the sum is of the agreement, the draw itself among the others, and of the likeness
# to the row's answer, 0 to 2.
DRAWS, TEMPERATURE, PASSAGES, ANSWER_TOKENS = 12, 0.6, 3, 320
LEAST_LIKENESS, LEAST_SUM = 0.1, 0.6
ASKED = "根据教材片段，直接回答问题"  # of the prompt, which small models sometimes say again


class ComposeError(ValueError):
    """Data that cannot be composed from; the message says what to do."""


@dataclass(frozen=True)
class Composed:
    """Counts of rows, and what the train answers were like before and after."""

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


def best_draw(draws: Sequence[str], answer: str) -> str:
    """The draw that agrees most with the others and with the row's answer; "" where none does.

    All likeness is the judge's: ROUGE-L F1 of the words that it counts.
    """
    texts = [text for text in map(str.strip, draws) if text and ASKED not in text]
    if not texts:
        return ""
    tokens, wanted = [words(text) for text in texts], words(answer)
    # Draws that did not end or say the prompt again agree with nothing.
    shares = [(1 + (len(texts) - 1) * mean) / len(draws) for mean in agreements(tokens)]
    near = [f1(wanted, one) for one in tokens]
    place = max(range(len(texts)), key=lambda n: (shares[n] + near[n], -n))
    good = near[place] >= LEAST_LIKENESS and shares[place] + near[place] >= LEAST_SUM
    return texts[place] if good else ""


def chat_of(question: str, passages: Sequence[Passage], examples: bool) -> Chat:
    """What the model is asked: worked examples, then passages (best first) and the question."""
    history = turns_of(examples_of(examples))
    return messages_for(with_passages(question, passages), SYSTEM_PROMPT, history)


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
) -> Composed:
    """Write `out` like `data`, with train answers that the model composed from the index.

    Everything else, dev rows and their answers too, is copied; the manifest names both parents.
    Raises ComposeError, and what reading an index raises.
    """
    from retrieval.search import Retriever

    started = time.monotonic()
    if out.resolve() == data.resolve():
        raise ComposeError(either("--out 要是另一个目录", "--out has to be another folder"))
    rows, retriever = read_rows(data), Retriever.load(index)
    asked = [row for row in rows if row.question]
    found = retriever.search([row.question for row in asked], passages)
    chats = [
        chat_of(row.question, [hit.passage for hit in hits], examples)
        for row, hits in zip(asked, found, strict=True)
    ]
    replies = iter(ask(chats, ANSWER_TOKENS, draws, temperature))
    kept: list[dict[str, Any]] = []
    answers: list[str] = []
    dropped = 0
    for row in rows:
        answer = best_draw(next(replies), row.answer) if row.question else ""
        if answer:
            kept.append(row.fields | {"messages": _with_answer(row.fields["messages"], answer)})
            answers.append(answer)
        elif row.question:
            dropped += 1
        else:
            kept.append(row.fields)
    told = Composed(
        rows=len(kept),
        composed=len(answers),
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
    }
    _record(data, out, index, chosen, told, time.monotonic() - started)
    return told


def _with_answer(messages: list[dict[str, Any]], answer: str) -> list[dict[str, Any]]:
    return [*messages[:-1], messages[-1] | {"content": answer}]


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
