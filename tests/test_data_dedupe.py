"""Near-duplicates."""

from data import dedupe
from data.dedupe import drop_duplicates
from data.records import Pair


def test_duplicates_go_and_close_but_different_questions_stay():
    pairs = [
        Pair("threadIdx.x 的作用是什么？", "threadIdx.x 是线程在块内的横向下标。"),
        Pair("threadIdx.x的作用是什么", "threadIdx.x 是线程在块内的横向下标"),
        Pair("threadIdx.y 的作用是什么？", "threadIdx.y 是线程在块内的纵向下标。"),
        Pair("FP64 的尾数位是多少？", "FP64 的尾数位是 52。"),
        Pair("FP64 的指数位是多少？", "FP64 的指数位是 11。"),
        Pair("FP64 的指数位是多少？", "指数位的数目取决于所用的机器。"),
        Pair("CUDA 核函数为什么需要检查边界条件？", "因为线程总数可能超过数据个数。"),
        Pair("CUDA 核函数为什么需要检查边界的条件？", "因为线程总数可能会超过数据个数。"),
        Pair("甲？", "主机和设备的内存各自独立，需要复制数据。"),
        Pair("乙？", "主机和设备的内存各自独立，需要复制数据。"),
        Pair("丙？", "主机和设备的内存各自独立，需要复制数据。"),
    ]
    kept, dropped = drop_duplicates(pairs)
    assert [pair.question for pair in kept] == [pairs[i].question for i in (0, 2, 3, 4, 6, 8, 9)]
    assert dropped == {"same_question": 2, "conflict": 1, "same_answer": 1}


def test_the_same_in_traditional_characters_is_a_duplicate():
    pairs = [
        Pair("核函数由谁执行？", "核函数由设备上的线程并行执行。"),
        Pair("核函數由誰執行？", "核函數由設備上的線程並行執行。"),
    ]
    assert drop_duplicates(pairs) == ([pairs[0]], {"same_question": 1})


def test_few_texts_and_many_are_compared_alike(monkeypatch):
    """Comparing all with all, and what MinHash proposes, keep the same pairs."""
    texts = [f"线程块{n // 2}的大小应取多少，为什么要这样选择{'呢' * (n % 2)}？" for n in range(60)]
    pairs = [Pair(text, f"第{n // 2}种回答：取{n // 2}的整数倍。") for n, text in enumerate(texts)]
    few = dedupe.drop_duplicates(pairs)
    monkeypatch.setattr(dedupe, "COMPARE_ALL", 10)
    assert dedupe.drop_duplicates(pairs) == few
    assert len(few[0]) == 30
