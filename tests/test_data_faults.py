"""What a small model is asked about, and the faults of its questions that patterns can tell."""

import json
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from data.chunks import cut_chunks
from data.sections import read_sections
from data.sources.book_answers import Answers, book_replies, spans_of, unused_in
from data.sources.demands import demand_for
from data.sources.faults import FAULTS, Told, code_of, fault_of, is_named, without_numbering
from data.sources.prompts import DEMANDS, ModelSettings, Style, load_prompts
from data.sources.spans import Span, answer_spans

TEXT = (
    "令牌桶（token bucket）以固定速率放入令牌，每个请求取走 1 个，桶空时请求被拒绝。"
    "因为桶里可以积攒 100 个令牌，所以它允许短时间的突发。"
)
BOOK = f"""# 限流

## 2.1 令牌桶

{TEXT}

取令牌的代码先补充令牌，再判断够不够：

```python
def take(bucket):
    bucket.refill()
    return bucket.tokens >= 1
```
"""
CODE = "def take(bucket):\n    bucket.refill()\n    return bucket.tokens >= 1"
GOOD = "令牌桶（token bucket）允许短时间的突发，因为桶里可以积攒 100 个令牌。"


def chunk_of(text=BOOK):
    (chunk,) = cut_chunks("book.md", list(read_sections(text)), 5, 1500)
    return chunk


def told(question, answer, path=("限流", "2.1 令牌桶"), about=TEXT, text=TEXT + "\n" + CODE):
    return Told(question, answer, text, about, path)


SOUND = told("为什么令牌桶（token bucket）允许短时间的突发？", GOOD)


@pytest.mark.parametrize(
    ("name", "pair"),
    [
        ("two_questions", SOUND._replace(question="什么是令牌桶？为什么令牌桶允许突发？")),
        ("numbering", SOUND._replace(question="限流的 2.1 部分为什么允许突发？")),
        ("heading", SOUND._replace(question="在滑动窗口中，令牌是什么？", path=("1. 滑动窗口",))),
        ("copied", SOUND._replace(question=f"如何{TEXT[:38]}？")),
        ("repeats", SOUND._replace(question="令牌桶允许短时间的突发，令牌桶允许短时间的突发？")),
        ("unknown_words", SOUND._replace(question="为什么代币水壶能够容忍瞬间洪峰？")),
        ("why", SOUND._replace(answer="令牌桶（token bucket）允许短时间的突发。")),
        ("why", SOUND._replace(answer="因为令牌桶（token bucket）允许短时间的突发，所以允许。")),
        ("formula", SOUND._replace(question="令牌桶（token bucket）速率的公式是什么？")),
        (
            "how",
            SOUND._replace(
                question="如何解决令牌桶的突发？", answer="令牌桶的突发是指短时间有很多请求。"
            ),
        ),
        (
            "one_of_two",
            SOUND._replace(question="token 和 bucket2 有什么区别？", answer="token 有 1 个。"),
        ),
        ("code", SOUND._replace(question="怎样取令牌？写出核心代码。")),
        (
            "half_code",
            SOUND._replace(
                question="怎样取令牌？", answer="先补充令牌：\nvoid take() {\n  fill();"
            ),
        ),
        ("asks_back", SOUND._replace(answer="为什么允许突发？因为桶里可以积攒 100 个令牌。")),
        ("stray", SOUND._replace(answer=":::tip\n" + GOOD)),
        ("dangles", SOUND._replace(answer="在这两种情况下，因为有令牌，所以允许突发。")),
    ],
)
def test_each_fault_is_found_and_the_sound_pair_has_none(name, pair):
    assert fault_of(pair) == name
    assert fault_of(SOUND) == ""


def test_every_fault_is_tried_above():
    marks = test_each_fault_is_found_and_the_sound_pair_has_none.pytestmark
    assert {case[0] for case in marks[0].args[1]} == set(FAULTS)


@given(st.text(max_size=60), st.text(max_size=200), st.text(max_size=20))
def test_no_text_breaks_the_checks(question, answer, title):
    pair = Told(question, answer, answer, answer, (title,))
    assert fault_of(pair) in {"", *FAULTS}
    code_of(answer)


@pytest.mark.parametrize(
    ("title", "bare"),
    [
        ("2.2 GPU 层次结构", "GPU 层次结构"),
        ("2.1. 展开", "展开"),
        ("1.GPU 硬件", "GPU 硬件"),
        ("三、硬件", "硬件"),
        ("第 3 章 缓存", "缓存"),
        ("3D 卷积", "3D 卷积"),
        ("2024", "2024"),
    ],
)
def test_numbers_of_headings_are_no_words(title, bare):
    assert without_numbering(title) == bare


def test_a_heading_counts_where_the_text_names_it():
    assert is_named("2.1 令牌桶", TEXT)
    assert is_named("token 与 bucket 的实现", TEXT)
    assert not is_named("滑动窗口", TEXT)


def test_a_demand_is_one_that_the_span_can_answer():
    used = Counter()
    assert demand_for(Span(CODE, 0, 1, "code"), used) == "code"
    made = {demand_for(Span(TEXT, 0, 1, "other"), used) for _ in range(3)}
    assert made == {"why", "number", "what"}
    assert demand_for(Span("令牌桶是一种限流的办法。", 0, 1, "other"), used) == "what"


def test_every_demand_has_its_words_and_every_example_a_demand(tmp_path):
    rows = load_prompts().examples("question_examples.jsonl")
    assert {row["demand"] for row in rows} <= set(DEMANDS)
    (tmp_path / "demands.md").write_text("why: 问原因\nwhat: 问两点\n", encoding="utf-8")
    with pytest.raises(ValueError, match=r"demands\.md: no contrast, number, code"):
        load_prompts(tmp_path)
    said = "".join(f"{name}: 问一个名字\n" for name in DEMANDS)
    (tmp_path / "demands.md").write_text(said, encoding="utf-8")
    load_prompts.cache_clear()
    with pytest.raises(ValueError, match=r"demands\.md.*\{term\}"):
        load_prompts(tmp_path)


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        (
            "# A\n\n桶由三部分组成：\n\n- 令牌\n- 速率\n- 容量\n",
            ["桶由三部分组成：\n- 令牌\n- 速率\n- 容量。"],
        ),
        ("# A\n\n:::tip\n桶空时请求会被拒绝，桶满时多出来的令牌会被丢弃。\n:::\n", None),
        ("# A\n\n每个桶都放在同一个进程的内\n\n存中，桶空时请求会被拒绝，等到有令牌为止。\n", []),
    ],
)
def test_spans_are_whole_paragraphs_and_whole_lists(text, wanted):
    spans = [span.text for span in answer_spans(chunk_of(text), 12, 120, 5)]
    wanted = ["桶空时请求会被拒绝，桶满时多出来的令牌会被丢弃。"] if wanted is None else wanted
    assert spans == wanted


def test_code_is_not_cut_inside_a_function():
    body = "\n\n".join(f"    int step{n} = {n};" for n in range(9))
    text = f"# A\n\n每一步都记下来，最后一起返回：\n\n```c\nvoid f() {{\n{body}\n}}\n```\n"
    for span in answer_spans(chunk_of(text), 20, 60, 5):
        assert span.text.count("{") == span.text.count("}")


def test_what_is_asked_about_is_shown_without_the_numbers_of_its_headings():
    def ask(chats, tokens, count, temperature):
        assert "2.1" not in chats[0][-1]["content"], "a heading's number is no content"
        return [["令牌桶（token bucket）怎样对待每个请求？"]] * len(chats)

    settings = ModelSettings(style=Style(chars=(20, 120)), wordings=0)
    chunk = chunk_of()
    (reply,) = book_replies([chunk], settings, Answers.book, ask)
    pairs = json.loads(reply)["pairs"]
    assert TEXT.startswith(pairs[0]["answer"])
    assert len(pairs) + sum(unused_in(reply).values()) == len(spans_of(chunk, settings))
