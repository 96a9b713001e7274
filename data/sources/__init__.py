"""Where pairs come from: what every source is and can do; `registry.py` lists them."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

from pydantic import BaseModel, ConfigDict

from common.language import BilingualError
from data.records import Chunk, Pair


class SourceError(BilingualError, RuntimeError):
    """A source cannot go on; its pairs so far are kept. The message says what to do."""


class SourceSettings(BaseModel):
    """What a source can be told; each source has a model of its own, which checks it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    def unused(self) -> dict[str, str]:
        """Fields that change nothing as the others are set, and why ("without --ray")."""
        return {}


@dataclass(frozen=True)
class Estimate:
    """What a run would take, roughly; `basis` says what the seconds rest on."""

    calls: int
    prompt_tokens: int
    answer_tokens: int
    seconds: float
    basis: str


class PairSource(Protocol):
    """Makes pairs from chunks.

    `fingerprint` names everything besides the chunk that changes the outcome (model, prompt,
    version): the pipeline caches each chunk's pairs under it, so `pairs` only sees new chunks.
    """

    name: str
    fingerprint: str
    one_batch: bool  # wants the chunks of all books in one call
    notes: list[str]  # what the user should know after a run

    def pairs(self, chunks: Sequence[Chunk]) -> Iterator[tuple[Chunk, list[Pair]]]:
        """Pairs of each chunk, yielded as soon as they are there, in any order.

        A chunk for which the source failed is not yielded (it stays uncached, and a later run
        asks again). Raises SourceError when the source as a whole cannot go on.
        """
        ...

    def estimate(self, chunks: Sequence[Chunk]) -> Estimate:
        """Calls and tokens that `pairs` would take for these chunks."""
        ...
