"""The questions of one `POST /predict`, as token counts: the judge's two test sets and others."""

import random
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from common.facts import FACTS, measured
from common.pairs import PairFile


@dataclass(frozen=True)
class Workload:
    """Prompt and answer tokens of each question that comes in one call. passage_tokens: those of
    the prompt that passages of a book and worked examples take (preflight/book.py); empty: none.
    cached_tokens: of these the examples', whose KV cache the warm-up leaves."""

    name: str
    prompt_tokens: Sequence[int]
    answer_tokens: Sequence[int]
    source: str
    passage_tokens: Sequence[int] = ()
    cached_tokens: int = 0

    @property
    def without_passages(self) -> "Workload":
        """The same questions, asked alone."""
        if not self.passage_tokens:
            return self
        both = zip(self.prompt_tokens, self.passage_tokens, strict=True)
        alone = [all_ - own for all_, own in both]
        return replace(self, prompt_tokens=alone, passage_tokens=(), cached_tokens=0)

    @property
    def questions(self) -> int:
        """How many."""
        return len(self.answer_tokens)


def recorded_workloads() -> list[Workload]:
    """The judge's two test sets, whose answer lengths are recorded as quantiles (from 0 to 1 in
    equal steps). The order is random but always the same: nobody knows the judge's."""
    workloads = []
    for name, record in FACTS["workloads"].items():
        quantiles, count = record["answer_quantiles"], record["questions"]
        at = np.linspace(0, len(quantiles) - 1, count)
        lengths = [round(x) for x in np.interp(at, range(len(quantiles)), quantiles).tolist()]
        random.Random(0).shuffle(lengths)
        prompts = [record["prompt_tokens"]] * count
        workloads.append(Workload(name, prompts, lengths, record["source"]))
    return workloads


def workload_of(testset: PairFile) -> Workload:
    """A test set's own lengths, in tokens by the recorded characters a token."""
    ratio, frame = measured("chars_per_token"), int(measured("prompt_frame_tokens"))
    return Workload(
        testset.name,
        [frame + round(len(q.question) / ratio) for q in testset.pairs],
        [max(1, round(len(q.answer) / ratio)) for q in testset.pairs],
        f"{testset.name}: questions and references at {ratio} characters a token",
    )
