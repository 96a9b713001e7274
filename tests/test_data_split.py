"""Splits: by section, never with one fact on two sides."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from data.records import Pair
from data.split import (
    SPLITS,
    SplitLeakError,
    SplitSettings,
    assert_no_leak,
    split_pairs,
    without_near,
)


def book_pairs(sections: int, each: int = 3) -> list[Pair]:
    pairs = []
    for s in range(sections):
        for n in range(each):
            name = f"器件{chr(0x4E00 + 37 * s + n)}{chr(0x5E00 + 53 * s + 7 * n)}"
            pairs.append(
                Pair(
                    f"{name}有多重？",
                    f"{name}重 {s * 100 + n} 克，编号 K{s}N{n}。",
                    path=(f"节{s}",),
                )
            )
    return pairs


def test_splits_follow_sections_and_seed():
    pairs = book_pairs(30)
    first = split_pairs(pairs, SplitSettings(seed=1, dev=0.2, calibration=0.1))
    assert first == split_pairs(pairs, SplitSettings(seed=1, dev=0.2, calibration=0.1))
    assert first != split_pairs(pairs, SplitSettings(seed=2, dev=0.2, calibration=0.1))
    homes = {name: {p.section for p in rows} for name, rows in first.items()}
    assert not homes["train"] & homes["dev"] and not homes["train"] & homes["calibration"]
    assert 12 <= len(first["dev"]) <= 24 and 6 <= len(first["calibration"]) <= 15
    assert sum(map(len, first.values())) == len(pairs)


def test_sections_whose_pairs_can_be_judged_by_are_held_out_first():
    pairs = book_pairs(40)
    for number, pair in enumerate(pairs):
        pair.train_only = int(pair.path[0][1:]) >= 20 or number % 5 == 0
    splits = split_pairs(pairs, SplitSettings(dev=0.2, calibration=0.1))
    held = [pair for name in ("dev", "calibration") for pair in splits[name]]
    assert len(held) >= 0.25 * len(pairs) and {int(pair.path[0][1:]) < 20 for pair in held} == {
        True
    }


def test_sections_that_tell_the_same_fact_stay_together():
    pairs = book_pairs(12)
    fact = "共享内存位于芯片上，由同一线程块的线程共用，访问延迟很低，大小有限。"
    pairs += [Pair(f"问{n}：共享内存怎么样？", fact, path=(f"节{n}",)) for n in (0, 5, 9)]
    for seed in range(8):
        splits = split_pairs(pairs, SplitSettings(seed=seed, dev=0.3, calibration=0.2))
        home = {name for name, rows in splits.items() if any(p.answer == fact for p in rows)}
        assert len(home) == 1


@pytest.mark.parametrize(
    "other",
    [
        Pair("甲有多重啊？", "完全不同的回答。", path=("节0",)),
        Pair("器件的重量是多少克？", "无关。", path=("另",)),
        Pair("无关的问题？", "器件甲重 100 克，放在第 3 个柜子里的最上面一层。", path=("另",)),
    ],
)
def test_a_leaking_split_is_refused(other):
    mine = Pair(
        "器件的重量是多少克？", "器件甲重 100 克，放在第 3 个柜子里的最上面一层。", path=("节0",)
    )
    with pytest.raises(SplitLeakError):
        assert_no_leak({"train": [mine], "dev": [other], "calibration": []})


def test_a_wording_near_a_held_out_question_goes():
    held = [Pair("为什么核函数需要检查边界条件？", "甲。")]
    near = Pair("为什么核函数需要检查边界的条件？", "乙。")
    far = Pair("核函数的返回类型是什么？", "丙。")
    assert without_near([near, far], held) == [far]


@settings(max_examples=30, deadline=None)
@given(
    st.lists(
        st.tuples(st.integers(0, 9), st.text("甲乙丙丁戊己庚辛", min_size=3, max_size=9)),
        min_size=1,
        max_size=40,
    ),
    st.integers(0, 5),
)
def test_any_pairs_split_without_a_leak(rows, seed):
    pairs = [Pair(f"{text}？", f"{text}的答案", path=(str(section),)) for section, text in rows]
    # split_pairs raises on a leak by itself.
    splits = split_pairs(pairs, SplitSettings(seed=seed, dev=0.3, calibration=0.2))
    assert sorted(p.id for name in SPLITS for p in splits[name]) == sorted(p.id for p in pairs)
