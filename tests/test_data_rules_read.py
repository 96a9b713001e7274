"""Rules: kinds of faults that an independent reader found in round 19, on texts written anew."""

from dataclasses import replace

import pytest

from data.dedupe import drop_duplicates
from data.records import Pair
from data.sources.rules.silence import why_silent
from data.sources.sentence import polish
from data.topics import latin
from tests.test_data_rules import pairs_of


@pytest.mark.parametrize(
    ("check", "kind", "question", "answer"),
    [
        (
            "tells_status",
            "definition",
            "什么是 GateQL？",
            "GateQL 是水利软件的事实标准，用得很广。",
        ),
        (
            "tells_status",
            "definition",
            "什么是 gated？",
            "gated 是自 GateOS 7 以来的默认守护进程。",
        ),
        (
            "tells_status",
            "definition",
            "什么是 gatetab？",
            "gatetab 是安装 gate 包后获得的命令名。",
        ),
        (
            "tells_status",
            "explain",
            "请简要介绍 Gate。",
            "Gate 是一个非常庞大的框架，包括闸门和渠道。",
        ),
        (
            "tells_status",
            "definition",
            "什么是闸门扇区？",
            "闸门扇区是校准磁盘的前 512 字节，不算尾部。",
        ),
        (
            "",
            "explain",
            "请简要介绍闸门扇区。",
            "闸门扇区是磁盘的前 512 字节。它用于引导水闸的控制器。",
        ),
        ("says_no_purpose", "purpose", "gunz 的作用是什么？", "gunz 命令用来解压压缩的数据。"),
        ("", "purpose", "gunz 的作用是什么？", "gunz 命令用来清除闸门屏幕的内容。"),
    ],
)
def test_status_praise_and_size_are_no_definition(
    check: str, kind: str, question: str, answer: str
):
    assert why_silent(question, answer, kind) == check


def test_of_two_sentences_the_one_that_defines_is_asked():
    praised = "GateQL 是水利软件的事实标准，不过也不代表所有的软件都一定要使用它。"
    defined = "GateQL 是一套用于读写水闸状态的接口标准。"
    made = pairs_of(f"# GateQL 和渠道\n\n躲不开的是 GateQL。{defined}\n\n{praised}", topic="水利")
    assert list(made.values()) == [defined]
    assert not pairs_of(f"# GateQL 和渠道\n\n{praised}", topic="水利")


def test_a_tautology_and_praise_at_the_end_are_left_out():
    assert not pairs_of(
        "# Gate编程语言\n\nGate编程语言是一种专门为编写水闸（Gate）而设计的编程语言。"
    )
    made = pairs_of(
        "# GateDist\n\nGateDist 是一个开源的发行版，包含水利的各种库，非常适合用于教学。"
    )
    assert list(made.values()) == ["GateDist 是一个开源的发行版，包含水利的各种库。"]


OPTIONS = (
    "# gatectl 命令\n\n| 选项 | 说明 |\n| --- | --- |\n"
    "| -w | 等到闸门完全打开之后才返回结果。永久更改。 |\n"
    "| -l | 逐行列出所有闸门的编号和当前的开度。永久更改。 |\n"
)


def test_a_remark_that_rows_share_is_no_part_of_an_explanation():
    assert list(pairs_of(OPTIONS).values()) == [
        "gatectl 的选项 -w：等到闸门完全打开之后才返回结果。",
        "gatectl 的选项 -l：逐行列出所有闸门的编号和当前的开度。",
    ]


@pytest.mark.parametrize(("by", "asked"), [("-d 选项", False), ("gatectl -d 命令来", True)])
def test_an_option_is_asked_with_its_command(by: str, asked: bool):
    text = f"# 命令行\n\n使用 {by}创建一个目录：\n\n```bash\ngatectl -d ~/gates\n```"
    assert bool(pairs_of(text, topic="GateOS")) == asked


def test_a_line_of_a_glossary_becomes_a_sentence():
    made = pairs_of("# GQML\n\n- GQML（Gate Query Language）：一种用于查询水闸状态的语言\n- 别的")
    assert list(made.values()) == ["GQML（Gate Query Language）是一种用于查询水闸状态的语言。"]


def test_an_abbreviation_of_several_things_needs_a_field():
    text = "# ACL\n\nACL（Agent Control Language）是一种用于描述代理之间通信的语言。"
    assert not pairs_of(text)
    assert list(pairs_of(text, topic="水利")) == ["什么是水利中的 ACL？"]


@pytest.mark.parametrize(
    ("text", "topic", "questions"),
    [
        (
            "# 顺序链表\n\n顺序链表是指由一系列节点依次连接而成的数据结构。",
            "Agent",
            ["什么是顺序链表？"],
        ),
        ("# 竞标\n\n竞标（bid）是指由一系列节点依次连接而成的数据结构。", "Agent", []),
        (
            "# 竞标\n\n竞标（bid）是指每个 Agent 依次提出方案，直到全部同意的过程。",
            "Agent",
            ["什么是 Agent 中的竞标？"],
        ),
        (
            "# 群体系统\n\n群体系统（Multi-Agent System）是一种由许多智能体组成的分布式系统。",
            "Agent",
            ["什么是群体系统？"],
        ),
    ],
)
def test_a_plain_word_is_a_field_only_where_the_section_names_it(
    text: str, topic: str, questions: list[str]
):
    assert list(pairs_of(text, topic=topic)) == questions


def test_one_half_of_a_double_name_is_no_topic():
    assert latin("TCP/IP 网络模型") == [] and latin("C/C++ 教程") == latin("C++ 教程")


INTRO = "GateLink是指按水位提高渠道之间传输效率的各种技术和设备的集合。"
MORE = "渠道管理局通过GateLink，可以把一部分流量分到别的渠道上，从而省下一些费用。"


@pytest.mark.parametrize(
    ("after", "left_out"),
    [
        ("毕竟，渠道的成本不低。", True),
        ("GateVPN关注的是更低的成本，使用便宜的线路。", True),
        ("首次使用渠道时，请遵循现有的规则。", True),
        ("渠道管理局每年检查一次所有的设备。", False),
    ],
)
def test_sentences_about_something_else_are_left_out(after: str, left_out: bool):
    said = pairs_of(f"# GateLink\n\n{INTRO}{MORE}{after}", topic="水利")[
        "请简要介绍水利中的 GateLink。"
    ]
    assert said.startswith(INTRO + MORE) and (after not in said) == left_out


CODE = "```bash\n{}\n```"
STEPS = "1. 先检查闸门的编号是否存在：\n\n{}\n\n2. 再按编号打开这一道闸门：\n\n{}"


@pytest.mark.parametrize(
    ("text", "asked"),
    [
        (f"# 使用 GateCtl 打开闸门\n\n打开闸门时给出编号：\n\n{CODE.format('gatectl 3')}", True),
        (
            "# 使用 GateCtl 打开闸门\n\n方便在安装扩展时打开渠道的闸门。\n\n"
            f"给出编号：\n\n{CODE.format('gatectl 3')}",
            False,  # opens in the middle
        ),
        (
            "# 实验7：水闸\n\n## 使用 GateCtl 打开闸门\n\n打开闸门时给出编号：\n\n"
            f"{CODE.format('gatectl 3')}",
            False,  # a step of an exercise
        ),
        (
            "# 使用 GateCtl 打开闸门\n\n"
            + STEPS.format(CODE.format("gatectl -l"), CODE.format("gatectl 3")),
            True,
        ),
        (
            "# 使用 GateCtl 打开闸门\n\n"
            + STEPS.format(CODE.format("gatectl 3"), CODE.format("gatectl 3")),
            False,  # a slip of the book
        ),
    ],
)
def test_a_whole_section_is_neither_an_exercise_nor_a_fragment(text: str, asked: bool):
    made = pairs_of(text.replace("这一道", ""))
    assert list(made) == (["如何使用 GateCtl 打开闸门？"] if asked else [])


def test_marks_of_keys_and_titles_of_boxes_are_no_prose():
    text = "# 使用 GateCtl 打开闸门\n\n说明。\n\n按 ++ctrl+g++ 可以停止，打开闸门时给出编号：\n\n"
    (answer,) = pairs_of(text + CODE.format("gatectl 3")).values()
    assert answer == "按 ctrl+g 可以停止，打开闸门时给出编号：\n" + CODE.format("gatectl 3")
    assert (
        polish("*水闸是一种设备") == "水闸是一种设备。"
        and polish("++i++ 和 a * b") == "++i++ 和 a * b。"
    )


@pytest.mark.parametrize(
    ("question", "answer"),
    [
        ("什么是 GateLink？", "GateLink是指采用同时采用多条渠道，通常就是干渠和支渠。"),
        ("如何使用 run 方法执行搜索使用？", "通过 run 方法执行搜索。"),
    ],
)
def test_a_verb_said_twice_is_garbled(question: str, answer: str):
    assert why_silent(question, answer, "how") == "garbled"


def test_of_two_pairs_on_one_thing_the_fuller_stays():
    said = "闸门用于挡水。"
    short = Pair("闸门的作用是什么？", said, "purpose", "rules", "b.md")
    fuller = replace(short, question="请简要介绍闸门。", answer=f"{said}由人开合。", kind="explain")
    others = [
        replace(short, question="水位的作用是什么？"),
        replace(short, question="闸门的单位是什么？", kind="fact"),
    ]
    kept, dropped = drop_duplicates([short, fuller, *others[:1]])
    assert kept == [fuller, others[0]] and dropped == {"held_by_fuller": 1}
    assert drop_duplicates([fuller, others[1]])[0] == [fuller, others[1]]
    assert drop_duplicates([short, replace(fuller, book="c.md")])[1] == {}
