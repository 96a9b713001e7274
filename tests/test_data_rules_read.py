"""Rules: kinds of faults that an independent reader found in round 19, on texts written anew."""

import pytest

from data.sources.rules.silence import why_silent
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
