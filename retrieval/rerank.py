"""A cross-encoder reads question and passage together: slower and surer than two vectors."""

import json
import math
import time
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from retrieval.dense import LONGEST_TOKENS, loading_quietly
from retrieval.pair_tokens import by_tokens, pair_tokens

# Tokens read at once, padding included: on a GPU small batches wait for the host, and large ones
# take the memory that the engine beside it has left.
TOKENS, GPU_TOKENS = 8_192, 32_768
BATCH = 64  # pairs at once of a model that joins them in its own way
Batch = tuple[list[int], dict[str, Any]]
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
        if self._model.num_labels != 1:
            told = f"{directory}: scores a pair {self._model.num_labels} times, a reranker once"
            raise ValueError(told)
        if self._model.device.type == "cpu":
            self._model.float()  # half precision is several times slower there
        elif next(self._model.parameters()).element_size() > 2:
            self._model.half()  # and several times faster on a GPU
        # Read to the length that it was trained with, as its dev score was.
        self._model.max_seq_length = min(
            self._model.max_seq_length or LONGEST_TOKENS, LONGEST_TOKENS
        )
        self.first = first
        self._tokens = pair_tokens(self._model)

    @property
    def bytes(self) -> int:
        """Memory of its weights."""
        return sum(p.numel() * p.element_size() for p in self._model.parameters())

    def scores(self, pairs: Sequence[tuple[str, str]], until: float = math.inf) -> list[float]:
        """One score for each (question, passage): higher fits better; of one question only
        comparable with each other. As CrossEncoder.predict without an activation.

        until: a `time.monotonic()` value. Raises TimeoutError when it comes before the last batch.
        """
        if not pairs:
            return []
        if self._tokens is None:
            return self._predicted(pairs, until)
        return self.read(self.batches(pairs), until)

    def batches(self, pairs: Sequence[tuple[str, str]]) -> Iterator[Batch]:
        """What the model reads at once: places of its pairs, longest first, and their tensors
        [pairs, tokens]."""
        import torch

        gpu = self._model.device.type != "cpu"
        rows = self._tokens.ids(pairs)
        sizes = [len(ids) for ids, _ in rows]
        for places in by_tokens(sizes, GPU_TOKENS if gpu else TOKENS):
            shape = (len(places), sizes[places[0]])
            ids = np.full(shape, self._model.tokenizer.pad_token_id or 0, np.int64)
            mask, kinds = np.zeros(shape, np.int64), np.zeros(shape, np.int64)
            for row, place in enumerate(places):
                size = sizes[place]
                ids[row, :size], mask[row, :size] = rows[place][0], 1
                if rows[place][1]:
                    kinds[row, :size] = rows[place][1]
            named = {"input_ids": ids, "attention_mask": mask}
            if rows[places[0]][1]:
                named["token_type_ids"] = kinds
            tensors = {name: torch.from_numpy(array) for name, array in named.items()}
            if self._model.device.type == "cuda":  # else the copy waits for the batch before
                tensors = {name: tensor.pin_memory() for name, tensor in tensors.items()}
            yield places, tensors

    def read(self, batches: Iterable[Batch], until: float = math.inf) -> list[float]:
        """A score of each pair, in the pairs' order: one transfer from the device at the end.
        until: as in `scores`."""
        import torch

        order: list[int] = []
        scores: list[Any] = []
        self._model.eval()
        with torch.inference_mode():
            for places, tensors in batches:
                _in_time(until)
                there = {
                    name: tensor.to(self._model.device, non_blocking=True)
                    for name, tensor in tensors.items()
                }
                order += places
                scores.append(self._model({**there, "modality": "text"})["scores"].float())
            told = torch.cat(scores).reshape(len(order)).cpu().numpy()
        found = np.empty(len(order))
        found[order] = told
        return found.tolist()

    def _predicted(self, pairs: Sequence[tuple[str, str]], until: float = math.inf) -> list[float]:
        from torch.nn import Identity

        scores: list[float] = []
        for start in range(0, len(pairs), BATCH):
            _in_time(until)
            scores += map(
                float,
                self._model.predict(
                    list(pairs[start : start + BATCH]),
                    batch_size=BATCH,
                    show_progress_bar=False,
                    activation_fn=Identity(),  # a sigmoid near 1 makes different scores equal
                    convert_to_numpy=True,
                ),
            )
        return scores


def _in_time(until: float) -> None:
    if time.monotonic() >= until:
        raise TimeoutError


def is_cross_encoder(directory: Path) -> bool:
    """Whether a directory's model has a head that scores pairs; another would get a random one."""
    config, modules = directory / "config.json", directory / "modules.json"
    if modules.is_file():  # sentence-transformers' own: a bi-encoder pools, a cross-encoder scores
        return "Pooling" not in modules.read_text(encoding="utf-8")
    if not config.is_file():
        return False
    named = json.loads(config.read_text(encoding="utf-8")).get("architectures") or []
    return any(name.endswith("ForSequenceClassification") for name in named)
