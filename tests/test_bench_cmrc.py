"""EM and F1 of the CMRC check; its own script gave the same on all 3,219 questions."""

import pytest

from bench.cmrc_score import em, f1, segments


def test_chinese_by_characters_and_words_between_them() -> None:
    assert segments("《光荣》和ω-Force 2.5 版") == ["光", "荣", "和", "ωforce", "2.5", "版"]


@pytest.mark.parametrize(
    ("answer", "wanted"),
    [
        ("光荣和ω-force", 1.0),
        ("光荣", 2 * 2 / (4 + 2)),  # half of the reference's four segments, all of the answer
        ("荣光", 2 * 1 / (4 + 2)),  # the longest run, not the longest common subsequence
        ("由光荣和ω-force合作", 2 * 4 / (4 + 7)),
        ("无关", 0.0),
        ("", 0.0),
    ],
)
def test_f1_counts_the_longest_shared_run(answer: str, wanted: float) -> None:
    assert f1(["光荣和ω-force"], answer) == pytest.approx(wanted)


def test_em_ignores_punctuation_and_case_and_takes_the_best_reference() -> None:
    assert em(["别的", "ω-Force。"], "ωforce") == 1
    assert em(["光荣"], "光荣公司") == 0
    assert f1(["别的", "光荣"], "光荣") == 1
