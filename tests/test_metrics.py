"""Metrics beside the judge's: known values, bounds, and the registry."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

pytest.importorskip("sacrebleu")
from judging.metrics import (
    METRICS,
    bleu,
    character_f1,
    chrf,
    exact_match,
    repetition,
    scores,
    similarity,
)

TEXTS = st.text(st.sampled_from("线程块内存的是什么abc 012，。\n"), max_size=40)


def test_every_metric_is_within_its_bounds_and_full_for_the_reference() -> None:
    reference = "kernel 由 32 个线程的 warp 执行，共享内存在片上。"
    found = scores(list(METRICS.values()), [reference, reference], [reference, ""])
    for name in ("judge", "rougeL-zh", "chrF", "BLEU", "EM", "F1-char"):
        assert found[name] == [pytest.approx(1.0), 0.0], name
    assert found["characters"] == [len(reference), 0]
    assert found["length ratio"] == [1.0, 0.0]


@given(TEXTS, TEXTS)
def test_no_text_breaks_a_metric(reference: str, answer: str) -> None:
    for metric in (chrf, bleu, exact_match, character_f1, repetition):
        assert 0 <= metric(reference, answer) <= 1 + 1e-9


def test_known_values() -> None:
    # 5 of 8 and 5 of 5 characters in common: F1 = 2 * 5 / 13.
    assert character_f1("共享内存在片上面", "共享内存。在") == pytest.approx(10 / 13)
    assert exact_match("Warp 有 32 个线程。", "warp有32个线程") == 1
    assert repetition("abcabcabc", "") == 0
    # abca bcab cabc abca bcab cabc: 3 of 6 stood before.
    assert repetition("", "abcabcabc") == pytest.approx(0.5)
    assert bleu("线程块内的线程共享内存", "线程块内的线程共享内存吗") > 0.8 > bleu("线程", "内存")


def test_similarity_needs_a_model_directory(tmp_path) -> None:
    with pytest.raises(ValueError, match="--encoder .*no model"):
        similarity(tmp_path / "none")
