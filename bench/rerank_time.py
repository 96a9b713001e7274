"""How long reranking a whole test set takes here, and where the time goes; time, no quality.

    python -m bench.rerank_time testset.jsonl INDEX_DIR [INDEX_DIR …] --shape ENCODER_DIR

ENCODER_DIR: config.json and tokenizer of an encoder, such as multilingual-e5-small; the weights are
made up. `whole` is a search as the service does it; tokenizing, and reading by the model, are timed
apart.
"""

import json
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer

from common.manifest import library_versions
from common.read_pairs import read_pairs
from retrieval.rerank import Reranker
from retrieval.search import Retriever

RUNS = 3


def main(
    testset: Annotated[Path, typer.Argument(help="its questions are searched for")],
    index: Annotated[list[Path], typer.Argument(help="of `retrieval build`; repeatable")],
    shape: Annotated[Path, typer.Option(help="config.json and tokenizer of an encoder")],
    first: Annotated[list[int] | None, typer.Option(help="passages reranked: 10, 20, 30")] = None,
    limit: Annotated[int | None, typer.Option(help="questions", min=1)] = None,
    out: Annotated[Path, typer.Option(help="results")] = Path("out/rerank_time.json"),
) -> None:
    """Seconds of a reranked search of all questions."""
    import torch

    questions = [pair.question for pair in read_pairs(testset).pairs][:limit]
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        made_up(shape, Path(folder))
        for place in index:
            retriever = Retriever.load(place)
            for count in first or [10, 20, 30]:
                row = {"index": place.name, **timed(retriever, Path(folder), count, questions)}
                rows.append(row)
                typer.echo(json.dumps(row, ensure_ascii=False))
    told = {
        "device": torch.cuda.get_device_name() if torch.cuda.is_available() else "cpu",
        "questions": len(questions),
        "shape": json.loads((shape / "config.json").read_text(encoding="utf-8")),
        "versions": library_versions(("torch", "transformers", "sentence-transformers")),
        "rows": rows,
    }
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(json.dumps(told, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")


def made_up(shape: Path, out: Path) -> None:
    """A cross-encoder of this shape with random weights."""
    import torch
    from transformers import AutoConfig, AutoModelForSequenceClassification, AutoTokenizer

    torch.manual_seed(0)
    config = AutoConfig.from_pretrained(shape, num_labels=1)
    AutoModelForSequenceClassification.from_config(config).save_pretrained(out)
    AutoTokenizer.from_pretrained(shape).save_pretrained(out)


def timed(retriever: Retriever, model: Path, first: int, questions: list[str]) -> dict[str, Any]:
    """Seconds of one setting: whole searches, and one taken apart."""
    reranker = Reranker(model, first=first)
    both = retriever.with_reranker(reranker)
    both.search(questions[:8], 3)  # what is read or compiled at first is not counted
    whole = [_seconds(lambda: both.search(questions, 3))[0] for _ in range(RUNS)]
    bm25, ranked = _seconds(lambda: retriever.rank(questions, first))
    pairs = [
        (question, retriever.passages[place].indexed_text)
        for question, row in zip(questions, ranked, strict=True)
        for place, _ in row
    ]
    tokenizing, batches = _seconds(lambda: list(reranker.batches(pairs)))
    reading, _ = _seconds(lambda: reranker.read(batches))
    cells = sum(tensors["input_ids"].numel() for _, tensors in batches)
    tokens = sum(int(tensors["attention_mask"].sum()) for _, tensors in batches)
    return {
        "first": first,
        "pairs": len(pairs),
        "tokens": tokens,
        "padding": round(1 - tokens / cells, 4),
        "batches": len(batches),
        "whole": whole,
        "bm25": bm25,
        "tokenizing": tokenizing,
        "reading": reading,
    }


def _seconds(work: Callable[[], Any]) -> tuple[float, Any]:
    import torch

    began = time.perf_counter()
    result = work()
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return round(time.perf_counter() - began, 4), result


if __name__ == "__main__":
    typer.run(main)
