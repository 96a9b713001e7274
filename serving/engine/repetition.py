"""Answers that repeat themselves: seen in their token ids, ended, and what they repeat cut.

A loop, of any period, says the same again and again: exactly, or but for numbers that go up by the
same step with each turn ("13. The same. 14. The same."), which is how small models loop most. A
list whose items differ in a word, a table of measured numbers, halving offsets are none. One that
copies a long stretch of itself, numbers and all, says nothing new either: small models give their
code once more and go on so to the end. Nor does one that goes round in the same phrases for long,
in whatever order. How long honest text may repeat itself: the rules below
(measured on real texts and answers: bench/LOG.md).
"""

import math
from array import array
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Rule:
    """What makes a loop: so many turns, of so many tokens together; each with so many words, for
    each number that counts."""

    turns: int
    tokens: int
    words: int


EXACT = Rule(turns=3, tokens=96, words=0)
# Without a word: a matrix of zeros has 16 rows.
WORDLESS = Rule(turns=17, tokens=96, words=0)
# Nor is a long turn a loop so soon that is the row of a table: a cell again and again, or numbers
# in order. In 15 million tokens of documents no other long turn came three times.
VARIED, VARIED_FROM = Rule(turns=6, tokens=96, words=0), 41
# Unrolled code and tables count, too: their lines are few, or have few words for each number.
COUNTED = Rule(turns=4, tokens=160, words=8)
# Tokens, a number as one, that stood in the answer before: the longest such copy in honest text was
# under 128 (a window of a whole tutorial), under 96 in any answer or code block.
COPIED = 128
# Tokens, a number as one, in which at most so many runs of six are new to the answer, though there
# are so many different words: in honest text there were 17 and more new ones, or fewer words.
STALE, STALE_NEW, STALE_WORDS = 192, 12, 24
# New tokens between two looks at an answer.
LOOK_EVERY = 16

_BYTES = 4  # of a token in an array
# Tokens at the end that are looked for further ahead: shorter than any two turns that count.
_TAIL = 8
_RUN = 6
# Stands for a number, however many tokens it has.
_NUMBER = -1
# Digits after which a number is none: each further digit is a token again.
_LONGEST_NUMBER = 18
# ASCII punctuation, and how tokenizers write spaces and line ends.
_MARKS = frozenset("!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~ \t\r\nĠĊĉčĉ▁")


@dataclass(frozen=True)
class TokenKinds:
    """Tokens that are numbers, with their digits, and those that are neither number nor word."""

    numbers: dict[int, str]
    marks: frozenset[int]


def token_kinds(tokenizer: Any) -> TokenKinds:
    """The kinds of all tokens of a vocabulary."""
    bare = {i: token.strip("Ġ▁ ") for token, i in tokenizer.get_vocab().items()}
    numbers = {i: token for i, token in bare.items() if token.isascii() and token.isdecimal()}
    return TokenKinds(
        numbers, frozenset(i for i, token in bare.items() if _MARKS.issuperset(token))
    )


def _in_order(values: Sequence[int]) -> bool:
    """Whether numbers that come round again only rise, or only fall, but for one place."""
    steps = [b - a for a, b in zip(values, [*values[1:], *values[:1]], strict=True)]
    rises, falls = sum(step > 0 for step in steps), sum(step < 0 for step in steps)
    return rises + falls > 0 and min(rises, falls) <= 1


class RepetitionWatch:
    """Watches one growing answer. A look costs little more than reading the new tokens: searching
    and comparing is done on bytes, in C.

    found: what a look has found, "exact", "counted", "copied" or "stale", and after how many tokens
    (a number as one) the same comes again; stale: how many say nothing new.
    """

    def __init__(self, kinds: TokenKinds) -> None:
        self._kinds = kinds
        self.found: tuple[str, int] | None = None
        self._read = 0
        # The answer with each number as one token; its numbers; where each token ends in it.
        self._bytes = bytearray()
        self._numbers: list[str | None] = []
        self._ends: list[int] = []
        self._digits = 0
        # Runs so far, and how many were new up to each token: only long answers need them.
        self._runs: set[bytes] = set()
        self._new = [0]

    def look(self, tokens: Sequence[int], at_once: bool = False) -> int | None:
        """How many tokens are worth keeping of an answer that has come to repeat itself; None: it
        does not, or fewer than LOOK_EVERY tokens are new and it is not to be looked at at once.

        tokens: all of the answer so far.
        """
        if len(tokens) - self._read < (1 if at_once else LOOK_EVERY):
            return None
        self._add(tokens[self._read :])
        countable = True
        for period in self._periods():
            if self._is_exact(period):
                self.found = "exact", period
                return self._kept(period)
            if countable and (count := self._tail_of(period, COUNTED)):
                words = self._words(period)
                # Several turns of few words are no turn of many.
                countable = words >= COUNTED.words
                counting = self._counting(period, count) if countable else None
                if counting is not None and words >= COUNTED.words * counting:
                    self.found = "counted", period
                    return self._kept(period)
        kept = self._before_copy()
        return self._before_stale() if kept is None else kept

    def _add(self, tokens: Sequence[int]) -> None:
        numbers, ends, digits = self._numbers, self._ends, self._kinds.numbers
        new = array("i")
        for token in tokens:
            self._read += 1
            number = digits.get(token)
            self._digits = self._digits + len(number) if number else 0
            if number is not None and len(number) < self._digits <= _LONGEST_NUMBER:
                numbers[-1] += number
                ends[-1] = self._read
                continue
            new.append(token if number is None else _NUMBER)
            numbers.append(number)
            ends.append(self._read)
        self._bytes += new.tobytes()

    def _periods(self) -> Iterator[int]:
        """Periods that the end may have, in tokens, the shortest first."""
        data, end = self._bytes, len(self._bytes)
        tail = bytes(data[-_TAIL * _BYTES :])
        if end < EXACT.tokens * _BYTES:
            return
        at = start = end - len(tail)
        # Where the tail stood before.
        while (at := data.rfind(tail, 0, at + len(tail) - 1)) >= 0:
            if (start - at) * EXACT.turns > end:
                return
            if (start - at) % _BYTES == 0:
                yield (start - at) // _BYTES

    def _tail_of(self, period: int, rule: Rule) -> int | None:
        """Tokens at the end that must repeat with this period; None where they do not."""
        count = period * max(rule.turns, math.ceil(rule.tokens / period))
        data, end = self._bytes, len(self._bytes)
        first, step = end - count * _BYTES, period * _BYTES
        if first < 0 or data[first : end - step] != data[first + step :]:
            return None
        return count

    def _is_exact(self, period: int) -> bool:
        count = self._tail_of(period, EXACT)
        if count is not None and not self._words(period):
            count = self._tail_of(period, VARIED if self._is_varied(period) else WORDLESS)
        if count is None:
            return False
        numbers = self._numbers[-count:]
        return numbers[:-period] == numbers[period:]

    def _is_varied(self, period: int) -> bool:
        """Whether most runs of a turn differ, and its numbers are not in order, as in a row."""
        if period < VARIED_FROM:
            return False
        ids, numbers = array("i", bytes(self._bytes)), self._numbers
        end = len(numbers)
        runs = {(*ids[at - _RUN : at], *numbers[at - _RUN : at]) for at in range(end - period, end)}
        if 2 * len(runs) <= period:
            return False
        values = [int(number) for number in numbers[-period:] if number is not None]
        # Decimals are two numbers each, of which one may be in order.
        return not any(_in_order(part) for part in (values, values[::2], values[1::2]))

    def _counting(self, period: int, count: int) -> int | None:
        """How many numbers of a turn go up from turn to turn; None: not each by the same step."""
        numbers = self._numbers[-count:]
        counting = 0
        for place in range(period):
            if numbers[place] is not None:
                values = [int(number) for number in numbers[place::period]]
                steps = {b - a for a, b in zip(values, values[1:], strict=False)}
                if len(steps) > 1:
                    return None
                counting += steps != {0}
        return counting

    def _before_copy(self) -> int | None:
        """Tokens before the end that copies something said before; None: it does not."""
        data, numbers, end = self._bytes, self._numbers, len(self._numbers)
        tail, start = bytes(data[-COPIED * _BYTES :]), end - COPIED
        at = start * _BYTES  # it ends where the copy begins, or before
        while start >= COPIED and (at := data.rfind(tail, 0, at)) >= 0:
            first, odd = divmod(at, _BYTES)
            if not odd and numbers[first : first + COPIED] == numbers[start:]:
                if not self._words(COPIED):  # zeros of a matrix
                    return None
                ids = array("i", bytes(data))
                while (
                    first > 0
                    and ids[first - 1] == ids[start - 1]
                    and numbers[first - 1] == numbers[start - 1]
                ):
                    first, start = first - 1, start - 1
                self.found = "copied", start - first
                return self._ends[start - 1]
            at += len(tail) - 1
        return None

    def _before_stale(self) -> int | None:
        """Tokens before an end that says nothing new; None: it does."""
        data, end = self._bytes, len(self._numbers)
        if end < STALE + _RUN:
            return None
        for at in range(len(self._new), end + 1):
            run = bytes(data[max(0, at - _RUN) * _BYTES : at * _BYTES])
            self._new.append(self._new[-1] + (run not in self._runs))
            self._runs.add(run)
        if self._new[end] - self._new[end - STALE] > STALE_NEW:
            return None
        words = set(array("i", bytes(data[-STALE * _BYTES :]))) - self._kinds.marks - {_NUMBER}
        if len(words) < STALE_WORDS:
            return None
        first = end - STALE
        while self._new[first] == self._new[first - 1]:
            first -= 1
        self.found = "stale", end - first
        return self._ends[first - 1]

    def _words(self, period: int) -> int:
        ids = array("i", bytes(self._bytes[-period * _BYTES :]))
        return sum(token != _NUMBER and token not in self._kinds.marks for token in ids)

    def _kept(self, period: int) -> int:
        """Tokens up to the end of the first turn: the loop reaches back as far as it holds."""
        ids = array("i", bytes(self._bytes))
        first = len(ids) - period
        while first > 0 and ids[first - 1] == ids[first - 1 + period]:
            first -= 1
        return self._ends[first + period - 1]
