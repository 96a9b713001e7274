"""The measure of a set of answers: lengths, the words the judge counts, lines of code."""

from data.answer_profile import AnswerProfile, large_gaps, measure


def test_lengths_words_and_code_of_a_few_answers() -> None:
    found = measure(["最多 1024 个线程", "用 `__global__` 声明 kernel", "中文", "中文字"])
    assert found.count == 4
    assert (found.chars_mean, found.chars_median, found.chars_p90) == (10.0, 7.0, 24)
    assert found.latin_words_mean == 0.8  # 1024, global, kernel
    assert found.without_latin == 0.5
    assert found.code_share == 0


def test_no_answer_measures_nothing() -> None:
    assert measure([]) == AnswerProfile()


def test_a_gap_counts_from_a_factor_of_one_and_a_half() -> None:
    short, long = measure(["线程 block" * 3]), measure(["线程 block" * 6])
    assert large_gaps(short, long) == ["chars_mean", "latin_words_mean"]
    assert large_gaps(long, long) == []
    assert large_gaps(short, AnswerProfile()) == []
