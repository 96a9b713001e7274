"""A cross-encoder reads question and passage together: slower and surer than two vectors."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from retrieval.dense import LONGEST_TOKENS, loading_quietly

BATCH, GPU_BATCH = 64, 512  # on a GPU small batches wait for the host
# How many of the passages found it reads: what stands lower is seldom right.
FIRST = 30


class Reranker:
    """A sentence-transformers CrossEncoder directory (bge-reranker, gte-reranker, one's own)."""

    def __init__(self, directory: Path, device: str | None = None, first: int = FIRST):
        """Loads it. first: passages of a question that it reads.

        Raises OSError or ValueError when the directory holds no cross-encoder.
        """
        from sentence_transformers import CrossEncoder

        if not is_cross_encoder(directory):
            raise ValueError(f"{directory}: no cross-encoder: a head is missing")
        with loading_quietly():
            self._model: Any = CrossEncoder(str(directory), device=device)
        if self._model.device.type == "cpu":
            self._model.float()  # half precision is several times slower there
        elif next(self._model.parameters()).element_size() > 2:
            self._model.half()  # and several times faster on a GPU
        # Read to the length that it was trained with, as its dev score was.
        self._model.max_seq_length = min(
            self._model.max_seq_length or LONGEST_TOKENS, LONGEST_TOKENS
        )
        self.first = first

    @property
    def bytes(self) -> int:
        """Memory of its weights."""
        return sum(p.numel() * p.element_size() for p in self._model.parameters())

    def scores(self, pairs: Sequence[tuple[str, str]]) -> list[float]:
        """One score for each (question, passage): higher fits better; of one question only
        comparable with each other."""
        from torch.nn import Identity

        if not pairs:
            return []
        return [
            float(score)
            for score in self._model.predict(
                list(pairs),
                batch_size=BATCH if self._model.device.type == "cpu" else GPU_BATCH,
                show_progress_bar=False,
                activation_fn=Identity(),  # a sigmoid near 1 makes different scores equal
                convert_to_numpy=True,
            )
        ]


def is_cross_encoder(directory: Path) -> bool:
    """Whether a directory's model has a head that scores pairs; another would get a random one."""
    config, modules = directory / "config.json", directory / "modules.json"
    if modules.is_file():  # sentence-transformers' own: a bi-encoder pools, a cross-encoder scores
        return "Pooling" not in modules.read_text(encoding="utf-8")
    if not config.is_file():
        return False
    named = json.loads(config.read_text(encoding="utf-8")).get("architectures") or []
    return any(name.endswith("ForSequenceClassification") for name in named)
