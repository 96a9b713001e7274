"""Passages by meaning: sentence embeddings of a bi-encoder (sentence-transformers), kept in FAISS.

A bi-encoder writes question and passage as vectors of length 1; how alike they are is their inner
product (Reimers and Gurevych 2019, arXiv:1908.10084).
"""

import json
import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

INDEX_NAME = "dense.faiss"
# Words that a family of encoders was trained to find before a text, where its own files do not
# say so (config_sentence_transformers.json: prompts). By the model cards.
KNOWN_PROMPTS = {
    "e5": {"query": "query: ", "document": "passage: "},
    "bge-small-zh": {"query": "为这个句子生成表示以用于检索相关文章：", "document": ""},
    "bge-base-zh": {"query": "为这个句子生成表示以用于检索相关文章：", "document": ""},
    "bge-large-zh": {"query": "为这个句子生成表示以用于检索相关文章：", "document": ""},
}
LONGEST_TOKENS = 512
BATCH = 32


class Encoder:
    """A sentence-transformers model, or a plain Transformers encoder with mean pooling."""

    def __init__(self, directory: Path, device: str | None = None):
        """Loads it. Raises OSError or ValueError when the directory holds no encoder."""
        from sentence_transformers import SentenceTransformer

        if not (directory / "config.json").is_file() and not (directory / "modules.json").is_file():
            raise ValueError(f"{directory}: neither modules.json nor config.json: no encoder")
        with loading_quietly():
            self._model: Any = SentenceTransformer(str(directory), device=device)
        if self._model.device.type == "cpu":
            self._model.float()  # half precision is several times slower there
        self._model.max_seq_length = min(
            self._model.max_seq_length or LONGEST_TOKENS, LONGEST_TOKENS
        )
        self._prompts = prompts_of(directory, self._model)

    def queries(self, texts: Sequence[str]) -> np.ndarray:
        """Vectors of questions, float32 [questions, width], each of length 1."""
        return self._encode(texts, "query", BATCH)

    def documents(self, texts: Sequence[str], at_once: int = BATCH) -> np.ndarray:
        """Vectors of passages, float32 [passages, width], each of length 1.

        at_once: with 1 a vector is the same to the last bit whatever texts stand beside its own.
        """
        return self._encode(texts, "document", at_once)

    @property
    def bytes(self) -> int:
        """Memory of its weights."""
        return sum(p.numel() * p.element_size() for p in self._model.parameters())

    def _encode(self, texts: Sequence[str], kind: str, at_once: int) -> np.ndarray:
        return self._model.encode(
            list(texts),
            prompt=self._prompts.get(kind) or None,
            batch_size=at_once,
            normalize_embeddings=True,
            convert_to_numpy=True,
            show_progress_bar=False,
        ).astype(np.float32)


class DenseIndex:
    """Exact search over passage vectors: a book has thousands, no approximation is needed."""

    def __init__(self, index: Any):
        self._index = index

    @classmethod
    def build(cls, vectors: np.ndarray) -> "DenseIndex":
        """An index of float32 vectors [passages, width] of length 1."""
        import faiss

        index = faiss.IndexFlatIP(vectors.shape[1])
        index.add(vectors)
        return cls(index)

    def save(self, directory: Path) -> None:
        """Write `dense.faiss`."""
        import faiss

        faiss.write_index(self._index, str(directory / INDEX_NAME))

    @classmethod
    def load(cls, directory: Path) -> "DenseIndex":
        """Read `dense.faiss`. Raises RuntimeError (FAISS's) when it is damaged."""
        import faiss

        return cls(faiss.read_index(str(directory / INDEX_NAME)))

    @property
    def bytes(self) -> int:
        """Memory of its vectors."""
        return int(self._index.ntotal * self._index.d * 4)

    def search(self, queries: np.ndarray, count: int) -> list[list[tuple[int, float]]]:
        """For each query vector (place, similarity) of the nearest passages, nearest first."""
        scores, places = self._index.search(queries, min(count, self._index.ntotal))
        return [
            [(int(place), float(score)) for place, score in zip(*row, strict=True) if place >= 0]
            for row in zip(places, scores, strict=True)
        ]


@contextmanager
def loading_quietly() -> Iterator[None]:
    """No progress bar and no notes while a model loads: tensors that are not used, a number format
    that is changed right after, a warning on tokenizers of another family. Errors still raise."""
    from transformers.utils import logging as told

    level, sentence_log = told.get_verbosity(), logging.getLogger("sentence_transformers")
    before, bar = sentence_log.level, told.is_progress_bar_enabled()
    told.set_verbosity_error()
    told.disable_progress_bar()
    sentence_log.setLevel(logging.ERROR)
    try:
        yield
    finally:
        told.set_verbosity(level)
        sentence_log.setLevel(before)
        if bar:
            told.enable_progress_bar()


def model_name(directory: Path) -> str:
    """A model's name by its folder: that of a hub's cache is OWNER--NAME/snapshots/REVISION, that
    of a training here RUN/model."""
    path = directory.resolve()
    if path.parent.name == "snapshots":
        return path.parent.parent.name.partition("--")[2] or path.name
    return f"{path.parent.name}/{path.name}" if path.name == "model" else path.name


def prompts_of(directory: Path, model: Any) -> dict[str, str]:
    """What stands before a "query" and a "document": the model's own prompts, or those of its
    family where its files name none."""
    own = {name: text for name, text in (getattr(model, "prompts", None) or {}).items() if text}
    if own:
        return {
            "query": own.get("query", ""),
            "document": own.get("document") or own.get("passage", ""),
        }
    names = [model_name(directory).lower()]
    config = directory / "config.json"
    if config.is_file():
        names.append(
            str(json.loads(config.read_text(encoding="utf-8")).get("_name_or_path", "")).lower()
        )
    for family, prompts in KNOWN_PROMPTS.items():
        if any(family in name for name in names):
            return prompts
    return {}
