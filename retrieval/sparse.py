"""BM25 over the passages, by bm25s: numpy alone, thousands of questions a second on one core."""

import logging
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from retrieval.terms import index_terms


def _without_numba() -> ModuleType:
    """bm25s on numpy alone.

    It imports numba where it finds it, and vLLM's CPU build (0.32.0), which looks through every
    loaded module, then does not start. None in sys.modules makes an import fail.
    """
    there = sys.modules.get("numba")
    sys.modules["numba"] = None  # type: ignore[assignment]
    try:
        import bm25s
    finally:
        del sys.modules["numba"]
        if there is not None:
            sys.modules["numba"] = there
    return bm25s


bm25s = _without_numba()
logging.getLogger("bm25s").setLevel(logging.WARNING)  # it tells of every step otherwise

# Robertson and Zaragoza 2009; Lucene's form of the formula, whose scores are never negative.
K1, B, METHOD = 1.5, 0.75, "lucene"


class SparseIndex:
    """BM25 scores of passages, addressed by their place in the list that was indexed."""

    def __init__(self, scorer: Any, size: int):
        self._scorer = scorer
        self.size = size

    @classmethod
    def build(cls, texts: Iterable[str]) -> "SparseIndex":
        """Index texts; they are read once, one after another."""
        vocabulary: dict[str, int] = {}
        ids = [
            np.array(
                [vocabulary.setdefault(term, len(vocabulary)) for term in index_terms(text)],
                dtype=np.int32,
            )
            for text in texts
        ]
        if not vocabulary:
            raise ValueError("no word in any passage: there is nothing to search")
        scorer = bm25s.BM25(k1=K1, b=B, method=METHOD)
        scorer.index(bm25s.tokenization.Tokenized(ids=ids, vocab=vocabulary), show_progress=False)
        return cls(scorer, len(ids))

    def save(self, directory: Path) -> None:
        """Write bm25s' own files; the same passages give the same bytes."""
        self._scorer.save(directory, show_progress=False)

    @classmethod
    def load(cls, directory: Path) -> "SparseIndex":
        """Read what `save` wrote. Raises OSError or ValueError."""
        scorer = bm25s.BM25.load(directory, load_corpus=False, show_progress=False)
        return cls(scorer, int(scorer.scores["num_docs"]))

    def search(self, questions: Sequence[str], count: int) -> list[list[tuple[int, float]]]:
        """For each question (place, score) of its best passages, best first, at most `count`.

        Passages that share no term with the question are left out.
        """
        asked = [index_terms(question) for question in questions]
        found: list[list[tuple[int, float]]] = []
        for terms in asked:
            scores = self._scorer.get_scores(terms) if terms else np.zeros(self.size)
            # A stable order of equal scores: the earlier passage of the book first.
            best = np.argsort(-scores, kind="stable")[:count]
            found.append([(int(i), float(scores[i])) for i in best if scores[i] > 0])
        return found
