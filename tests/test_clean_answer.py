"""What of the model's text reaches the judge."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from serving.clean_answer import clean


@pytest.mark.parametrize(
    ("raw", "answer"),
    [
        ("<think>\n\n</think>\n\n答案是 32。", "答案是 32。"),
        ("<think>先想一想</think>warp 有 32 个线程。<|im_end|>", "warp 有 32 个线程。"),
        ("  \n两行\n    缩进  ", "两行\n    缩进"),
        ("<think>只剩思考，没有写完", "只剩思考，没有写完"),
        ("<think>全在这里</think>", "全在这里"),
        ("a < b 且 c > d", "a < b 且 c > d"),
        ("kernel<<<grid, block>>>(x);", "kernel<<<grid, block>>>(x);"),
        ("", ""),
        ("先想一想\n</think>\n\nwarp 有 32 个线程。", "warp 有 32 个线程。"),
        ("<think>一</think>二</think>三", "三"),
        ("只有思考</think>", "只有思考"),
    ],
)
def test_clean_keeps_the_answer_and_only_the_answer(raw: str, answer: str) -> None:
    assert clean(raw) == answer


@given(st.text())
def test_cleaning_never_empties_an_answer_that_has_words(text: str) -> None:
    assert clean(f"<think>{text}</think>字") == "字" or "<think>" in text or "</think>" in text
    assert clean(clean(text)) == clean(text) or "<" in text
    if any(c.isalnum() for c in text) and "<" not in text:
        assert clean(text)


@pytest.mark.parametrize(
    ("question", "raw", "answer"),
    [
        ("<think> 标签是什么？", "<think> 和 </think>。", "<think> 和 </think>。"),
        ("ChatML 怎样结束一轮？", "用 <|im_end|> 结束。", "用 <|im_end|> 结束。"),
        ("Qwen 的特殊 token 有哪些？", "<|im_start|>、<|im_end|>", "<|im_start|>、<|im_end|>"),
        ("im_end 是什么？", "<think>\n\n</think>\n\n<|im_end|> 结束。", "<|im_end|> 结束。"),
        ("EOS 是什么？", "EOS 是 <|endoftext|>。", "EOS 是 <|endoftext|>。"),
        ("句子的结束标志是什么？", "是 <|endoftext|>。", "是 <|endoftext|>。"),
        ("reasoning 标签怎么写？", "写 <think> 和 </think>。", "写 <think> 和 </think>。"),
        ("warp 有多少线程？", "32 个。<|im_end|>", "32 个。"),
        ("vector<string> 是什么？", "<think>想</think>容器", "容器"),
    ],
)  # fmt: skip
def test_marks_stay_where_the_question_is_about_them(question: str, raw: str, answer: str) -> None:
    assert clean(raw, question) == answer
