"""Answers that only say their question again."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from serving.question_repeats import only_repeats


@pytest.mark.parametrize(
    ("question", "answer"),
    [
        ("线程束的大小是多少？", "线程束的大小是多少？"),
        ("如何用 malloc 在主机上分配内存？", "用 malloc 在主机上分配内存。"),
        ("为什么每轮循环要同步两次？", "因为每轮循环要同步两次。"),
        ("Grid 和 Block 分别是什么？", "Grid 和 Block 分别是 Grid 和 Block。"),
        ("What is a warp scheduler?", "A warp scheduler is a warp scheduler."),
    ],
)
def test_a_repetition_is_seen(question: str, answer: str) -> None:
    assert only_repeats(question, answer)


@pytest.mark.parametrize(
    ("question", "answer"),
    [
        ("线程束的大小是多少？", "线程束的大小是 32。"),
        ("线程束的大小是多少？", "线程束的大小不固定。"),
        ("线程束的大小是多少？", ""),
        ("线程束的大小是多少？", "。"),
        ("共享内存可以由整个线程块访问吗？", "共享内存可以由整个线程块访问。"),
        ("线程块能不能同步？", "线程块能同步。"),
        ("共享内存还是全局内存更快？", "共享内存更快。"),
        ("共享内存和全局内存里，哪个的带宽更高，延迟更低？", "共享内存的带宽更高"),
        ("栈和队列哪种结构是先进先出的？", "队列是先进先出的结构。"),
        ("数组和链表哪一种支持随机访问？", "数组支持随机访问。"),
        ("进程和线程谁共享地址空间？", "线程共享地址空间。"),
        ("Is shared memory faster than global memory?", "Shared memory is faster."),
        ("Which one is faster, shared or global memory?", "Shared memory is faster."),
    ],
)
def test_what_answers_is_none(question: str, answer: str) -> None:
    assert not only_repeats(question, answer)


@given(st.text(max_size=60), st.text(max_size=60))
def test_one_further_word_makes_it_an_answer(question: str, answer: str) -> None:
    only_repeats(question, answer)
    assert not only_repeats(question, answer + " qzx9 ") or "qzx9" in question.lower()
