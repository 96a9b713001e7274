"""Questions in, passages out: recall by BM25 and a bi-encoder, fused, and a cross-encoder's order.

retriever = Retriever.load(Path("out/index"))
for hits in retriever.search(["什么是线程块？"], count=3): ...
"""

import logging
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from retrieval.dense import DenseIndex, Encoder
from retrieval.fusion import reciprocal_rank_fusion
from retrieval.passages import PASSAGES_NAME, Passage, read_passages
from retrieval.rerank import FIRST, Reranker
from retrieval.sparse import SparseIndex

log = logging.getLogger(__name__)

Method = Literal["bm25", "dense", "fused", "reranked"]
SPARSE_DIR = "bm25"
RECALLED = 100  # by each method before fusion


class IndexFileError(ValueError):
    """An index that cannot be used; the message names the file and what to do."""


@dataclass(frozen=True)
class Hit:
    """A passage found for a question. place: its number in the index; score: the method's own."""

    passage: Passage
    score: float
    place: int


class Retriever:
    """Searches one index. Without encoder it knows BM25 only, without reranker no fourth method."""

    def __init__(
        self,
        passages: Sequence[Passage],
        sparse: SparseIndex,
        dense: DenseIndex | None = None,
        encoder: Encoder | None = None,
        reranker: Reranker | None = None,
    ):
        self.passages = passages
        self._sparse = sparse
        self._dense = dense
        self._encoder = encoder
        self._reranker = reranker

    @classmethod
    def load(
        cls,
        directory: Path,
        encoder: Path | None = None,
        reranker: Path | None = None,
        device: str | None = None,
        rerank_first: int = FIRST,
    ) -> "Retriever":
        """Read an index of `python -m retrieval build`.

        encoder: the directory of the bi-encoder that the index was built with; None: BM25 alone.
        rerank_first: how many of the passages found a reranker reads.
        Raises IndexFileError or OSError.
        """
        if not (directory / PASSAGES_NAME).is_file():
            raise IndexFileError(f"{directory}: no {PASSAGES_NAME}: make it with `retrieval build`")
        try:
            passages = read_passages(directory)
            sparse = SparseIndex.load(directory / SPARSE_DIR)
            dense = DenseIndex.load(directory) if encoder else None
        except (ValueError, KeyError, RuntimeError) as error:
            raise IndexFileError(f"{directory}: damaged ({error}); build it again") from error
        if sparse.size != len(passages):
            raise IndexFileError(
                f"{directory}: {len(passages)} passages, but BM25 knows {sparse.size}: "
                "files of two builds; build it again"
            )
        return cls(
            passages,
            sparse,
            dense,
            Encoder(encoder, device) if encoder else None,
            Reranker(reranker, device, rerank_first) if reranker else None,
        )

    def with_models(
        self,
        dense: DenseIndex | None = None,
        encoder: Encoder | None = None,
        reranker: Reranker | None = None,
    ) -> "Retriever":
        """The same passages and BM25 with other models; dense: made by `encoder`."""
        return Retriever(self.passages, self._sparse, dense, encoder, reranker)

    def with_reranker(self, reranker: Reranker) -> "Retriever":
        """The same retriever with a cross-encoder after it."""
        return self.with_models(self._dense, self._encoder, reranker)

    @property
    def has_encoder(self) -> bool:
        """Whether it can search by meaning."""
        return self._encoder is not None

    def memory(self, method: Method) -> int:
        """Bytes of weights and numbers that a method keeps in memory."""
        parts = {
            "bm25": [self._sparse],
            "dense": [self._dense, self._encoder],
            "fused": [self._sparse, self._dense, self._encoder],
            "reranked": [self._sparse, self._dense, self._encoder, self._reranker],
        }
        return sum(part.bytes for part in parts[method] if part is not None)

    @property
    def method(self) -> Method:
        """The best of what this retriever has."""
        if self._reranker is not None:
            return "reranked"
        return "fused" if self._dense is not None else "bm25"

    def rank(
        self,
        questions: Sequence[str],
        count: int,
        method: Method | None = None,
        until: float = math.inf,
    ) -> list[list[tuple[int, float]]]:
        """(place, score) of the best passages of each question, best first, at most `count`.

        until: a `time.monotonic()` value by which a reranker must be done; else all questions keep
        the order that it was given, with a warning.
        Raises ValueError for a method that this retriever has no model for.
        """
        method = method or self.method
        if method == "bm25":
            return self._sparse.search(questions, count)
        if method in ("dense", "fused") or self._dense is not None:
            if self._dense is None or self._encoder is None:
                raise ValueError(f"{method}: the retriever was loaded without an encoder")
            nearest = self._dense.search(self._encoder.queries(questions), RECALLED)
            if method == "dense":
                return [row[:count] for row in nearest]
            matched = self._sparse.search(questions, RECALLED)
            fused = [
                reciprocal_rank_fusion([[p for p, _ in a], [p for p, _ in b]])
                for a, b in zip(matched, nearest, strict=True)
            ]
        else:
            fused = self._sparse.search(questions, RECALLED)
        if method == "fused":
            return [row[:count] for row in fused]
        try:
            return self._reranked(questions, fused, count, until)
        except TimeoutError:
            log.warning(
                "%d questions: no time to rerank them, they keep the order of the search; a GPU, a "
                "smaller RETRIEVAL_RERANK_FIRST or no RETRIEVAL_RERANKER",
                len(questions),
            )
            return [row[:count] for row in fused]

    def search(
        self,
        questions: Sequence[str],
        count: int = 3,
        method: Method | None = None,
        until: float = math.inf,
    ) -> list[list[Hit]]:
        """The best passages of each question, best first, at most `count`; until: see `rank`."""
        return [
            [Hit(self.passages[place], score, place) for place, score in row]
            for row in self.rank(questions, count, method, until)
        ]

    def _reranked(
        self,
        questions: Sequence[str],
        rows: list[list[tuple[int, float]]],
        count: int,
        until: float,
    ) -> list[list[tuple[int, float]]]:
        if self._reranker is None:
            raise ValueError("reranked: the retriever was loaded without a reranker")
        candidates = [[place for place, _ in row[: self._reranker.first]] for row in rows]
        scores = iter(
            self._reranker.scores(
                [
                    (question, self.passages[place].indexed_text)
                    for question, places in zip(questions, candidates, strict=True)
                    for place in places
                ],
                until,
            )
        )
        return [
            sorted(((place, next(scores)) for place in places), key=lambda item: -item[1])[:count]
            for places in candidates
        ]
