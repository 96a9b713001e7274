"""A cross-encoder reads question and passage together: slower and surer than two vectors."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

LONGEST_TOKENS = 512
BATCH = 64


class Reranker:
    """A sentence-transformers CrossEncoder directory (bge-reranker, gte-reranker, one's own)."""

    def __init__(self, directory: Path, device: str | None = None):
        """Loads it. Raises OSError or ValueError when the directory holds no cross-encoder."""
        from sentence_transformers import CrossEncoder

        self._model: Any = CrossEncoder(str(directory), device=device, max_length=LONGEST_TOKENS)
        if self._model.device.type == "cpu":
            self._model.float()  # half precision is several times slower there

    @property
    def bytes(self) -> int:
        """Memory of its weights."""
        return sum(p.numel() * p.element_size() for p in self._model.parameters())

    def scores(self, pairs: Sequence[tuple[str, str]]) -> list[float]:
        """One score for each (question, passage): higher fits better; of one question only
        comparable with each other."""
        if not pairs:
            return []
        return [
            float(score)
            for score in self._model.predict(
                list(pairs), batch_size=BATCH, show_progress_bar=False, convert_to_numpy=True
            )
        ]
