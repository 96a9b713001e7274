"""The vllm source spread over many GPUs with Ray Data: one engine a worker, the same pairs."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from data.records import Chunk, chunk_from_dict
from data.sources import SourceError
from data.sources.vllm_source import Asker, VllmSource

BATCH = 64  # chunks a worker takes at once: enough to fill an engine, small enough to share out


class _Worker:
    """A Ray Data worker: its own engine, batches of rows in and out."""

    def __init__(self, model: str, count: int, wordings: int, options: dict[str, Any]) -> None:
        self._asker = Asker(model, count, wordings, options)

    def __call__(self, batch: dict[str, Any]) -> dict[str, Any]:
        import json

        chunks = [chunk_from_dict(json.loads(text)) for text in batch["chunk"]]
        replies = self._asker.replies(chunks)
        return {
            "number": batch["number"],
            "text": [text for text, _ in replies],
            "finish": [finish for _, finish in replies],
        }


class RaySource(VllmSource):
    """Same name, fingerprint and pairs as VllmSource: what one made, the other finds cached."""

    def __init__(
        self,
        model: Path,
        per_chunk: int = 6,
        wordings: int = 2,
        options: dict[str, Any] | None = None,
        address: str = "auto",
        workers: int = 2,
        gpus_per_worker: float | None = None,
        batch: int = BATCH,
    ) -> None:
        """`address` is a Ray cluster's, or "local" for one on this machine.

        `gpus_per_worker` is 1 where the cluster has GPUs, else 0.
        """
        super().__init__(model, per_chunk, wordings, options)
        self.address, self.workers, self.batch = address, workers, batch
        self.gpus_per_worker = gpus_per_worker

    def replies(self, chunks: Sequence[Chunk]) -> list[tuple[str, str]]:
        """(reply, finish reason) of each chunk, in order. Raises SourceError."""
        import json

        import ray
        from ray.exceptions import RayError

        rows = [{"number": n, "chunk": json.dumps(c.to_dict())} for n, c in enumerate(chunks)]
        try:
            if not ray.is_initialized():
                ray.init(address=self.address, ignore_reinit_error=True)
            gpus = self.gpus_per_worker
            if gpus is None:
                gpus = 1 if ray.cluster_resources().get("GPU") else 0
            data = ray.data.from_items(
                rows, override_num_blocks=max(self.workers, len(rows) // self.batch)
            )
            done = data.map_batches(
                _Worker,
                fn_constructor_args=(str(self.model), self.per_chunk, self.wordings, self.options),
                batch_size=self.batch,
                concurrency=self.workers,
                num_gpus=gpus or None,
                num_cpus=None if gpus else 1,
            ).take_all()
        except (RayError, ConnectionError, RuntimeError, ValueError) as error:
            raise SourceError(f"vllm on Ray: {error}") from error
        done.sort(key=lambda row: row["number"])
        return [(row["text"], row["finish"]) for row in done]
