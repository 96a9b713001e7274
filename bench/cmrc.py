"""A check by data that nobody here wrote: CMRC 2018's dev set, Chinese Wikipedia.

    git clone https://github.com/ymcui/cmrc2018
    python -m bench.cmrc cmrc2018 --encoder DIR           which of 848 passages holds the answer
    python -m bench.cmrc cmrc2018 --reranker DIR --sample 200      and after a cross-encoder
    python -m bench.cmrc cmrc2018 --answers MODEL_DIR     EM and F1 of answers with BM25's passages

Answers: as many of the questions, in random order, as fit the time, on a GPU where there is one.
Results go to bench/results/cmrc_cpu.json, each kind beside what is there.
"""

import json
import platform
import random
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from bench.cmrc_score import em, f1
from common.manifest import library_versions
from retrieval.dense import model_name
from retrieval.evaluate import MEASURES, Asked, Outcome, difference, evaluate_method, interval
from retrieval.passages import Passage
from retrieval.prompt import BETWEEN
from retrieval.rerank import FIRST, Reranker
from retrieval.search import SPARSE_DIR, Retriever
from retrieval.sparse import SparseIndex, write_sparse_index

console = Console(width=110)
SQUAD_FILE = "squad-style-data/cmrc2018_dev.json"
# The references are words of the passage, not sentences: asked so, unlike what the service asks.
FORM = "材料：\n{passages}\n\n从材料中摘出回答问题的词语，只写这些词语，不写整句：{question}"
LONGEST_ANSWER = 48  # tokens
BATCH, GPU_BATCH = 4, 64


@dataclass(frozen=True)
class Question:
    """A question, its reference answers, and the place of its passage."""

    text: str
    references: list[str]
    place: int


def main(
    repository: Annotated[Path, typer.Argument(help="the cloned repository, or its dev file")],
    encoder: Annotated[list[Path] | None, typer.Option(help="bi-encoders; repeatable")] = None,
    reranker: Annotated[list[Path] | None, typer.Option(help="cross-encoders; repeatable")] = None,
    rerank_first: Annotated[int, typer.Option(help="of BM25's passages", min=2)] = FIRST,
    sample: Annotated[int | None, typer.Option(help="questions drawn at random", min=2)] = None,
    answers: Annotated[Path | None, typer.Option(help="a model directory: ask it")] = None,
    seconds: Annotated[float, typer.Option(help="of answering")] = 600,
    passages: Annotated[int, typer.Option(help="before a question", min=1)] = 2,
    out: Annotated[Path, typer.Option(help="results")] = Path("bench/results/cmrc_cpu.json"),
) -> None:
    """Recall of each method, or with --answers EM and F1."""
    texts, asked = read_dev(repository)
    with tempfile.TemporaryDirectory() as folder:
        write_sparse_index([passage.text for passage in texts], Path(folder) / SPARSE_DIR)
        retriever = Retriever(texts, SparseIndex.load(Path(folder) / SPARSE_DIR))
    if answers:
        found = answered(retriever, asked, answers, seconds, passages)
        keep(out, {"answers": found})
        console.print_json(json.dumps(found, ensure_ascii=False))
        return
    if sample:
        asked = random.Random(0).sample(asked, min(sample, len(asked)))
    rows = recall(retriever, asked, encoder or [], reranker or [], rerank_first)
    told = {"questions": len(asked), "passages_reranked": rerank_first, "rows": rows}
    keep(out, {"recall_of_a_sample": told} if sample else {"recall": rows})
    table = Table("method", *MEASURES, title=f"{len(asked)} questions, {len(texts)} passages")
    for row in rows:
        table.add_row(row["method"], *(f"{row[name]['mean']:.3f}" for name in MEASURES))
    console.print(table)


def read_dev(repository: Path) -> tuple[list[Passage], list[Question]]:
    """The passages and questions of the dev set. Raises OSError or KeyError."""
    path = repository if repository.is_file() else repository / SQUAD_FILE
    texts: list[Passage] = []
    asked = []
    for article in json.loads(path.read_text(encoding="utf-8"))["data"]:
        for paragraph in article["paragraphs"]:
            text = paragraph["context"]
            texts.append(Passage(str(len(texts)), "cmrc2018_dev", (), 0, len(text), text))
            asked += [
                Question(
                    each["question"], [answer["text"] for answer in each["answers"]], len(texts) - 1
                )
                for each in paragraph["qas"]
            ]
    return texts, asked


def recall(
    retriever: Retriever,
    questions: list[Question],
    encoders: list[Path],
    rerankers: list[Path],
    first: int,
) -> list[dict[str, Any]]:
    """Recall, MRR and nDCG of BM25, of each encoder alone and fused with it, and of each reranker
    over BM25's `first`, with its difference of nDCG@10, question by question."""
    from retrieval.dense import DenseIndex, Encoder

    asked = [Asked(q.text, frozenset({q.place}), "evidence") for q in questions]
    bm25 = evaluate_method(retriever, asked, "bm25")
    rows = [_row("BM25", bm25)]
    for directory in rerankers:
        both = retriever.with_reranker(Reranker(directory, first=first))
        outcome = evaluate_method(both, asked, "reranked")
        change = asdict(difference(bm25, outcome))
        rows.append(_row(f"BM25, {model_name(directory)}", outcome) | {"ndcg_less_bm25": change})
    for directory in encoders:
        began = time.perf_counter()
        encoder = Encoder(directory)
        dense = DenseIndex.build(encoder.documents([p.text for p in retriever.passages]))
        seconds = round(time.perf_counter() - began, 1)
        both = retriever.with_models(dense, encoder)
        for method in ("dense", "fused"):
            row = _row(f"{directory.name}, {method}", evaluate_method(both, asked, method))
            rows.append(row | {"seconds_for_passages": seconds})
    return rows


def _row(name: str, outcome: Outcome) -> dict[str, Any]:
    measures = {key: asdict(v) for key, v in zip(MEASURES, outcome.values, strict=True)}
    return {"method": name, **measures, "ms_a_question": round(outcome.milliseconds, 2)}


def answered(
    retriever: Retriever, questions: list[Question], directory: Path, seconds: float, count: int
) -> dict[str, Any]:
    """EM and F1 of a model's greedy answers to questions drawn at random, with BM25's passages."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    from train.generate import greedy_answers

    tokenizer = AutoTokenizer.from_pretrained(directory)
    model = AutoModelForCausalLM.from_pretrained(directory, dtype=torch.bfloat16)
    at_once = BATCH
    if torch.cuda.is_available():
        model, at_once = model.to("cuda"), GPU_BATCH
    order = list(questions)
    random.Random(0).shuffle(order)
    rows: list[dict[str, Any]] = []
    began = time.perf_counter()
    for start in range(0, len(order), at_once):
        batch = order[start : start + at_once]
        hits = retriever.search([q.text for q in batch], count)
        prompts = [
            FORM.replace("{question}", q.text).replace(
                "{passages}", BETWEEN.join(hit.passage.text for hit in reversed(found))
            )
            for q, found in zip(batch, hits, strict=True)
        ]
        said = greedy_answers(model, tokenizer, prompts, "", LONGEST_ANSWER, at_once)
        for q, found, answer in zip(batch, hits, said, strict=True):
            rows.append(
                {
                    "answer": answer,
                    "references": q.references,
                    "found": any(hit.place == q.place for hit in found),
                    "em": em(q.references, answer),
                    "f1": f1(q.references, answer),
                }
            )
        spent = time.perf_counter() - began
        if spent + spent / (start // at_once + 1) > seconds:
            break
    return {
        "model": directory.name,
        "prompt": FORM,
        "passages": count,
        "questions": len(rows),
        "em": asdict(interval([row["em"] for row in rows])),
        "f1": asdict(interval([row["f1"] for row in rows])),
        "right_passage_there": sum(row["found"] for row in rows) / len(rows),
        "seconds": round(time.perf_counter() - began, 1),
        "rows": rows[:20],
    }


def keep(path: Path, found: dict[str, Any]) -> None:
    """Put results beside those of the file."""
    told = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    told |= {
        "note": "CMRC 2018 dev (ymcui/cmrc2018, CC BY-SA 4.0): 3,219 questions, 848 passages of "
        "Chinese Wikipedia; recall: the passage that the question was written from",
        "host": {"machine": platform.machine(), "python": platform.python_version()},
        "versions": library_versions(("torch", "transformers", "sentence-transformers", "nltk")),
        **found,
    }
    path.write_text(json.dumps(told, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    typer.run(main)
