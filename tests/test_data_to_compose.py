"""`--to-compose`: the whole book is asked about, and only questions have to be sound."""

import json
from dataclasses import replace
from types import SimpleNamespace

import pytest

from common.manifest import read_manifest
from data.cache import Cache
from data.chunks import cut_chunks
from data.filters import Filters
from data.making import make_pairs
from data.options import settings_from
from data.records import Pair
from data.report import coverage
from data.sections import read_sections
from data.sources.book_answers import unused_in
from data.sources.prompts import ModelSettings
from data.sources.replies import read_reply
from data.sources.stretches import LONGEST, stretches
from data.sources.to_compose import TOO_SHORT, open_calls, open_replies
from data.sources.vllm_source import Asker, VllmSettings
from data.split import soundly_held_out
from tests.data_commands import run

LONG = "\n\n".join(
    f"void step{n}(int *a) {{\n    a[{n}] = {n};\n    call_{n}(a);\n}}" for n in range(30)
)
BOOK = f"""# CUDA 入门

## 1. 共享内存

它的延迟约为 20 个周期，因为共享内存（shared memory）位于片上，如图 3 所示。声明如下：

```cpp
__shared__ float tile[32][32];
tile[threadIdx.y][threadIdx.x] = a[i];
```

## 2. 所有步骤

```cpp
{LONG}
```

## 3. 图

![布局](a.png)

见 [文档](https://example.org/a)。

## 4. 线程束

但是线程束（warp）是调度的基本单位，包含 32 个线程，同一个 warp 的线程同时执行相同的指令。
"""
SETTINGS = ModelSettings(wordings=1)
SHARED, WARP = "共享内存（shared memory）的延迟是多少？", "为什么线程束（warp）是调度的基本单位？"


@pytest.fixture
def chunks():
    return list(cut_chunks("book.md", list(read_sections(BOOK)), 20, 1500))


def asker(question, answer="线程束（warp）包含 32 个线程。", sent=None):
    """Asks `question` (or what it gives for a chat) and answers each with `answer`."""

    def ask(chats, tokens, count, temperature):
        if sent is not None:
            sent.extend(chats)
        texts = [chat[-1]["content"] for chat in chats]
        given = question if callable(question) else lambda text: question
        return [[answer if "教材片段" in text else given(text)] * count for text in texts]

    return ask


def pairs_of(chunks, *given):
    told = open_replies(chunks, SETTINGS, asker(*given))
    return [
        p for c, text in zip(chunks, told, strict=True) for p in read_reply(text, c, "vllm", 99)
    ]


def test_stretches_hold_the_whole_book_but_what_says_nothing(chunks):
    made = [stretches(chunk) for chunk in chunks]
    text = "\n".join(span.text for spans, _ in made for span in spans)
    for block in (block for chunk in chunks for block in chunk.blocks):
        lines = [line for line in block.text.split("\n") if line.strip()]
        assert block.path[-1] == "3. 图" or all(line in text for line in lines)
    assert sum(short for _, short in made) == 1, "pictures and links are counted"
    assert "example.org" not in text
    assert all(len(span.text) <= LONGEST for spans, _ in made for span in spans)


def test_no_stretch_crosses_a_heading_and_code_stays_with_the_line_that_announces_it(chunks):
    spans = [span for chunk in chunks for span in stretches(chunk)[0]]
    (shared,) = (span for span in spans if "20 个周期" in span.text)
    assert "__shared__" in shared.text and shared.kind == "code"
    assert "step0" not in shared.text
    cut = [span.text for span in spans if "call_" in span.text]
    assert len(cut) > 1 and all(text.count("{") == text.count("}") for text in cut)


def test_one_stretch_is_asked_by_several_demands_and_about_single_names(chunks):
    sent = []
    open_replies(chunks[:1], SETTINGS, asker(SHARED, sent=sent))
    asked = [chat[-1]["content"] for chat in sent if "20 个周期" in chat[-1]["content"]]
    demands = {text.split("要求：")[1] for text in asked if "要求：" in text}
    assert len(demands) >= 2
    assert not any("{term}" in demand for demand in demands)
    assert all("位置：CUDA 入门 › 共享内存\n" in text for text in asked if "要求：" in text)


def test_each_pair_knows_its_section_and_all_sections_are_covered(chunks):
    by_section = {"step": "step1 函数怎样使用 call_1？", "warp": WARP, "周期": SHARED}

    def question(text):
        return next(said for mark, said in by_section.items() if mark in text.split("位置：")[-1])

    pairs = pairs_of(chunks, question)
    sections = {(b.path and ("book.md", *b.path)): 100 for c in chunks for b in c.blocks}
    told = coverage(sections, {}, pairs)
    assert told["without_pairs"] == ["book.md › CUDA 入门 › 3. 图"]
    assert told["pairs_per_1000_characters"] == round(1000 * len(pairs) / 400, 2)


def test_a_section_that_came_to_no_question_is_asked_once_more_by_draws(chunks):
    asked = []

    def ask(chats, tokens, count, temperature):
        texts = [chat[-1]["content"] for chat in chats]
        if any("教材片段" in text for text in texts):
            return [["线程束（warp）包含 32 个线程。"] for _ in texts]
        asked.append((len(texts), count, temperature))
        # Greedy, only what the last chunk holds is asked about.
        drawn = ["没有可问的", SHARED, WARP, "没有"] if count > 1 else [WARP]
        return [drawn for _ in texts]

    told = open_replies(chunks, SETTINGS, ask)
    pairs = [read_reply(text, one, "vllm", 9) for one, text in zip(chunks, told, strict=True)]
    (silent,) = (n for n, one in enumerate(chunks) if "20 个周期" in one.text)
    assert [pair.question for pair in pairs[silent]] == [SHARED]
    (count, draws, temperature) = asked[-1]
    assert draws > 1 and temperature > 0 and 0 < count < asked[0][0] and len(asked) == 3
    assert pairs[silent][0].wordings == (), "a draw may ask something else"


def test_a_question_is_asked_once_a_chunk_and_what_came_to_nothing_is_counted(chunks):
    told = open_replies(chunks, SETTINGS, asker(WARP))
    assert [len(json.loads(text)["pairs"]) for text in told if "pairs" in text]
    for chunk, text in zip(chunks, told, strict=True):
        rows, unused = json.loads(text)["pairs"], unused_in(text)
        assert len(rows) <= 1
        asked = open_calls([chunk], SETTINGS) // 3
        assert len(rows) + sum(unused.values()) == asked + unused[TOO_SHORT]


@pytest.mark.parametrize(
    "question",
    [
        "它的延迟是多少？",
        "4. 线程束是什么？",
        "什么是 wavefront 线程束？",
        "线程束是什么？有几个？",
        "",
    ],
)
def test_bad_questions_are_bad_here_too(chunks, question):
    assert pairs_of(chunks[-1:], question) == []
    assert pairs_of(chunks[-1:], WARP)


def test_a_rule_that_is_switched_off_counts_for_questions_too(chunks, tmp_path):
    (tmp_path / "config.json").write_text("{}")
    given = {"model": str(tmp_path), "wordings": 1, "to_compose": True}
    names = set()
    for off, count in ([], 0), (["grounded_terms"], 1):
        settings = settings_from(VllmSettings, {**given, "filters_off": off})
        (told,) = open_replies(chunks[-1:], settings, asker("为什么 GPU 里线程束是调度的单位？"))
        assert len(json.loads(told)["pairs"]) == count
        names.add(settings.fingerprint)
    assert len(names) == 2, "what was asked by other rules is not taken from the cache"


def test_another_wording_leads_where_the_first_has_a_fault(chunks):
    def ask(chats, tokens, count, temperature):
        answers = "教材片段" in chats[0][-1]["content"]
        said = "warp 有 32 个线程。" if answers else SHARED if temperature else "它有多快？"
        return [[said] * count for _ in chats]

    told = open_replies(chunks[:1], SETTINGS, ask)
    assert json.loads(told[0])["pairs"][0]["question"] == SHARED


def test_an_answer_with_a_fault_makes_a_pair_for_training_alone(chunks):
    last = chunks[-1:]
    (bad,) = pairs_of(last, WARP, "线程束（warp）包含 64 个线程。")  # no cause, 64 not in the book
    assert bad.train_only
    assert Filters().keep([bad], last[0].grounds) == [bad], "its answer is only a stand-in"
    assert not Filters().keep([replace(bad, train_only=False)], last[0].grounds)
    (good,) = pairs_of(last, "线程束（warp）包含多少个线程？", "线程束（warp）包含 32 个线程。")
    assert not good.train_only


def test_a_bad_question_is_cleaned_away_whatever_its_answer():
    pair = Pair("上图中的线程束是什么？", "线程束是单位。", train_only=True)
    assert not Filters().keep([pair], "线程束是单位。")


def test_pairs_for_training_alone_are_so_from_the_cache_too_and_are_not_held_out(chunks, tmp_path):
    last, cache = chunks[-1], Cache(tmp_path / "cache")
    (text,) = open_replies([last], SETTINGS, asker(WARP, "warp 是单位。"))
    source = SimpleNamespace(
        name="vllm", fingerprint="f", names_topics=False, one_batch=True, usage=None,
        pairs=lambda given: [(one, read_reply(text, one, "vllm", 9)) for one in given],
    )  # fmt: skip
    made, again = (dict(make_pairs([last], source, cache))[last.id] for _ in "ab")
    assert made == again and all(pair.train_only for pair in made)
    splits = {"train": made, "dev": made, "calibration": [replace(made[0], train_only=False)]}
    sound, left_out = soundly_held_out(splits)
    assert [len(sound[name]) for name in ("train", "dev", "calibration")] == [len(made), 0, 1]
    assert left_out == len(made)


def test_what_comes_next_is_data_compose_and_the_manifest_says_so(tmp_path, monkeypatch):
    kept = []

    def without_engine(self, settings):
        self._settings = settings
        kept.append(settings.wordings)

    def ask(self, *given):
        return asker(WARP)(*given)

    monkeypatch.setattr(Asker, "__init__", without_engine)
    monkeypatch.setattr(Asker, "ask", ask)
    book, model, out = tmp_path / "book.md", tmp_path / "model", tmp_path / "out"
    book.write_text(BOOK, encoding="utf-8")
    model.mkdir()
    (model / "config.json").write_text("{}")
    told = ["--source", "vllm", "--model", model, "--cache", tmp_path / "cache"]
    said = run("build", book, "--out", out, *told, "--to-compose").stdout
    assert f"data compose {out} --out {out}-composed --model {model} --index index" in said
    assert "train run train/recipes" not in said
    assert read_manifest(out).settings["to_compose"] is True
    assert read_manifest(out).settings["wordings"] == 0, "each would be answered 24 times"
    run("build", book, "--out", out, *told, "--to-compose", "--wordings", "1")
    assert read_manifest(out).settings["wordings"] == 1
    assert kept == [0, 1], "the source's as well"
