"""Sections that are an answer as a whole, code with the sentence before it, and their field."""

from dataclasses import replace

import pytest

from data.chunks import cut_chunks
from data.dedupe import drop_duplicates
from data.records import Chunk, Pair, chunk_from_dict
from data.sections import read_sections
from data.sources.rules import RulesSettings, RulesSource
from data.sources.rules.compose import compose
from data.sources.rules.silence import why_silent
from tests.test_data_rules import pairs_of

TOLD = "先读取水位，再按水位和设定值的差算出闸门的开度。"


def chunks(text: str) -> list[Chunk]:
    return list(cut_chunks("b.md", read_sections(text)))


def test_a_chunk_knows_which_sections_stand_in_it_from_first_to_last():
    text = (
        f"# 书\n\n{TOLD}\n\n## 有图\n\n![闸门](a.png)\n\n{TOLD}\n\n## 短\n\n{TOLD}\n\n"
        f"## 长\n\n" + "\n\n".join([TOLD * 6] * 14)
    )
    found = chunks(text)
    assert {path[-1] for chunk in found for path in chunk.whole} == {"短"}
    assert [chunk_from_dict(chunk.to_dict()) for chunk in found] == found


def test_the_end_of_a_long_section_does_not_answer_its_heading():
    heading = "# GateCtl 的工作原理\n\nGateCtl "
    question = "GateCtl 的工作原理是什么？"
    assert pairs_of(heading + TOLD) == {question: f"GateCtl {TOLD}"}
    long = "\n\n".join(f"第{n}段讲另一条渠道：GateCtl {TOLD * 9}" for n in "一二三四五六七八")
    assert question not in pairs_of(f"{heading}{long}\n\nGateCtl {TOLD}")


def test_prose_of_a_whole_section_is_anybodys_and_its_code_stays_as_printed():
    code = "for gate in gates:\n    if gate.open:\n        gate.shut()  # 我们 关闸"
    made = pairs_of(f"# 使用 GateCtl 关闭闸门\n\n我们可以逐个 关闭闸门：\n\n```py\n{code}\n```")
    assert list(made.values()) == [f"可以逐个关闭闸门：\n```py\n{code}\n```"]


def composed(text: str) -> str:
    (chunk,) = chunks(f"# 缓存\n\n{text}")
    return compose(chunk.blocks)


@pytest.mark.parametrize(
    "text",
    [
        "缓存满时按 LRU 算法淘汰最久没有访问的键，这是默认的淘汰策略。",
        "配置文件里不认识的字段会被服务器忽略。",
        "声明变量时类型可以省略。",
        "淘汰策略（也叫逐出策略）决定删除哪个键。",
        "淘汰键的策略有三种最常见：随机、LRU 和 LFU。",
    ],
)
def test_words_that_hold_those_of_a_reference_are_kept(text: str):
    assert composed(text) == text


@pytest.mark.parametrize(
    "text",
    [
        "从 www.redis.io 下载安装包，解压后编译服务器。",
        "缓存满时淘汰最久没有访问的键（略）。",
        "服务器启动时读取配置文件，此处省略。",
        "淘汰键的全部策略详见：服务器的配置文件。",
    ],
)
def test_what_leaves_out_or_points_away_is_no_answer(text: str):
    assert composed(text) == ""


SHOWN = "执行如下命令检查水闸是否已经校准：\n\n```{}\ncheck(gate)\n```"


@pytest.mark.parametrize(
    ("text", "question"),
    [
        (f"# 校准\n\n{SHOWN.format('python')}", "Python 中如何检查水闸是否已经校准？"),
        (
            f"# GateLab 手册\n\n## 校准\n\n{SHOWN.format('sh')}",
            "GateLab 中如何检查水闸是否已经校准？",
        ),
        (f"# 校准\n\n{SHOWN.format('sh')}", ""),  # of which system?
        (f"# 校准\n\n{SHOWN.format('')}", ""),  # as often what a program printed
        (f"# GateLab 实验\n\n{SHOWN.format('python')}", ""),  # a step of one course
    ],
)
def test_code_is_asked_about_with_its_field_or_not_at_all(text: str, question: str):
    assert list(pairs_of(text)) == ([question] if question else [])


def test_a_book_on_one_thing_is_the_field_of_its_tasks():
    (chunk,) = chunks(f"# 校准\n\n{SHOWN.format('sh')}")
    made = RulesSource(RulesSettings(rules="wide")).pairs([replace(chunk, topics=("GateOS",))])
    assert [pair.question for _, pairs in made for pair in pairs] == [
        "GateOS 中如何检查水闸是否已经校准？"
    ]


@pytest.mark.parametrize(
    ("check", "kind", "question", "answer"),
    [
        ("says_little", "definition", "什么是闸门？", "闸门是渠道上的设备。"),
        ("says_little", "explain", "请简要介绍 GTP。", "GTP 由某公司在 1998 年推出，后被收购。"),
        ("labels", "explain", "请简要说明 GATE。", "GATE：水位变化明显的渠道，例如山区的排洪渠。"),
        ("praises", "explain", "请简要介绍闸门。", "闸门是多年经验的产物，值得每一个人学习它。"),
        ("unfinished", "definition", "什么是 Gate？", "Gate 是面向水利的一个发行版，由 Gate, Inc."),
        ("garbled", "definition", "什么是 Gate？", "Gate 是免费的软件，返意味着仸何人都能开収。"),
    ],
)
def test_what_readers_named_is_silenced(check: str, kind: str, question: str, answer: str):
    assert why_silent(question, answer, kind) == check


def test_chinese_prose_has_no_gaps():
    made = pairs_of("# 闸门控制\n\n闸门控制（Gate Control）是指按水位的 高低决定 GPU 的 开合时间。")
    assert made["什么是闸门控制？"].endswith("是指按水位的高低决定 GPU 的开合时间。")


def test_a_later_item_on_a_term_is_no_definition_of_it():
    first = "- 并发控制器（concurrency controller）用来排队。"
    later = "- 并发控制器是一种按先来后到的次序放行请求的装置，每次只放行一个。"
    assert "什么是并发控制器？" in pairs_of(f"# 并发控制器\n\n{later}")
    assert "什么是并发控制器？" not in pairs_of(f"# 并发控制器\n\n{first}\n{later}")


GENERIC = "客户端软件负责选择要播放的媒体、下载它的各个片段，再按 GateLive 的清单连续播放。"


def test_a_compound_of_plain_words_needs_the_field_above_it():
    assert not pairs_of(f"# 客户端软件\n\n{GENERIC}")
    made = pairs_of(f"# GateLive 架构\n\n## 客户端软件\n\n{GENERIC}")
    assert made and all("GateLive 中" in question for question in made)
    plain = "Request 是一个请求级别的对象，每次收到用户的请求时由框架创建一个。"
    assert not pairs_of(f"# Request\n\n{plain}")


def test_of_two_definitions_the_one_with_the_foreign_name_stays():
    plain = Pair("什么是语法糖？", "语法糖是编译器去掉的写法。", "definition")
    named = Pair("什么是语法糖？", "语法糖（Syntactic Sugar）是方便程序员的语法。", "definition")
    for pairs in ([plain, named], [named, plain]):
        kept, dropped = drop_duplicates(pairs)
        assert kept == [named] and dropped == {"conflict": 1}


def test_an_escaped_underscore_is_one():
    (section,) = read_sections("# TIME\\_WAIT\n\n等 max\\_size 个字节。")
    assert section.path == ("TIME_WAIT",) and section.blocks[0].text == "等 max_size 个字节。"
