"""Paraphrases of questions."""

from data.paraphrase import paraphrased, wordings
from data.records import Pair
from data.text import normalise


def test_wordings_keep_the_subject_and_the_answer():
    pairs = [
        Pair("什么是线程束？", "甲。"),
        Pair("为什么 warp 会发散？", "乙。"),
        Pair("怪问题", "丙。"),
    ]
    made = paraphrased(pairs, 2)
    assert len(made) == 3 + 2 + 2
    assert {p.group for p in made if p.answer == "甲。"} == {pairs[0].group or pairs[0].id}
    assert all("线程束" in p.question for p in made if p.answer == "甲。")
    assert wordings("cudaFree的作用是什么？", 1) == ["cudaFree有什么作用？"]


def test_questions_about_code_keep_their_field_in_other_words():
    assert wordings("MySQL 中如何删除索引？", 2) == [
        "MySQL 中怎么删除索引？",
        "请说明 MySQL 中如何删除索引。",
    ]
    assert wordings("如何关闭闸门？", 1) == ["怎么关闭闸门？"]
    assert "HTTP 中为何需要多路复用？" in wordings("HTTP 中为什么需要多路复用？", 2)
    assert wordings("请结合代码说明 Go 中的 gate_wait() 的用法。", 1) == [
        "Go 中的 gate_wait() 怎么用？请给出代码。"
    ]
    assert wordings("请结合代码说明统一内存。", 1) == ["请介绍统一内存，并给出代码。"]
    assert wordings("消息队列的优点有哪些？", 1) == ["消息队列有哪些优点？"]


def test_one_question_never_gets_two_answers():
    pairs = [Pair("什么是栈？", "甲。"), Pair("栈是什么？", "乙。")]
    made = paraphrased(pairs, 4)
    asked = [normalise(p.question) for p in made]
    assert len(asked) == len(set(asked))
    assert [p.answer for p in made if p.question == "栈是什么？"] == ["乙。"]
