"""Every filter does to its own examples what they say."""

import pytest

from data.filters import FILTERS, Example, Filter, Filters
from data.records import Pair
from data.sources.sentence import points_elsewhere


def pair_of(example: Example) -> Pair:
    return Pair(example.question, example.answer, example.kind)


@pytest.mark.parametrize(
    ("one", "example"), [(one, example) for one in FILTERS.values() for example in one.drops]
)
def test_a_filter_drops_its_examples_and_can_be_switched_off(one: Filter, example: Example):
    filters = Filters()
    kept = pair_of(FILTERS["schema"].kept)
    assert filters.keep([pair_of(example), kept], example.chunk) == [kept]
    assert filters.dropped == {one.name: 1}
    assert Filters(frozenset({one.name})).dropped_by(pair_of(example), example.chunk) != one.name


@pytest.mark.parametrize("one", FILTERS.values(), ids=FILTERS)
def test_what_a_filter_keeps_passes_all_of_them(one: Filter):
    assert one.drops and one.reason
    assert Filters().dropped_by(pair_of(one.kept), one.kept.chunk) == ""


def test_an_unknown_filter_is_named():
    with pytest.raises(ValueError, match="no cleaning rule nonsense.*schema"):
        Filters(frozenset({"nonsense"}))


def test_merged_pairs_are_not_held_to_a_chunk():
    assert Filters().keep([Pair("什么是页表？", "页表把虚拟地址翻译成物理地址。")], "")
    assert set(FILTERS) >= {"schema", "language", "length", "elsewhere", "truncated", "repeating"}


@pytest.mark.parametrize(
    ("text", "points"),
    [
        ("线程切换时要保存执行上下文。", False),
        ("共享内存的大小编译期就固定了。", False),
        ("线程会在此处暂停执行，直到别的线程到达。", False),
        ("例子见下文。", True),
        ("此处不再说明。", True),
        ("小编认为很好。", True),
    ],
)
def test_words_that_hold_a_pointer_by_chance_point_nowhere(text: str, points: bool):
    assert points_elsewhere(text) is points
