"""A check by data that nobody here wrote: CMRC 2018's dev set, Chinese Wikipedia.

    git clone https://github.com/ymcui/cmrc2018
    python -m bench.cmrc cmrc2018 --encoder DIR           which of 848 passages holds the answer
    python -m bench.cmrc cmrc2018 --reranker DIR --sample 200      and after a cross-encoder
    python -m bench.cmrc cmrc2018 --answers MODEL_DIR     EM and F1 of the service's answers

Answers: all questions (--sample: some, drawn at random) in one call; on a GPU where there is one.
Results go to --out, each kind beside what is there.
"""

import json
import platform
import random
import tempfile
import time
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from bench.cmrc_answers import Question, answered
from common.manifest import library_versions
from retrieval.dense import model_name
from retrieval.evaluate import MEASURES, Asked, Outcome, difference, evaluate_method
from retrieval.passages import Passage
from retrieval.rerank import FIRST, Reranker
from retrieval.search import SPARSE_DIR, Retriever
from retrieval.sparse import SparseIndex, write_sparse_index

console = Console(width=110)
LIBRARIES = ("torch", "transformers", "vllm", "sentence-transformers", "nltk")
SQUAD_FILE = "squad-style-data/cmrc2018_dev.json"


def main(
    repository: Annotated[Path, typer.Argument(help="the cloned repository, or its dev file")],
    encoder: Annotated[list[Path] | None, typer.Option(help="bi-encoders; repeatable")] = None,
    reranker: Annotated[list[Path] | None, typer.Option(help="cross-encoders; repeatable")] = None,
    rerank_first: Annotated[int, typer.Option(help="of BM25's passages", min=2)] = FIRST,
    sample: Annotated[int | None, typer.Option(help="questions drawn at random", min=2)] = None,
    answers: Annotated[Path | None, typer.Option(help="a model directory: ask it")] = None,
    seconds: Annotated[float, typer.Option(help="of answering, each form")] = 600,
    passages: Annotated[int, typer.Option(help="before a question", min=1)] = 1,
    max_tokens: Annotated[int, typer.Option(help="of an answer", min=1)] = 96,
    out: Annotated[Path, typer.Option(help="results")] = Path("bench/results/cmrc_cpu.json"),
) -> None:
    """Recall of each method, or with --answers EM and F1."""
    texts, asked = read_dev(repository)
    if sample:
        asked = random.Random(0).sample(asked, min(sample, len(asked)))
    with tempfile.TemporaryDirectory() as folder:
        if answers:
            found = answered(texts, asked, answers, Path(folder), seconds, passages, max_tokens)
            keep(out, {f"answers {found['model']}": found})
            console.print_json(json.dumps(short(found), ensure_ascii=False))
            return
        write_sparse_index([passage.text for passage in texts], Path(folder) / SPARSE_DIR)
        retriever = Retriever(texts, SparseIndex.load(Path(folder) / SPARSE_DIR))
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


def short(found: dict[str, Any]) -> dict[str, Any]:
    """What is worth a look at once: no answers."""
    forms = {
        name: {key: value for key, value in form.items() if key != "rows"}
        for name, form in found["forms"].items()
    }
    return found | {"forms": forms}


def keep(path: Path, found: dict[str, Any]) -> None:
    """Put results beside those of the file."""
    told = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    told |= {
        "note": "CMRC 2018 dev (ymcui/cmrc2018, CC BY-SA 4.0): 3,219 questions, 848 passages of "
        "Chinese Wikipedia; recall: the passage that the question was written from",
        "host": {"machine": platform.machine(), "python": platform.python_version()},
        "versions": library_versions(LIBRARIES),
        **found,
    }
    path.write_text(json.dumps(told, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    typer.run(main)
