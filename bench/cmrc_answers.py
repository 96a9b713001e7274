"""EM and F1 of a model's answers to CMRC 2018's questions, given by the service's own answerer.

All questions go in one call, as the judge's do: BM25, passages, prompt, engine and cleaning are the
service's, and so are its settings (environment variables). Only the bench's arguments win.
"""

import asyncio
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from bench.cmrc_score import em, f1
from common.intervals import interval
from retrieval.passages import Passage, write_passages
from retrieval.search import SPARSE_DIR
from retrieval.sparse import write_sparse_index

# The references are words of the passage. Asked for a whole answer, as the service asks, a model
# writes sentences, and F1 counts each further character against them.
# Of four requests this one had the best F1 (the 0.5B, 24 of the questions).
WORDS = "只写答案本身（原文里的几个词），不写主语，不写整句。"


@dataclass(frozen=True)
class Question:
    """A question, its reference answers, and the place of its passage."""

    text: str
    references: list[str]
    place: int


def answered(
    passages: Sequence[Passage],
    questions: Sequence[Question],
    model: Path,
    folder: Path,
    seconds: float,
    count: int,
    max_tokens: int,
) -> dict[str, Any]:
    """Results of both forms: a request for words in the question, and the question alone.

    folder: the index is written there. seconds: of each form; what is unfinished then counts as it
    stands, and is counted in `cut`.
    """
    write_passages(folder, passages)
    write_sparse_index([passage.indexed_text for passage in passages], folder / SPARSE_DIR)
    given = {
        "model_dir": model,
        "retrieval_dir": folder,
        "retrieval_passages": count,
        "max_tokens": max_tokens,
        "repeat_redraws": 0,
    }
    return asyncio.run(_answered(questions, given, seconds))


async def _answered(
    questions: Sequence[Question], given: dict[str, Any], seconds: float
) -> dict[str, Any]:
    from serving.settings import Settings
    from serving.startup import start_answerer

    settings = Settings(_env_file=None, **given)
    answerer, start = await start_answerer(settings)
    records: list[Any] = []
    answerer.observer = records.append
    forms = {}
    try:
        for name, more in (("words", WORDS), ("as the service asks", "")):
            began = time.monotonic()
            asked = [question.text + more for question in questions]
            answers = await answerer.answer(asked, began + seconds)
            spent = time.monotonic() - began
            record = asdict(records[-1])
            kept = {key: record[key] for key in ("prompt_tokens", "tokens", "length", "cut")}
            forms[name] = _scored(questions, answers) | {"seconds": round(spent, 2), **kept}
        found = await answerer.passages([question.text for question in questions])
    finally:
        answerer.stop()
    there = [
        any(hit.place == question.place for hit in hits)
        for question, hits in zip(questions, found, strict=True)
    ]
    return {
        "model": settings.model_dir.name,
        "questions": len(questions),
        "right_passage_there": round(sum(there) / len(there), 4),
        "passages": settings.retrieval_passages,
        "worked_examples": len(answerer.book.turns) if answerer.book else 0,
        "examples_why": answerer.settings.retrieval_why,
        "max_tokens": settings.max_tokens,
        "start": start,
        "forms": forms,
    }


def _scored(questions: Sequence[Question], answers: Sequence[str]) -> dict[str, Any]:
    rows = [
        {
            "question": question.text,
            "answer": answer,
            "references": question.references,
            "em": em(question.references, answer),
            "f1": round(f1(question.references, answer), 4),
        }
        for question, answer in zip(questions, answers, strict=True)
    ]
    return {
        "em": asdict(interval([row["em"] for row in rows])),
        "f1": asdict(interval([row["f1"] for row in rows])),
        "characters": round(sum(map(len, answers)) / len(answers), 1),
        "rows": rows[:20],
    }
