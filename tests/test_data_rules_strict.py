"""The strict rules: shapes that readers called good are asked, and others are not (texts anew)."""

import pytest

from data.records import PARAGRAPH, Block
from data.sources.rules.strict import cut_short, needs_no_field, why_not_strict
from tests.test_data_rules import pairs_of

SPELT_OUT = [
    "GQL（Gate Query Language）是一种用于读写水闸状态的查询语言。",
    "GQL（闸门查询语言）是一种用于读写水闸状态的查询语言。",
]
TOLD = "GateQL 是一种用于读写水闸状态的查询语言。"
CHINESE = "闸门联动（Gate Coupling）是一种把相邻的闸门按水位一起开合的控制技术。"


def strict(text: str, **settings: object) -> dict[str, str]:
    return pairs_of(text, rules="strict", **settings)


@pytest.mark.parametrize(
    ("text", "question", "answer"),
    [
        (f"# GateQL\n\n{TOLD}", "什么是 GateQL？", TOLD),
        (f"# 2.1 GateQL 简介\n\n{TOLD}", "什么是 GateQL？", TOLD),
        (f"# GateQL 入门\n\n{TOLD}", "什么是 GateQL？", TOLD),
        (f"# 说说你对 GateQL 的理解\n\n## 一、是什么\n\n{TOLD}", "什么是 GateQL？", TOLD),
        (f"# 渠道\n\n{CHINESE}", "什么是闸门联动？", CHINESE),
        *((f"# GQL\n\n{told}", "什么是 GQL？", told) for told in SPELT_OUT),
        (f"# GateQL\n\n{TOLD}其实人人都会用它。", "什么是 GateQL？", TOLD),
    ],
)
def test_what_a_thing_is_is_asked_where_its_heading_names_it(text: str, question: str, answer: str):
    assert strict(text) == {question: answer}


@pytest.mark.parametrize(
    ("requirement", "title", "question", "answer"),
    [
        ("asks what it is", "GateQL", "GateQL的作用是什么？", TOLD),
        ("the heading is the subject", "渠道的历史", "什么是 GateQL？", TOLD),
        ("the answer begins with the subject", "GateQL", "什么是 GateQL？", f"语言 {TOLD}"),
        ("the name carries itself", "Label", "什么是 Label？", TOLD.replace("GateQL", "Label")),
        ("the name carries itself", "联动", "什么是联动？", "联动（Link）是一种把闸门相连的技术。"),
        ("the name carries itself", "Q 过滤器", "什么是 Q 过滤器？", "Q 过滤器是过滤闸门的结构。"),
        (
            "the name carries itself",
            "GateBox",
            "什么是 GateBox？",
            "GateBox 是一个显示水位的控件。",
        ),
        # Two things and more have each of these names.
        ("the name carries itself", "GQL", "什么是 GQL？", TOLD.replace("GateQL", "GQL")),
        (
            "the name carries itself",
            "Gate Guard",
            "什么是 Gate Guard？",
            TOLD.replace("GateQL", "Gate Guard"),
        ),
        (
            "the name carries itself",
            "管理闸门",
            "什么是管理闸门？",
            "管理闸门（管理员 GA）是一种用于读写水位的系统。",
        ),
        # Others have one, too; two letters are many things.
        (
            "the name carries itself",
            "闸门池",
            "什么是闸门池？",
            "闸门池（Gate Pool）是openGate提供的一种调度机制，用于把闸门分给渠道。",
        ),
        (
            "the name carries itself",
            "GQ",
            "什么是 GQ？",
            "GQ（Gate Query）是一种用于读写水闸状态的查询语言。",
        ),
        ("says what sort of thing it is", "GateQL", "什么是 GateQL？", "GateQL 是一种通信协议。"),
        ("says what sort of thing it is", "GateQL", "什么是 GateQL？", "GateQL 返回水位的数值。"),
        ("says enough", "GateQL", "什么是 GateQL？", "GateQL 是一种查水位的语言。"),
        ("asks what it is", "GateQL", "请简要介绍 GateQL。", TOLD),
        (
            "is spelt right",
            "GateQL",
            "什么是 GateQL？",
            "GateQL 是一种在 Kubernetes 上用于部署 Kuberbetes 的工具。",
        ),
        *(
            ("no praise, aside, date or leftover", "GateQL", "什么是 GateQL？", answer)
            for answer in (
                "GateQL 是一种非常流行的、用于读写水闸状态的查询语言。",
                "GateQL 是一种在 1998 年推出的、用于读写水闸状态的查询语言。",
                "GateQL 是一种用于读写状态的查询语言，它是 GateOS 是默认的语言。",
                "GateQL 是一种水利公司公司推出的、用于读写状态的查询语言。",
                "GateQL 是一种用于读写水闸 状态的查询语言。",
                "GateQL 是一种用于读写水闸状态的“超市”式的查询语言。",
                "GateQL 是一种用于读写水闸和控制它们的查询语言。",
                "GateQL 是一种用于读写水闸状态的查询语言，开箱即用。",
            )
        ),
        (
            "no praise, aside, date or leftover",
            "GateLine 调度模型",
            "什么是 GateLine 调度模型？",
            "GateLine 调度模型是一种以水位为目标的、用于开合闸门的调度模型。",
        ),
    ],
)
def test_what_is_required_of_a_pair(requirement: str, title: str, question: str, answer: str):
    block = Block(PARAGRAPH, answer, (title,), 0, len(answer))
    assert why_not_strict(question, answer, block) == requirement


@pytest.mark.parametrize(
    "text",
    [
        "# gatectl 命令\n\n| 选项 | 说明 |\n| --- | --- |\n| -w | 等到闸门完全打开之后才返回。 |",
        "# 使用 GateCtl 关闭闸门\n\n逐个关闭闸门：\n\n```py\nfor gate in gates: gate.shut()\n```",
        "# GateCtl 的优点\n\nGateCtl 的优点：\n\n- 一次打开全部的闸门\n- 逐行列出闸门的开度",
    ],
)
def test_other_kinds_are_asked_by_wide_rules_only(text: str):
    assert pairs_of(text, rules="wide") and not strict(text)


def test_a_field_is_never_put_before_a_name():
    """Readers found it wrong as often as right: Agent 中的链表, NLP 中的 Word2Vec."""
    made = strict("# GateLink\n\nGateLink 是一种用于连接相邻闸门的 GateOS 协议。", topic="渠道")
    assert list(made) == ["什么是 GateLink？"]
    assert not strict("# 联动阀\n\n联动阀（valve）是一种由相邻闸门带动的结构。", topic="GateOS")
    assert needs_no_field("什么是 GateLink？", "GateLink 是一种协议。")
    assert not needs_no_field("什么是 slice？", "slice 是一种结构。")


def test_only_the_first_sentence_stays():
    assert cut_short("A 是一种语言。它能查询水位。") == "A 是一种语言。"


def test_strict_asks_what_wide_asks_or_less():
    text = (
        f"# GateQL\n\n{TOLD}\n\n# 渠道\n\n{CHINESE}\n\n# gatectl 命令\n\ngatectl 命令用于打开闸门。"
    )
    assert strict(text).items() <= pairs_of(text, rules="wide").items()
