"""The answer that agrees most with the others, by the judge's own score."""

import random
import time

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from common.minimum_bayes_risk import agreements, f1, most_agreeing, words
from judging.scoring import judge_tokens, rouge_l

# What answers are made of; jieba's dictionary has no word that begins within what these make.
PIECES = ("线程块", "内存", "的大小是", "kernel", "Grid", "x", "32", "1.5", "GB", "0x1F", "_",
          "-", "cudaMemcpy", "<<<", ">>>", "。", "，", " ", "\n", "%", " C++", ".", "3.", "ms",
          "é", "²")  # fmt: skip
ANSWERS = st.lists(st.sampled_from(PIECES), max_size=30).map("".join)


@settings(deadline=None)  # jieba loads at the first score
@given(ANSWERS, ANSWERS)
def test_the_score_is_the_judges(reference: str, answer: str) -> None:
    assert words(answer) == tuple(judge_tokens(answer))
    assert f1(words(reference), words(answer)) == pytest.approx(rouge_l(reference, answer))


@settings(deadline=None)
@given(st.text(max_size=40), st.text(max_size=40))
def test_of_any_text_it_is_wherever_jieba_leaves_words_whole(reference: str, answer: str) -> None:
    assume(all(words(text) == tuple(judge_tokens(text)) for text in (reference, answer)))
    assert f1(words(reference), words(answer)) == pytest.approx(rouge_l(reference, answer))


def test_it_is_not_where_jiebas_dictionary_splits_a_word() -> None:
    assert judge_tokens("abcT恤 aC++") == ["abc", "t", "a", "c"]
    assert words("abcT恤 aC++") == ("abct", "ac")


@settings(deadline=None)
@given(st.lists(ANSWERS.filter(words), min_size=1, max_size=6))
def test_the_chosen_one_has_the_highest_mean_score(texts: list[str]) -> None:
    def mean(index: int) -> float:
        others = [text for other, text in enumerate(texts) if other != index]
        return sum(rouge_l(other, texts[index]) for other in others)

    best = most_agreeing(texts)
    assert mean(best) == pytest.approx(max(map(mean, range(len(texts)))))


@given(st.lists(st.lists(st.sampled_from("abc"), max_size=6), min_size=1, max_size=6))
def test_an_agreement_is_the_mean_over_all_others_and_equal_ones_are_equal(
    texts: list[list[str]],
) -> None:
    means = agreements(texts)
    for index, text in enumerate(texts):
        others = [other for place, other in enumerate(texts) if place != index]
        mean = sum(f1(text, other) for other in others) / max(len(others), 1)
        assert means[index] == pytest.approx(mean, abs=1e-8)
        assert all(means[index] == means[n] for n, other in enumerate(texts) if other == text)


def test_among_equals_the_preferred_wins_then_the_shorter() -> None:
    assert most_agreeing(["a b", "a c"]) == 0
    assert most_agreeing(["a b", "a c"], preferred=1) == 1
    assert most_agreeing(["线程 a b", "a c"]) == 1
    assert most_agreeing(["x", "kernel 的线程", "kernel"], preferred=0) == 2
    assert most_agreeing(["alone"]) == 0


def test_answers_without_a_word_agree_by_their_characters() -> None:
    assert most_agreeing(["线程块很大", "共享内存在片上", "共享 内存 在片"], preferred=0) in (1, 2)
    # One with a word that counts: what has none would score nothing.
    assert most_agreeing(["共享内存", "共享内存", "a 线程", "a 内存"], preferred=0) == 2


def test_358_questions_of_16_draws_are_chosen_in_two_seconds() -> None:
    dice = random.Random(0)
    vocabulary = [f"word{i}" for i in range(80)]
    drawn = [
        [" ".join(dice.choices(vocabulary, k=dice.randint(25, 55))) for _ in range(16)]
        for _ in range(358)
    ]
    began = time.process_time()
    for texts in drawn:
        most_agreeing(texts, 0)
    assert time.process_time() - began < 2
