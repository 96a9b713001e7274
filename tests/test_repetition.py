"""Answers that run in a loop are ended, and honest repetition is not."""

import math
from random import Random

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from serving.engine.repetition import (
    COPIED,
    COUNTED,
    EXACT,
    LOOK_EVERY,
    STALE,
    STALE_NEW,
    STALE_WORDS,
    VARIED,
    VARIED_FROM,
    WORDLESS,
    RepetitionWatch,
    TokenKinds,
    token_kinds,
)


class Words:
    """A tokenizer of ten digits, four marks, and the letters that stand for words."""

    VOCABULARY = {token: i for i, token in enumerate("0123456789,.Ġ|abcdefghijklmnopqrstuvwxyz")}

    def get_vocab(self) -> dict[str, int]:
        return self.VOCABULARY


KINDS = token_kinds(Words())
ANY = st.integers(0, len(Words.VOCABULARY) - 1)


def ids(text: str) -> list[int]:
    return [Words.VOCABULARY[letter] for letter in text]


def text(tokens: list[int]) -> str:
    return "".join(list(Words.VOCABULARY)[token] for token in tokens)


def read(tokens: list[int], step: int = 1) -> tuple[int, int] | None:
    """Where a growing answer is ended, and how much of it is kept; None: it is not."""
    watch = RepetitionWatch(KINDS)
    for length in range(step, len(tokens) + 1, step):
        kept = watch.look(tokens[:length], at_once=True)
        if kept is not None:
            return length, kept
    return None


def in_a_loop(tokens: list[int]) -> bool:
    """The rules as they are told, by trying every period."""
    read_as: list[tuple[str, str]] = []
    digits = 0
    for token in tokens:
        number = KINDS.numbers.get(token)
        digits = digits + 1 if number else 0
        if 1 < digits <= 18:
            read_as[-1] = ("number", read_as[-1][1] + number)
        else:
            read_as.append(("number", number) if number else (str(token), ""))
    shape, numbers = [kind for kind, _ in read_as], [number for _, number in read_as]

    def words(count):
        return sum(k != "number" and int(k) not in KINDS.marks for k in shape[-count:])

    def tail(rule, period):
        count = period * max(rule.turns, math.ceil(rule.tokens / period))
        end = range(len(shape) - count + period, len(shape))
        fits = count <= len(shape) and all(shape[i] == shape[i - period] for i in end)
        return count if fits else 0

    def varied(period):
        both = list(zip(shape, numbers, strict=True))
        turn = [both[at - 6 : at] for at in range(len(both) - period, len(both))]
        if period < VARIED_FROM or sum(run not in turn[:n] for n, run in enumerate(turn)) * 2 <= (
            period
        ):
            return False
        values = [int(number) for number in numbers[-period:] if number]
        for part in (values, values[::2], values[1::2]):
            rises = sum(part[n - 1] < part[n] for n in range(len(part)))
            falls = sum(part[n - 1] > part[n] for n in range(len(part)))
            if (rises or falls) and (rises <= 1 or falls <= 1):
                return False
        return True

    def exact(period):
        return EXACT if words(period) else VARIED if varied(period) else WORDLESS

    countable = True
    for period in range(1, len(shape) // EXACT.turns + 1):
        if count := tail(exact(period), period):
            end = range(len(shape) - count + period, len(shape))
            if all(numbers[i] == numbers[i - period] for i in end):
                return True
        if countable and (count := tail(COUNTED, period)):
            steps: dict[int, set[int]] = {}
            for i in range(len(shape) - count + period, len(shape)):
                if numbers[i]:
                    step = int(numbers[i]) - int(numbers[i - period])
                    steps.setdefault(i % period, set()).add(step)
            countable = words(period) >= COUNTED.words
            counting = sum(each != {0} for each in steps.values())
            enough = countable and words(period) >= COUNTED.words * counting
            if enough and all(len(each) == 1 for each in steps.values()):
                return True
    last = read_as[-COPIED:]
    if words(COPIED) and any(
        read_as[i : i + COPIED] == last for i in range(len(read_as) - 2 * COPIED + 1)
    ):
        return True
    runs = [tuple(shape[max(0, i - 5) : i + 1]) for i in range(len(shape))]
    new = [run not in runs[:i] for i, run in enumerate(runs)][-STALE:]
    kinds = {kind for kind in shape[-STALE:] if kind != "number" and int(kind) not in KINDS.marks}
    long = len(shape) >= STALE + 6
    return long and sum(new) <= STALE_NEW and len(kinds) >= STALE_WORDS


@settings(deadline=None, max_examples=60)
@given(
    before=st.lists(ANY, max_size=80),
    turn=st.lists(ANY, min_size=1, max_size=70),
    more=st.lists(ANY, max_size=8),
)
@example(before=[], turn=[3], more=[])
@example(before=ids("the"), turn=ids("abab1cabab2c"), more=[])
def test_a_loop_of_any_period_ends_in_time_and_leaves_one_turn(
    before: list[int], turn: list[int], more: list[int]
) -> None:
    turn = turn + more
    tokens = before + turn * (1 + 800 // len(turn))
    length, kept = read(tokens, LOOK_EVERY)
    # A number counts as one token, so there may have to be more turns.
    told = sum(token not in KINDS.numbers for token in turn) or len(turn)
    turns = max(EXACT.turns, math.ceil(EXACT.tokens / told)) + 1
    assert length <= len(before) + turns * len(turn) + LOOK_EVERY + 18
    assert kept <= len(before) + 2 * len(turn) + 18


@settings(deadline=None, max_examples=100)
@given(
    st.lists(
        st.tuples(st.lists(st.integers(0, 16), min_size=1, max_size=6), st.integers(1, 60)),
        max_size=6,
    )
)
def test_nothing_is_cut_but_what_the_rules_call_a_loop(blocks: list[tuple[list[int], int]]) -> None:
    tokens = [token for block, times in blocks for token in block * times][:500]
    watch = RepetitionWatch(KINDS)
    for length in range(1, len(tokens) + 1):
        kept = watch.look(tokens[:length], at_once=True)
        if kept is not None or length % 50 == 0:
            assert (kept is not None) == in_a_loop(tokens[:length]), text(tokens[:length])
        if kept is not None:
            assert 0 < kept < length
            return


def counted(turn: str, numbers: range) -> list[int]:
    return ids("".join(turn.replace("#", str(number)) for number in numbers))


def test_items_that_only_count_are_a_loop_and_the_first_one_stays() -> None:
    turn = "#.Ġtheĸsameĸsentenceĸagain,".replace("ĸ", "Ġ")
    tokens = ids("first,") + counted(turn, range(7, 40))
    length, kept = read(tokens, LOOK_EVERY)
    assert length < 210
    assert text(tokens[:kept]) == "first,7.ĠtheĠsameĠsentenceĠagain"


@pytest.mark.parametrize(
    "honest",
    [
        # Numbers that are measured, not counted; a period without words; halving offsets.
        "".join(f"|row|{n * n % 97},{n * 31 % 53}," for n in range(60)),
        "".join(f"{n},{n + 1}.{n + 2}|" for n in range(100)),
        "".join(f"sdata,tid.{2**n}|sdata,tidĠplus," for n in range(10, 0, -1)),
        # Items that differ in a word; a ruler; a row of zeros; a table of empty cells.
        "".join(f"{n}.Ġthisisalongitemofthelist{chr(97 + n % 26)}," for n in range(20)),
        "|" * 90,
        "0,Ġ" * 30,
        "a|b|c|d," + "Ġ|Ġ|Ġ|Ġ," * 11,
        # A matrix of 16 × 16 zeros; a multiplication table; lines of code that count in two places.
        ("0,Ġ" * 16 + "|") * 16,
        "".join("".join(f"{i}Ġx{j}Ġby{i * j}," for j in range(1, 10)) + "|" for i in range(1, 10)),
        "".join(f"movĠa,b|{4 * n},movĠc,d|{4 * n + 64}," for n in range(20)),
        # Rows that are all the same: zeros and ones; 32 lanes, whole, in tenths, downwards; numbers
        # beside their squares. A row of measured numbers that comes five times.
        ("0,Ġ" * 16 + "1,Ġ" * 16 + "|") * 9,
        ("".join(f"{n},Ġ" for n in range(32)) + "|") * 9,
        ("".join(f"{n / 10:.1f},Ġ" for n in range(32)) + "|") * 9,
        ("".join(f"{n},Ġ" for n in range(31, -1, -1)) + "|") * 9,
        ("".join(f"{n},{n * n % 23}Ġ" for n in range(16)) + "|") * 9,
        ("".join(f"{n * n % 97},Ġ" for n in range(20)) + "|") * 5,
        # The same line twice, and eight unrolled ones.
        "thisisasentenceofacertainlengththatissaidtwice," * 2,
        "".join(f"x.{n},.Ġa.{n},.Ġb.{n}|" for n in range(24)),
    ],
)
def test_honest_repetition_is_left_alone(honest: str) -> None:
    assert read(ids(honest), 1) is None


@pytest.mark.parametrize("seed", range(5))
def test_a_long_turn_without_a_word_that_is_no_row_of_a_table_is_a_loop(seed: int) -> None:
    random = Random(seed)
    signs = [f"{random.randrange(100)}{random.choice(',.Ġ|')}" for _ in range(25 + 5 * seed)]
    before, turn = ids("thefirst,"), ids("".join(signs))
    length, kept = read(before + turn * 10, LOOK_EVERY)
    assert length <= len(before) + VARIED.turns * len(turn) + LOOK_EVERY + 4
    assert kept <= len(before) + len(turn) + 4
    assert read(before + turn * (VARIED.turns - 1)) is None


@pytest.mark.parametrize("seed", range(5))
def test_what_was_said_is_not_said_again_at_length(seed: int) -> None:
    random = Random(seed)

    def words(count: int) -> str:
        return "".join(random.choice("abcdefghijklmnopqrstuvwxyz,|") for _ in range(count))

    code = words(50) + "12" + words(COPIED)
    before = words(random.randrange(100)) + code + words(random.randrange(100))
    length, kept = read(ids(before + code), LOOK_EVERY)
    assert length <= len(before) + COPIED + LOOK_EVERY + 2
    # Nothing new is lost but what happens to agree with the copy.
    assert len(before) - 3 <= kept <= len(before)
    # Shorter, or with another number, it is none.
    assert read(ids(before + code[: COPIED - 9])) is None
    assert read(ids(before + code[:60].replace("12", "13") + code[60 : COPIED + 40])) is None


@pytest.mark.parametrize("seed", range(5))
def test_phrases_that_come_again_in_any_order_end_where_nothing_was_new(seed: int) -> None:
    random = Random(seed)
    letters = list("abcdefghijklmnopqrstuvwxyz")
    phrases = []
    for _ in range(3):  # each of 24 words, so that few runs are new where two meet
        random.shuffle(letters)
        phrases.append("".join(letters[:24]) + ",")
    order = [0, 1, 2, *(random.randrange(3) for _ in range(20))]
    # Numbers in between that go up, or down, or as they will.
    tokens = ids("".join(f"{random.randrange(9)}.{phrases[i]}" for i in order))
    length, kept = read(tokens, LOOK_EVERY)
    assert length <= 3 * 27 + STALE + 3 * LOOK_EVERY + 9 * 12
    assert 60 <= kept <= 9 * 27
    # Few words, as in unrolled code, are none.
    assert read(ids("".join(f"x.{i % 7},a.{i % 5},b.{i * i % 9}|" for i in range(30)))) is None


def test_a_growing_answer_is_looked_at_now_and_then() -> None:
    watch = RepetitionWatch(KINDS)
    looped = ids("ab") * 200
    assert watch.look(looped[: LOOK_EVERY - 1]) is None
    assert watch.look(looped) == 2
    # Nothing is new: it has been looked at.
    assert watch.look(looped, at_once=True) is None


def test_kinds_of_a_vocabulary() -> None:
    assert sorted(KINDS.numbers.values()) == list("0123456789")
    assert text(sorted(KINDS.marks)) == ",.Ġ|"
    assert isinstance(KINDS, TokenKinds)
