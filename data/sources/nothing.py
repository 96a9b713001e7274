"""The source "none": the build filters, deduplicates and splits merged pairs only."""

from collections.abc import Iterator, Sequence

from data.records import Chunk, Pair
from data.sources import Estimate, SourceSettings


class NoSettings(SourceSettings):
    """There is nothing to set."""


class NoSource:
    """For books whose pairs exist already (`--merge`)."""

    name = "none"
    one_batch = False
    fingerprint = "none"

    def __init__(self, settings: NoSettings | None = None) -> None:
        self.notes: list[str] = []

    def pairs(self, chunks: Sequence[Chunk]) -> Iterator[tuple[Chunk, list[Pair]]]:
        """No pair of any chunk."""
        for chunk in chunks:
            yield chunk, []

    def estimate(self, chunks: Sequence[Chunk]) -> Estimate:
        """Costs nothing."""
        return Estimate(0, 0, 0, 0.0, "nothing is made")
