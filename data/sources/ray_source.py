"""The vllm source spread over many GPUs with Ray Data: one engine a worker, the same pairs."""

import json
from collections.abc import Sequence
from typing import Any

from data.options import option
from data.records import Chunk, chunk_from_dict
from data.sources import SourceError
from data.sources.vllm_source import Asker, VllmSettings, VllmSource


class RaySettings(VllmSettings):
    """`gpus_per_worker` None means 1 where the cluster has GPUs, else 0.

    `batch` is how many chunks a worker takes at once: enough to fill an engine, few enough to
    share them out.
    """

    ray: str = option(
        "",
        "vllm：Ray 的地址（local 现场启动），多卡时用",
        "vllm: Ray address ('local' starts one), for many GPUs",
    )
    workers: int = option(2, "Ray 上的 vllm：同时几个引擎", "vllm on Ray: engines at once", ge=1)
    gpus_per_worker: float | None = None
    batch: int = 64

    def unused(self) -> dict[str, str]:
        """Without Ray there are no workers."""
        return {**super().unused(), **({} if self.ray else {"workers": "without --ray"})}


class _Worker:
    """A Ray Data worker: its own engine, batches of rows in and out."""

    def __init__(self, settings: VllmSettings) -> None:
        self._asker = Asker(settings)

    def __call__(self, batch: dict[str, Any]) -> dict[str, Any]:
        chunks = [chunk_from_dict(json.loads(text)) for text in batch["chunk"]]
        replies = self._asker.replies(chunks)
        return {
            "number": batch["number"],
            "text": [text for text, _ in replies],
            "finish": [finish for _, finish in replies],
        }


class RaySource(VllmSource):
    """Has VllmSource's name, fingerprint and pairs, so each uses what the other cached."""

    settings: RaySettings

    def replies(self, chunks: Sequence[Chunk]) -> list[tuple[str, str]]:
        """(reply, finish reason) of each chunk, in order. Raises SourceError."""
        import ray
        from ray.exceptions import RayError

        settings = self.settings
        rows = [{"number": n, "chunk": json.dumps(c.to_dict())} for n, c in enumerate(chunks)]
        try:
            if not ray.is_initialized():
                ray.init(address=settings.ray, ignore_reinit_error=True)
            gpus = settings.gpus_per_worker
            if gpus is None:
                gpus = 1 if ray.cluster_resources().get("GPU") else 0
            data = ray.data.from_items(
                rows, override_num_blocks=max(settings.workers, len(rows) // settings.batch)
            )
            done = data.map_batches(
                _Worker,
                fn_constructor_args=(settings,),
                batch_size=settings.batch,
                concurrency=settings.workers,
                num_gpus=gpus or None,
                num_cpus=None if gpus else 1,
            ).take_all()
        except (RayError, ConnectionError, RuntimeError, ValueError) as error:
            raise SourceError(f"Ray 上的 vllm：{error}", f"vllm on Ray: {error}") from error
        done.sort(key=lambda row: row["number"])
        return [(row["text"], row["finish"]) for row in done]
