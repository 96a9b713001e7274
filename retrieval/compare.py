"""Which models and which passage size find best: every combination on one test set."""

import tempfile
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path

from common.language import either
from data.cache import Cache
from retrieval.build import MIN_CHARS, IndexSettings, build_index, vectors_of
from retrieval.dense import DenseIndex, Encoder, model_name
from retrieval.evaluate import Asked, Outcome, Reason, evaluate_method, read_evaluation_set, reason
from retrieval.rerank import FIRST, Reranker
from retrieval.search import Method, Retriever


@dataclass(frozen=True)
class Row:
    """One method with passages of one size. models: encoder and reranker, by their folders."""

    max_chars: int
    passages: int
    method: Method
    models: str
    outcome: Outcome
    memory: int
    reasons: Counter[Reason]


def compare(
    books: Sequence[Path],
    testset: Path,
    sizes: Sequence[int],
    encoders: Sequence[Path] = (),
    rerankers: Sequence[Path] = (),
    cache: Cache | None = None,
    firsts: Sequence[int] = (FIRST,),
    on_step: Callable[[str], None] = lambda step: None,
) -> Iterator[Row]:
    """Rows as they are measured: BM25; each encoder alone and fused; each reranker after BM25 and
    after each encoder. firsts: how many passages a reranker reads.
    Raises BookError, PairsError, ValueError or OSError.
    """
    for size in sizes:
        on_step(either(f"至多 {size} 字符的片段", f"passages of up to {size} characters"))
        with tempfile.TemporaryDirectory() as folder:
            index = Path(folder) / "index"
            build_index(books, index, IndexSettings(min(MIN_CHARS, size // 2), size), cache)
            plain = Retriever.load(index)
        asked = read_evaluation_set(testset, plain.passages)
        yield _row(plain, asked, size, "bm25")
        texts = [passage.indexed_text for passage in plain.passages]
        for directory in (None, *encoders):
            retriever, name = plain, ""
            if directory:
                name = model_name(directory)
                dense = DenseIndex.build(vectors_of(directory, texts, cache, on_step))
                retriever = plain.with_models(dense, Encoder(directory))
                yield _row(retriever, asked, size, "dense", name)
                yield _row(retriever, asked, size, "fused", name)
            for cross, first in product(rerankers, firsts):
                model = f"{model_name(cross)} @{first}"
                on_step(either(f"{model} 重排", f"{model} reranks"))
                both = retriever.with_reranker(Reranker(cross, first=first))
                yield _row(both, asked, size, "reranked", " + ".join(filter(None, (name, model))))


def _row(
    retriever: Retriever, asked: Sequence[Asked], size: int, method: Method, models: str = ""
) -> Row:
    outcome = evaluate_method(retriever, asked, method)
    whys = (reason(item, place) for item, place in zip(asked, outcome.places, strict=True))
    reasons = Counter(why for why in whys if why)
    memory = retriever.memory(method)
    return Row(size, len(retriever.passages), method, models, outcome, memory, reasons)
