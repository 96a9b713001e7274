"""Is this a dev split, or a test set? What settings are chosen by must be the former."""

import re
from collections.abc import Iterable, Sequence
from pathlib import Path

from common.read_pairs import read_pairs

SAMPLE = Path(__file__).parents[1] / "data" / "sample"


def known_testset(
    questions: Iterable[str], testsets: Sequence[Path] = ()
) -> tuple[Path, int] | None:
    """The first test set that holds one of the questions, and how many of them it holds.

    Looks at the sample's test sets and at `testsets`; None: in none of them, which does not say
    that they are in no other. Raises PairsError when a file cannot be read.
    """
    asked = {plain(question) for question in questions}
    for known in [*sorted(SAMPLE.glob("testset_*.jsonl")), *testsets]:
        shared = asked & {plain(question.question) for question in read_pairs(known).pairs}
        if shared:
            return known, len(shared)
    return None


def plain(text: str) -> str:
    """A question without what is no letter, so that it is known again."""
    return re.sub(r"\W+", "", text).lower()
