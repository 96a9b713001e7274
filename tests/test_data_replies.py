"""Teachers as they are: every way in which an endpoint departs from what it is asked."""

import json
import shutil
import subprocess
import sys

import pytest

from common.json_reply import ReplyError
from data.cache import Cache
from data.filters import Filters
from data.formats import row_of
from data.sources import SourceError
from data.sources.prompts import DEFAULTS, ModelSettings, load_prompts, messages, schema
from data.sources.replies import read_reply
from tests.data_teacher_server import FILTERED, Raw, TeacherServer, completion, good_reply
from tests.test_data_teacher import ROOT, ask, book_text, build_command, chunks, key, source

__all__ = ["chunks", "key"]  # fixtures
TWO = [
    {"kind": "fact", "question": "主题0是什么？", "answer": "主题0是一种存储方式的名称。"},
    {"kind": "fact", "question": "主题1是什么？", "answer": "主题1是一种存储方式的名称。"},
]
BOTH = json.dumps({"pairs": TWO}, ensure_ascii=False)


def asked_about(body: dict, subject: str) -> bool:
    return f"{subject}是" in body["messages"][-1]["content"]


def test_an_endpoint_without_json_schema_is_asked_for_a_json_object(tmp_path, chunks):
    def deepseek(n, body):
        if body["response_format"]["type"] == "json_schema":
            return 400, "This response_format type is unavailable now"
        return good_reply(body)

    with TeacherServer(deepseek) as server:
        teacher = source(server.url)
        assert len(ask(teacher, chunks, Cache(tmp_path))) == len(chunks)
    assert len(server.requests) <= len(chunks) + 2, "the refusal is remembered, not met each time"
    assert "json" in server.requests[-1]["messages"][-1]["content"].lower()
    assert len([note for note in teacher.notes if "refuses json_schema" in note]) == 1


def test_an_endpoint_that_takes_no_format_at_all_is_asked_without(tmp_path, chunks):
    def plain(n, body):
        return (
            (400, "Unrecognized request argument")
            if "response_format" in body
            else good_reply(body)
        )

    with TeacherServer(plain) as server:
        assert len(ask(source(server.url), chunks, Cache(tmp_path))) == len(chunks)


def test_a_call_under_way_while_another_finds_the_format_is_made_again(tmp_path, chunks):
    def plain(n, body):
        if n == 0:  # as another thread leaves it, once it is served
            client._format, client.served = 2, True
        return (400, "Unrecognized request argument") if n == 0 else good_reply(body)

    with TeacherServer(plain) as server:
        teacher = source(server.url, concurrency=1)
        client = teacher._connected()
        assert len(ask(teacher, chunks[:1], Cache(tmp_path))) == 1


@pytest.mark.parametrize("answer", [(400, "Content Exists Risk"), FILTERED])
@pytest.mark.parametrize("first", [True, False])
def test_a_content_filter_costs_one_chunk_and_one_call(tmp_path, chunks, answer, first):
    subject = "主题0" if first else "主题5"
    with TeacherServer(lambda n, b: answer if asked_about(b, subject) else good_reply(b)) as server:
        teacher = source(server.url, concurrency=1)
        assert len(ask(teacher, chunks, Cache(tmp_path))) == len(chunks) - 1
    assert len(server.requests) == len(chunks)
    assert "1 chunks" in teacher.notes[0] and f"小节{subject[-1]}" in teacher.notes[0]


def test_an_endpoint_that_refuses_everything_stops_the_source(tmp_path, chunks):
    refuses = pytest.raises(SourceError, match="refuses")
    with TeacherServer(lambda n, body: (400, "no such parameter: model")) as server, refuses:
        ask(source(server.url, concurrency=1), chunks, Cache(tmp_path))
    unpaid = pytest.raises(SourceError, match="paid.*Insufficient")
    with TeacherServer(lambda n, body: (402, "Insufficient Balance")) as server, unpaid:
        ask(source(server.url, concurrency=1), chunks, Cache(tmp_path))
    assert len(server.requests) == 1
    unpaid = pytest.raises(SourceError, match="paid.*current quota")
    with TeacherServer(lambda n, b: (429, "You exceeded your current quota")) as server, unpaid:
        ask(source(server.url, concurrency=1, retries=0), chunks, Cache(tmp_path))
    assert len(server.requests) == 1


@pytest.mark.parametrize(
    ("said", "first"),
    [
        ("You exceeded your current quota. Please retry in 17.2s.", True),
        ("You exceeded your current quota, please check your plan and billing details", False),
    ],
)
def test_a_rate_limit_is_no_empty_account(tmp_path, chunks, said, first):
    """Gemini and Alibaba speak of quota and billing where a minute's tokens are used up."""
    limited = 0 if first else 1
    with TeacherServer(lambda n, b: (429, said) if n == limited else good_reply(b)) as server:
        teacher = source(server.url, concurrency=1, retries=0)
        made = ask(teacher, chunks, Cache(tmp_path))
    assert len(made) == len(chunks) - 1
    assert "current quota" in teacher.notes[0]


def test_a_reply_among_the_thoughts_of_one_that_has_none_is_read(tmp_path, chunks):
    """vLLM with a reasoning parser and thinking off: content is null."""
    whole = completion("x")
    message = whole["choices"][0]["message"]
    message |= {"content": None, "reasoning_content": BOTH}
    with TeacherServer(lambda n, body: Raw(whole)) as server:
        teacher = source(server.url, concurrency=1)
        made = ask(teacher, chunks[:1], Cache(tmp_path))
    assert [len(pairs) for pairs in made.values()] == [2]
    assert "reasoning_content" in teacher.notes[0]
    message["reasoning_content"] = f"先出两题：{BOTH}，再改一改"  # thoughts, with a draft
    with TeacherServer(lambda n, body: Raw(whole)) as server:
        assert not ask(source(server.url, concurrency=1), chunks[1:2], Cache(tmp_path))
    message["reasoning_content"] = BOTH
    whole["choices"][0]["finish_reason"] = "length"  # thoughts that were cut off, with a draft
    with TeacherServer(lambda n, body: Raw(whole)) as server:
        assert not ask(source(server.url, concurrency=1), chunks[1:2], Cache(tmp_path))


@pytest.mark.parametrize(
    "reply",
    [
        "先看片段 {x}，出两题。\n</think>\n\n" + BOTH,
        "<think>\n[1] {x}\n</think>\n" + BOTH,
        "好的，以下是 JSON：\n" + BOTH + "\n希望有帮助！",
        "好的：\n```json\n" + BOTH + "\n```\n如有需要 {请} 告诉我。",
        json.dumps(TWO, ensure_ascii=False),
        "```\n" + json.dumps(TWO, ensure_ascii=False) + "\n```",
        json.dumps({"qa_pairs": TWO}, ensure_ascii=False),
        "\n".join(json.dumps(row, ensure_ascii=False) for row in TWO),
        json.dumps({"pairs": [{**r, "wordings": None, "kind": None} for r in TWO]}),
        json.dumps({"pairs": [*TWO, {"question": "?", "answer": ""}, None, "x", {"a": 1}]}),
        BOTH[:-2] + ', {"kind": "fact", "question": "主题2是',
    ],
    ids=["end of thoughts", "thoughts", "prose", "fence and prose", "list", "fenced list",
         "another name", "lines", "nulls", "bad ones among good", "cut off"],
)  # fmt: skip
def test_usable_pairs_are_kept_over_http_at_one_call(tmp_path, chunks, reply):
    with TeacherServer(lambda n, body: reply) as server:
        made = ask(source(server.url, concurrency=1), chunks[:1], Cache(tmp_path))
    (pairs,) = made.values()
    assert [(p.question, p.answer) for p in pairs] == [(r["question"], r["answer"]) for r in TWO]
    assert len(server.requests) == 1


Q, A = TWO[0]["question"], TWO[0]["answer"]


@pytest.mark.parametrize(
    "reply",
    [
        [{"提问": Q, "回答": A}],
        [{"问": Q, "答": A}],
        [{"Q": Q, "A": A}],
        [{"Question": Q, "Answer": A, "Score": 5}],
        [{"instruction": Q, "input": "", "output": A}],
        {"1": {"query": Q, "response": A}},
        {"data": {"qa": [{"prompt": Q, "response": A}]}},
        {"pairs": json.dumps([{"question": Q, "answer": A}])},
        json.dumps(json.dumps([{"question": Q, "answer": A}])),
        f'{{"pairs": [{{"question": "{Q}", "answer": "{A}",}},]}}',
        f"{{'pairs': [{{'question': '{Q}', 'answer': '{A}'}}]}}",
        f"\ufeff{{“pairs”: [{{“question”：“{Q}”，“answer”：“{A}”}}]}}",
        '<thinking>{"question": "先想的题？", "answer": "不算"}</thinking>'
        f'[{{"q": "{Q}", "a": "{A}"}}]',
    ],
)
def test_other_names_and_broken_quotes_are_read(chunks, reply):
    text = reply if isinstance(reply, str) else json.dumps(reply, ensure_ascii=False)
    found = read_reply(text, chunks[0], "t", 3)
    assert [(pair.question, pair.answer) for pair in found] == [(Q, A)]


def test_a_pair_with_bare_quotes_is_kept_beside_a_sound_one(chunks):
    bare = '{"question": "何为"块"？", "answer": "叫"块"的。"}'
    reply = f'[{{"question": "{Q}", "answer": "{A}"}}, {bare}]'
    found = read_reply(reply, chunks[0], "t", 3)
    assert [pair.answer for pair in found] == [A, '叫"块"的。']


def test_numbers_and_lists_are_answers_and_wordings_may_be_one_text(chunks):
    rows = [
        {"question": Q, "answer": 8, "wordings": "换个问法？"},
        {"question": Q, "answer": ["其一。", "其二。"], "wordings": [{"text": "再换？"}]},
        {"question": Q, "answer": True},
    ]
    found = read_reply(json.dumps(rows), chunks[0], "t", 3)
    assert [(p.answer, p.wordings) for p in found] == [
        ("8", ("换个问法？",)),
        ("其一。\n其二。", ("再换？",)),
    ]


@pytest.mark.parametrize(
    "reply",
    [
        '<think>先写 {"question": "草稿的题？", "answer": "草稿的答案"} 再',
        '{"pairs": [{"question": "什么是块？", "answer": "块是一组"',
        '{"questions": ["甲？", "乙？"], "answers": ["一", "二"]}',
    ],
)
def test_drafts_and_halves_are_no_pairs(chunks, reply):
    with pytest.raises(ReplyError):
        read_reply(reply, chunks[0], "t", 3)


def altered(**changes):
    def made(body):
        row = completion(good_reply(body))
        row["choices"][0]["message"].update(changes)
        return Raw(row)

    return made


def parts(body):
    return altered(content=[{"type": "text", "text": good_reply(body)}])(body)


def with_usage(usage):
    return lambda body: Raw(completion(good_reply(body)) | {"usage": usage})


@pytest.mark.parametrize(
    "fault",
    [
        parts,
        lambda body: altered(content=json.loads(good_reply(body)))(body),
        with_usage(None),
        with_usage([]),
        with_usage({"prompt_tokens": "9", "completion_tokens": None}),
        lambda body: Raw(b"\xef\xbb\xbf" + json.dumps(completion(good_reply(body))).encode()),
    ],
    ids=["parts", "object", "no usage", "odd usage", "usage in words", "mark of byte order"],
)
def test_odd_but_whole_replies_cost_nothing(tmp_path, chunks, fault):
    with TeacherServer(lambda n, body: fault(body)) as server:
        teacher = source(server.url, concurrency=1)
        assert len(ask(teacher, chunks, Cache(tmp_path))) == len(chunks) == len(server.requests)
    assert not teacher.notes


@pytest.mark.parametrize(
    ("fault", "word"),
    [
        (Raw(completion("x") | {"choices": []}), "without choices"),
        (Raw({"error": {"message": "上游满了"}}), "without choices (上游满了)"),
        (Raw(completion("x") | {"choices": [{"index": 0, "message": None}]}), "without a message"),
        (Raw(b"<html>busy</html>", "text/html"), "not a completion"),
        (Raw(b"data: {}\n\ndata: [DONE]\n\n", "text/event-stream"), "not a completion"),
        (Raw([1]), "not a completion"),
        (Raw(None), "not a completion"),
        ("<think>没有想完", "nothing but thoughts"),
        ("", "an empty reply"),
        ((403, "input was flagged by moderation"), "refused"),
        ((413, "too large"), "no reply (APIStatusError: Error code: 413 - too large)"),
    ],
)
def test_a_broken_reply_costs_its_chunk_only_and_is_named(tmp_path, chunks, fault, word):
    def script(n, body):
        return fault if asked_about(body, "主题5") else good_reply(body)

    with TeacherServer(script) as server:
        teacher = source(server.url, concurrency=1)
        assert len(ask(teacher, chunks, Cache(tmp_path))) == len(chunks) - 1
    assert len(teacher.notes) == 1
    assert word in teacher.notes[0] and "小节5" in teacher.notes[0]


def test_an_address_that_is_no_endpoint_stops_the_source_soon(tmp_path, chunks):
    stops = pytest.raises(SourceError, match="no such one.*<html>")
    page = Raw(b"<html>hello</html>", "text/html")
    with TeacherServer(lambda n, body: page) as server, stops:
        ask(source(server.url, concurrency=1), chunks, Cache(tmp_path))
    assert len(server.requests) == 5 * 3  # five chunks, three attempts each


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        (r"公式是 $\frac{1}{n}\sum_i x_i$，其中 \alpha 是系数。", None),
        (r"参数 $\theta$、$\beta$，梯度 $\nabla$，\times，$\nu \ne \to$。", None),
        (r"已转义的 $\\frac{a}{b}$ 和 $\\theta$。", r"已转义的 $\frac{a}{b}$ 和 $\theta$。"),
        (r"第一行\n第二行\t完，\"引号\"，路径 C:\\a。", '第一行\n第二行\t完，"引号"，路径 C:\\a。'),
        (r"int nu;\nnu = 1;\nto(nu);", "int nu;\nnu = 1;\nto(nu);"),
    ],
)
def test_latex_with_single_backslashes_is_read_as_written(chunks, written, meant):
    reply = '{"pairs": [{"question": "损失函数是什么？", "answer": "WHAT"}]}'.replace(
        "WHAT", written
    )
    assert read_reply(reply, chunks[0], "t", 3)[0].answer == (meant or written)


@pytest.mark.parametrize(
    "reply", ["", "我不能回答。", '{"pairs": 3}', '{"pairs": [{"question"', "{}"]
)
def test_what_holds_no_pair_is_an_error_and_an_empty_list_is_none(chunks, reply):
    with pytest.raises(ReplyError):
        read_reply(reply, chunks[0], "t", 3)
    assert read_reply('{"pairs": []}', chunks[0], "t", 3) == []


def test_choices_and_talks_pass_the_filters_and_are_written_whole(chunks):
    asked, answer = "主题0把多少个数据块放在一起？", "主题0把 100 个数据块放在一起。"
    options = "\nA. 7 个\nB. 100 个\nC. GPU 个\nD. 9 个"
    choice = {"kind": "choice", "question": asked + options, "answer": f"B。{answer}"}
    turns = [{"question": "主题0是什么？", "answer": "主题0是第 0 号存储方式的名称。"}]
    talk = {"kind": "talk", "question": "它放了多少个？", "answer": answer, "turns": turns}
    pairs = read_reply(json.dumps({"pairs": [choice, talk]}), chunks[0], "t", 3)
    assert Filters().keep(pairs, chunks[0].text) == pairs
    turns = [turn["content"] for turn in row_of(pairs[1])["messages"] if turn["role"] != "system"]
    assert turns == [
        "主题0是什么？",
        "主题0是第 0 号存储方式的名称。",
        talk["question"],
        talk["answer"],
    ]
    for shape in ("alpaca", "query-response", "sharegpt"):
        assert "第 0 号" in json.dumps(row_of(pairs[1], shape), ensure_ascii=False)


def test_prompt_files_replace_the_defaults_and_change_the_fingerprint(tmp_path, chunks):
    own = tmp_path / "own"
    own.mkdir()
    (own / "system.md").write_text("只出判断题。{kinds} {not a placeholder}", encoding="utf-8")
    settings = ModelSettings(prompts=own, kinds="true_false, talk")
    system, user = (m["content"] for m in messages(chunks[0], settings))
    assert system.startswith("只出判断题。") and "true_false" in system and "{not a" in system
    assert chunks[0].text in user and '{"pairs"' in user
    fields = schema(settings)["properties"]["pairs"]["items"]["properties"]
    assert fields["kind"]["enum"] == ["true_false", "talk"] and "turns" in fields
    versions = {
        load_prompts(None).version,
        load_prompts(own).version,
        load_prompts(None, "code").version,
    }
    assert len(versions) == 3
    assert "页表" in messages(chunks[0], ModelSettings())[0]["content"]  # the few-shot example


def test_prompt_files_at_fault_are_named(tmp_path):
    for name, text, word in (
        ("user.md", "出题", "text"),
        ("examples.jsonl", "{}", "line 1"),
    ):
        folder = tmp_path / name
        shutil.copytree(DEFAULTS, folder)
        (folder / name).write_text(text, encoding="utf-8")
        with pytest.raises(ValueError, match=f"{name}.*{word}"):
            load_prompts(folder)
    with pytest.raises(ValueError, match="no such folder"):
        load_prompts(tmp_path / "none")
    with pytest.raises(ValueError, match="no kind riddle; there are: definition"):
        load_prompts(None, "riddle")


def test_tokens_and_cost_stand_in_the_report_also_when_all_was_made_before(tmp_path):
    book = tmp_path / "book.md"
    book.write_text(book_text(), encoding="utf-8")
    prices = ("--price-in", "2", "--price-out", "8")
    with TeacherServer(lambda n, body: good_reply(body)) as server:
        for _ in range(2):
            command = build_command(book, server.url, *prices)
            done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
            assert done.returncode == 0, done.stderr
            report = json.loads((tmp_path / "out" / "report.json").read_text(encoding="utf-8"))
            calls = len(server.requests)
            wanted = {"calls": calls, "prompt_tokens": 100 * calls, "answer_tokens": 50 * calls}
            assert report["usage"] == {**wanted, "cost": round(calls * 600 / 1e6, 6)}
    assert "nothing changed" in done.stdout and sys.executable == command[0]
