"""A second opinion on leaks: rows that ask a test question in quite other words.

MinHash and edit distance see letters; sentence embeddings see what is meant, and err in their own
way. So this names rows to read, and removes none.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np

from common.language import either
from data.contamination import Texts

# Share of pairs of different test questions that are nearer to each other than the threshold.
BY_CHANCE = 0.001


class TextEncoder(Protocol):
    """What retrieval.dense.Encoder does here."""

    def queries(self, texts: Sequence[str]) -> np.ndarray:
        """Vectors of length 1, float32 [texts, width]."""


@dataclass(frozen=True)
class Near:
    """A row near a test question by meaning: the row's closest question and the cosine."""

    row: int
    test: int
    similarity: float
    text: str


def load_encoder(directory: Path) -> TextEncoder:
    """A sentence-transformers encoder. Raises ValueError or OSError: none there, or no library."""
    from importlib.util import find_spec

    if find_spec("sentence_transformers") is None:
        raise ValueError(
            either(
                "--encoder 需要 sentence-transformers：", "--encoder needs sentence-transformers: "
            )
            + "pip install --no-deps -r requirements/retrieval.txt"
        )
    from retrieval.dense import Encoder

    return Encoder(directory)


def near_by_meaning(
    rows: Sequence[Texts],
    tests: Sequence[str],
    encoder: TextEncoder,
    known: Iterable[int] = (),
    threshold: float | None = None,
) -> tuple[list[Near], float]:
    """The rows above the threshold, nearest first, and the threshold.

    known: rows found already, which are left out. threshold: cosine; None: so near that only
    one in a thousand pairs of different test questions is nearer, since what a cosine means
    differs from encoder to encoder.
    """
    asked = encoder.queries(tests)
    if threshold is None:
        threshold = _by_chance(asked)
    found_before = set(known)
    held = [(n, q) for n, row in enumerate(rows) if n not in found_before for q, _ in row if q]
    texts = list(dict.fromkeys(question for _, question in held))
    if not texts:
        return [], threshold
    similar = encoder.queries(texts) @ asked.T
    number = {text: place for place, text in enumerate(texts)}
    best: dict[int, Near] = {}
    for row, question in held:
        scores = similar[number[question]]
        test = int(scores.argmax())
        near = Near(row, test, float(scores[test]), question)
        if near.similarity >= threshold and (
            row not in best or near.similarity > best[row].similarity
        ):
            best[row] = near
    return sorted(best.values(), key=lambda near: (-near.similarity, near.row)), threshold


def _by_chance(vectors: np.ndarray) -> float:
    """The cosine that BY_CHANCE of the pairs of these vectors reach; 1 for fewer than two."""
    if len(vectors) < 2:
        return 1.0
    pairs = (vectors @ vectors.T)[np.triu_indices(len(vectors), 1)]
    return float(np.quantile(pairs, 1 - BY_CHANCE))
