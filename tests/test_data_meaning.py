"""Leaks by meaning: what is near, what is left out, where the threshold comes from."""

import numpy as np
import pytest

from data.meaning import near_by_meaning

# Meaning is an angle here: degrees by text.
ANGLES = {
    "什么是线程块？": 0,
    "何为线程块？": 3,
    "什么是共享内存？": 40,
    "讲讲共享内存": 44,
    "什么是流？": 90,
    "今天天气如何？": 170,
}


class Compass:
    def queries(self, texts):
        angles = np.radians([ANGLES[text] for text in texts])
        return np.stack([np.cos(angles), np.sin(angles)], axis=1).astype(np.float32)


TESTS = ["什么是线程块？", "什么是共享内存？", "什么是流？"]
ROWS = [
    [("今天天气如何？", "晴")],
    [("今天天气如何？", "晴"), ("讲讲共享内存", "片上")],
    [("何为线程块？", "一组线程")],
]


def test_rows_that_mean_a_test_question_are_named_nearest_first() -> None:
    found, least = near_by_meaning(ROWS, TESTS, Compass())
    # Of the test questions the nearest two are 40 degrees apart.
    assert least == pytest.approx(np.cos(np.radians(40)), abs=0.01)
    assert [(near.row, near.test, near.text) for near in found] == [
        (2, 0, "何为线程块？"),
        (1, 1, "讲讲共享内存"),
    ]


def test_rows_found_before_and_those_below_the_threshold_are_left_out() -> None:
    found, _ = near_by_meaning(ROWS, TESTS, Compass(), known=[2])
    assert [near.row for near in found] == [1]
    found, least = near_by_meaning(ROWS, TESTS, Compass(), threshold=0.998)
    assert least == 0.998 and [near.row for near in found] == [2]
    assert near_by_meaning(ROWS[:1], TESTS[:1], Compass()) == ([], 1.0)
