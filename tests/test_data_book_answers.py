"""Questions by a model to what the book says: spans, and what becomes of the replies."""

import json

import pytest

from data.chunks import cut_chunks
from data.filters import FILTERS
from data.records import Pair
from data.sections import read_sections
from data.sources.book_answers import (
    Answers,
    book_replies,
    calls_for,
    keeps_terms,
    questions_in,
    unused_in,
)
from data.sources.prompts import ModelSettings, Style, load_prompts
from data.sources.spans import Span, answer_spans
from data.sources.vllm_source import VllmSettings

BOOK = """# CUDA 入门

## 共享内存

共享内存（shared memory）位于片上，同一个线程块的 32 个线程束都能访问它。它的延迟约为 20 个周期。
如图 3 所示，全局内存慢得多。

但是共享内存只有 48 KB，超出时内核不能启动。

声明共享内存的代码：

```cpp
__shared__ float tile[32][32];
tile[threadIdx.y][threadIdx.x] = a[i];
```

## 线程束

线程束（warp）是调度的基本单位，包含 32 个线程，同一个 warp 的线程同时执行相同的指令。
"""


@pytest.fixture
def chunks():
    return list(cut_chunks("book.md", list(read_sections(BOOK)), 20, 1500))


def test_spans_are_whole_stretches_that_stand_alone(chunks):
    spans = [span for chunk in chunks for span in answer_spans(chunk, 20, 120, 9)]
    texts = [span.text for span in spans]
    assert any("__shared__ float tile[32][32];" in text for text in texts)
    for text in texts:
        assert "图 3" not in text  # the reader does not see the figure
        assert not text.startswith(("但是", "它"))
        assert "## " not in text
        assert not ("片上" in text and "基本单位" in text), "a span crosses a heading"
    assert {span.kind for span in spans} == {"code", "other"}


def test_a_list_item_without_an_end_mark_gets_one():
    text = "# 工具\n\n## nvprof\n\n- nvprof 是命令行的性能分析工具，显示每个内核用了多少时间\n"
    (chunk,) = cut_chunks("book.md", list(read_sections(text)), 5, 1500)
    assert [span.text[-3:] for span in answer_spans(chunk, 20, 120, 5)] == ["时间。"]


def test_as_many_spans_as_asked_for_at_most(chunks):
    assert all(len(answer_spans(chunk, 20, 120, 1)) <= 1 for chunk in chunks)


def told(chunks, answers, question="什么是线程束（warp）？", answer=""):
    def ask(chats, tokens, count, temperature):
        asked = [chat[-1]["content"] for chat in chats]
        return [[question if "答案：" in text else answer] * count for text in asked]

    settings = ModelSettings(style=Style(chars=(20, 120)), wordings=1)
    return book_replies(chunks, settings, answers, ask)


def replies(*given, **more):
    return [pair for text in told(*given, **more) for pair in json.loads(text)["pairs"]]


def test_the_answer_is_the_books_text(chunks):
    pairs = replies(chunks, Answers.book)
    assert pairs and all(pair["question"] == "什么是线程束（warp）？" for pair in pairs)
    assert any("包含 32 个线程" in pair["answer"] for pair in pairs)
    assert all(pair["wordings"] == [] for pair in pairs), "the same question is no other wording"


@pytest.mark.parametrize(
    "question",
    [
        "它有多快？",
        "上图中的线程束是什么？",
        "教材里的线程束是什么？",
        "线程束（warp）是调度的基本单位。",
        "",
        "线程束" * 60 + "？",
    ],
)
def test_replies_that_ask_nothing_give_no_pair(chunks, question):
    assert replies(chunks, Answers.book, question) == []


@pytest.mark.parametrize(
    ("said", "asked"),
    [
        ("线程束是什么，有什么作用。", "线程束是什么，有什么作用？"),
        ("问题：一个线程束有多少", "一个线程束有多少？"),
        ("如何启动核函数？写出核心代码，并说明参数的含义。", None),
        ("线程束是调度的单位，它说明什么是并行。", ""),
    ],
)
def test_a_small_models_question_may_end_like_a_statement(said, asked):
    found = questions_in([said], Span("一个线程束有 32 个线程。", 0, 12, "other"))
    assert found == ((said if asked is None else asked),) * (asked != "")


def test_what_comes_to_no_pair_is_counted(chunks):
    spans = sum(len(answer_spans(chunk, 20, 120, 2)) for chunk in chunks)
    unused = [unused_in(text) for text in told(chunks, Answers.book, "它是什么？")]
    assert sum(sum(each.values()) for each in unused) == spans > 0
    assert {reason for each in unused for reason in each} == {"no question to it"}
    assert not any(unused_in(text) for text in told(chunks[1:], Answers.book))


@pytest.mark.parametrize("answers", [Answers.book, Answers.retold])
def test_the_estimate_counts_the_prompts_that_are_sent(chunks, answers):
    sent = []

    def ask(chats, tokens, count, temperature):
        sent.extend(chats)
        return [["什么是线程束（warp）？"] * count for _ in chats]

    settings = ModelSettings(style=Style(chars=(20, 120)), wordings=1)
    book_replies(chunks, settings, answers, ask)
    most = calls_for(chunks, settings, answers)
    assert len(sent) == most or (answers is Answers.retold and 0 < len(sent) < most)  # code is not


@pytest.mark.parametrize(
    ("name", "line", "field"),
    [
        ("question_examples.jsonl", '{"path": "a", "demand": "why", "question": "b"}', "answer"),
        ("answer_examples.jsonl", '{"question": "a", "answer": "b"}', "text"),
    ],
)
def test_a_broken_example_is_named_by_file_line_and_field(tmp_path, name, line, field):
    (tmp_path / name).write_text(line + "\n", encoding="utf-8")
    with pytest.raises(ValueError, match=rf"{name}, line 1: '{field}'"):
        load_prompts(tmp_path)


@pytest.mark.parametrize("text", ["{", "[1]"])
def test_engine_arguments_that_are_no_object_are_refused(tmp_path, text):
    (tmp_path / "config.json").write_text("{}", encoding="utf-8")
    with pytest.raises(ValueError, match="engine"):
        VllmSettings(model=str(tmp_path), engine=text)


def test_a_line_of_code_may_stand_twice_under_a_sentence(chunks):
    code = "两次同步：\n__syncthreads();\nload_tile(a, b);\n__syncthreads();\nload_tile(a, b);"
    pair = Pair("共享内存为什么要同步两次？", code)
    assert FILTERS["repeating"].keeps(pair, "")
    twice = "线程束是调度的基本单位。线程束是调度的基本单位。"
    assert not FILTERS["repeating"].keeps(Pair("什么是线程束？", twice), "")


def test_a_retold_answer_that_changes_terms_is_not_taken():
    text = "warp 包含 32 个线程，由 SM 调度。"
    assert keeps_terms("一个 warp 包含 32 个线程，由 SM 调度执行。", text, "什么是 warp？")
    assert not keeps_terms("一个 warp 包含 64 个线程，由 GPU 调度。", text, "什么是 warp？")
    assert not keeps_terms("warp 有很多线程。", text, "什么是 warp？")
