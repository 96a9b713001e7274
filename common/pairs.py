"""What a question-answer file holds, whichever layout it is in; `read_pairs.py` reads them."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from common.language import BilingualError, either, language

SHOWN = 10  # bad rows named in one message


class PairsError(BilingualError, ValueError):
    """A question-answer file that cannot be used; the message names file, place and what to do."""


@dataclass(frozen=True)
class Place:
    """Where a pair stands: file name, "line 3" or "paragraph 7", turn of the talk (0: only one)."""

    file: str = ""
    spot: str = ""
    turn: int = 0

    def __str__(self) -> str:
        return ", ".join(filter(None, (self.file, self.within)))

    @property
    def within(self) -> str:
        """The place inside its file."""
        return f"{self.spot}, turn {self.turn}" if self.turn else self.spot


@dataclass(frozen=True)
class Pair:
    """One question and its answer.

    `history` holds the turns before it as (user, assistant); a row of several turns gives one pair
    for each. `system` is the row's own system message. `rephrasings` are other wordings of the
    question. `learn` is false where the row gives the answer weight 0. `group` names the fact that
    several rows ask for. `asked` is the question alone, where passages of a book stand before it in
    `question`. `examples` are worked examples that stand before the whole talk, as turns; they are
    neither asked nor learned. `extra` holds the row's other fields. Two pairs are equal when they
    say the same: neither place nor extra counts.
    """

    question: str
    answer: str
    section: str = ""
    history: tuple[tuple[str, str], ...] = ()
    system: str = ""
    rephrasings: tuple[str, ...] = ()
    id: str = ""
    group: str = ""
    learn: bool = True
    asked: str = ""
    examples: tuple[tuple[str, str], ...] = ()
    place: Place = field(default=Place(), compare=False)
    extra: Mapping[str, Any] = field(default_factory=dict, compare=False, repr=False)

    @property
    def wordings(self) -> list[str]:
        """Every distinct wording of the question, the original first."""
        return list(dict.fromkeys([self.question, *self.rephrasings]))

    @property
    def where(self) -> str:
        """The place inside the file, such as "line 3, turn 2"."""
        return self.place.within

    @property
    def alone(self) -> "Pair":
        """The pair as it is asked without passages and worked examples before the question."""
        return replace(self, question=self.asked or self.question, asked="", examples=())

    def asked_as(self, wording: str) -> "Pair":
        """The same pair in this wording alone."""
        return replace(self, question=wording, rephrasings=())


@dataclass(frozen=True)
class PairFile:
    """The pairs of one file in their order, and what was left out or is doubtful, by place."""

    path: Path
    pairs: list[Pair]
    warnings: list[str] = field(default_factory=list)

    @property
    def name(self) -> str:
        """The file's name without its suffix."""
        return self.path.stem


def refused(path: Path, problems: Iterable[tuple[str, str]]) -> PairsError:
    """One error for the problems of a file, each (place, reason); the first ten are named."""
    lines = [
        either(f"{path}，{placed(spot)}：{reason}", f"{path}, {spot}: {reason}")
        for spot, reason in problems
    ]
    left = len(lines) - SHOWN
    more = [either(f"……另有 {left} 处", f"… and {left} more")] if left > 0 else []
    return PairsError("\n".join(lines[:SHOWN] + more))


def spots(places: Iterable[str]) -> str:
    """Places as one short list: "line 3, 7, 9 … (12 in all)"; their common word stands once."""
    found = list(dict.fromkeys(places))
    if language() == "zh":
        listed = "、".join(map(placed, found[:SHOWN]))
        return f"{listed} 等（共 {len(found)} 处）" if len(found) > SHOWN else listed
    first, *rest = found[:SHOWN]
    word = first.partition(" ")[0] + " "
    listed = ", ".join([first, *(place.removeprefix(word) for place in rest)])
    return f"{listed} … ({len(found)} in all)" if len(found) > SHOWN else listed


def placed(spot: str) -> str:
    """A place in the reader's language: "line 3, turn 2", or 第 3 行第 2 轮."""
    if language() == "en":
        return spot
    units = {"line": "行", "row": "行", "paragraph": "段", "turn": "轮", "item": "项"}
    named = re.sub(
        r"\b(line|row|paragraph|turn|item) (\d+)", lambda m: f"第 {m[2]} {units[m[1]]}", spot
    )
    named = named.replace("the table on top", "最前面的表格").replace(", table", "下的表格")
    return named.replace(", 第", "第")


def by_fact(pairs: Iterable[Pair]) -> list[Pair]:
    """Rows of one group and answer as one pair with several wordings, in the rows' order."""
    facts: dict[tuple[Any, ...], Pair] = {}
    for number, pair in enumerate(pairs):
        key = (pair.group or number, pair.answer, pair.history, pair.system, pair.learn)
        first = facts.setdefault(key, pair)
        if first is not pair:
            more = (*first.rephrasings, *pair.wordings)
            facts[key] = replace(first, rephrasings=more)
    return list(facts.values())
