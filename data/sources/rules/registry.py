"""The registry of rules: a rule, its patterns and its good and bad examples stand side by side.

The examples are the rules' tests (`tests/test_data_rules.py`).
"""

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from data.records import Block
from data.sources.sentence import with_continuation


class Candidate(NamedTuple):
    """What a rule proposes; `chunk_pairs` polishes it, and drops what cannot stand alone.

    A composed answer holds prose and code of several blocks as it is to be read (compose.py); its
    heading vouches for the subject.
    """

    kind: str
    question: str
    answer: str
    composed: bool = False


@dataclass(frozen=True)
class Place:
    """What a rule looks at: a block with its neighbours, and one of its sentences.

    Rules that read blocks leave `sentences` and `number` alone.
    """

    blocks: Sequence[Block]
    index: int
    sentences: Sequence[str] = ()
    number: int = 0
    whole: Sequence[tuple[str, ...]] = ()

    @property
    def block(self) -> Block:
        """The block itself."""
        return self.blocks[self.index]

    @property
    def opens_section(self) -> bool:
        """Is it the first block under its heading?"""
        return self.index == 0 or self.blocks[self.index - 1].path != self.block.path

    @property
    def whole_section(self) -> Sequence[Block]:
        """All blocks under the block's heading, where it is the first; none where parts lack."""
        path = self.block.path
        if not path or self.whole.count(path) != 1 or not self.opens_section:
            return ()
        return [block for block in self.blocks if block.path == path]

    @property
    def sentence(self) -> str:
        """The sentence to read."""
        return self.sentences[self.number]

    @property
    def continued(self) -> str:
        """The sentence with those after it that go on about the same thing ("它…", "例如…")."""
        return with_continuation(self.sentences, self.number)


class Good(NamedTuple):
    """Markdown that gives this question; the answer is the text itself where none is named.

    Text without a heading of its own stands under "第1章".
    """

    text: str
    question: str
    answer: str = ""


class Bad(NamedTuple):
    """Markdown that looks as if it fitted, from which no rule may make a pair, and why not."""

    text: str
    reason: str


Find = Callable[[Place], Iterator[Candidate]]


@dataclass(frozen=True)
class Rule:
    """One way to make pairs: `find` yields candidates of these `kinds`, or nothing in doubt."""

    name: str
    kinds: tuple[str, ...]
    patterns: tuple[re.Pattern[str], ...]
    good: Sequence[Good]
    bad: Sequence[Bad]
    find: Find


RULES: dict[str, Rule] = {}


def rule(
    name: str,
    kinds: tuple[str, ...],
    patterns: tuple[re.Pattern[str], ...],
    good: Sequence[Good],
    bad: Sequence[Bad],
) -> Callable[[Find], Find]:
    """Registers a function as a rule. Raises ValueError for a name that is taken."""

    def register(find: Find) -> Find:
        if name in RULES:
            raise ValueError(f"two rules are called {name!r}")
        RULES[name] = Rule(name, kinds, patterns, good, bad, find)
        return find

    return register
