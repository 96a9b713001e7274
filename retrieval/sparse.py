"""BM25 over the passages. bm25s makes the index; searching it is a sum of its numbers, by numpy
alone, so that the judge's image needs no package more and its numpy stays as it is."""

import json
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from retrieval.terms import index_terms

# Robertson and Zaragoza 2009; Lucene's form of the formula, whose scores are never negative.
K1, B, METHOD = 1.5, 0.75, "lucene"
# bm25s' own files: for each term the passages that hold it and what it adds to their scores.
ARRAYS = ("data", "indices", "indptr")
BLOCK = 64  # passages
VOCABULARY, PARAMETERS = "vocab.index.json", "params.index.json"
# Ours: Traditional characters and the Simplified ones that these texts hold. With it book and
# questions may be written either way; the image has no OpenCC.
FOLDING = "characters.json"


def write_sparse_index(
    texts: Iterable[str], directory: Path, folding: Mapping[int, str] | None = None
) -> None:
    """Index texts, which are read once, one after another; the same texts give the same bytes.

    folding: of characters, in these texts and later in questions (common.simplified).
    Raises ValueError when there is no word in any of them.
    """
    bm25s = _on_numpy_alone()
    vocabulary: dict[str, int] = {}
    ids = [
        np.array(
            [vocabulary.setdefault(term, len(vocabulary)) for term in index_terms(text, folding)],
            dtype=np.int32,
        )
        for text in texts
    ]
    if not vocabulary:
        raise ValueError("no word in any passage: there is nothing to search")
    scorer = bm25s.BM25(k1=K1, b=B, method=METHOD)
    scorer.index(bm25s.tokenization.Tokenized(ids=ids, vocab=vocabulary), show_progress=False)
    scorer.save(directory, show_progress=False)
    if folding:
        held = set("".join(vocabulary))
        kept = {chr(sign): to for sign, to in sorted(folding.items()) if to in held}
        text = json.dumps(kept, ensure_ascii=False, separators=(",", ":"))
        (directory / FOLDING).write_text(text, encoding="utf-8")


class SparseIndex:
    """BM25 scores of passages, addressed by their place in the list that was indexed."""

    def __init__(
        self,
        arrays: Sequence[np.ndarray],
        vocabulary: Mapping[str, int],
        size: int,
        folding: Mapping[int, str] | None = None,
    ):
        self._data, self._indices, self._starts = arrays
        self._vocabulary = vocabulary
        self._folding = folding
        self.size = size

    @property
    def bytes(self) -> int:
        """Memory of its numbers."""
        return int(self._data.nbytes + self._indices.nbytes + self._starts.nbytes)

    @classmethod
    def load(cls, directory: Path) -> "SparseIndex":
        """Read what `write_sparse_index` wrote. Raises OSError, ValueError or KeyError."""
        arrays = [np.load(directory / f"{name}.csc.index.npy") for name in ARRAYS]
        read: list[Any] = [
            json.loads((directory / name).read_text(encoding="utf-8"))
            for name in (VOCABULARY, PARAMETERS)
        ]
        path, folding = directory / FOLDING, None
        if path.is_file():  # an index of before has none
            folding = str.maketrans(json.loads(path.read_text(encoding="utf-8")))
        return cls(arrays, read[0], int(read[1]["num_docs"]), folding)

    def scores(self, question: str) -> np.ndarray:
        """BM25 of every passage, float64 [passages]."""
        spans = [
            slice(self._starts[number], self._starts[number + 1])
            for term in index_terms(question, self._folding)
            if (number := self._vocabulary.get(term)) is not None
        ]
        if not spans:
            return np.zeros(self.size)
        places = np.concatenate([self._indices[span] for span in spans])
        weights = np.concatenate([self._data[span] for span in spans])
        return np.bincount(places, weights, self.size)

    def search(self, questions: Sequence[str], count: int) -> list[list[tuple[int, float]]]:
        """For each question (place, score) of its best passages, best first, at most `count`.

        Passages that share no term with the question are left out.
        """
        found: list[list[tuple[int, float]]] = []
        for question in questions:
            scores = self.scores(question)
            near = np.flatnonzero(scores >= _floor(scores, count))
            # A stable order of equal scores: the earlier passage of the book first.
            best = near[np.argsort(-scores[near], kind="stable")[:count]]
            found.append([(int(i), float(scores[i])) for i in best if scores[i] > 0])
        return found


def _floor(scores: np.ndarray, count: int) -> float:
    """A score that at least `count` passages reach: the `count`-th of the best of each block.

    Sorting all passages of a library for every question took longer than scoring them.
    """
    blocks = len(scores) // BLOCK
    if blocks < count:
        return 0.0
    best = scores[: blocks * BLOCK].reshape(blocks, BLOCK).max(axis=1)
    return float(np.partition(best, blocks - count)[blocks - count])


def _on_numpy_alone() -> ModuleType:
    """bm25s without the two libraries that it imports where it finds them.

    With numba loaded vLLM's CPU build (0.32.0), which looks through every loaded module, does not
    start. JAX takes three quarters of the GPU's memory as soon as it is used, and bm25s uses it
    when it is imported: no room is left for a model in the same process (seen on an H100). None in
    sys.modules makes an import fail.
    """
    hidden = ("numba", "jax", "jax.lax")
    there = {name: sys.modules[name] for name in hidden if name in sys.modules}
    sys.modules.update(dict.fromkeys(hidden))  # type: ignore[arg-type]
    try:
        import bm25s
    finally:
        for name in hidden:
            del sys.modules[name]
        sys.modules.update(there)
    return bm25s
