"""The strict rules: shapes that readers called good are asked, and others are not (texts anew)."""

import pytest

from data.records import PARAGRAPH, Block
from data.sources.rules.strict import cut_short, needs_no_field, why_not_strict
from tests.test_data_rules import pairs_of

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
        (
            "the name carries itself",
            "GateList",
            "什么是 GateList？",
            "GateList 是一个按开度排序的阻塞队列。",
        ),
        ("says what sort of thing it is", "GateQL", "什么是 GateQL？", "GateQL 是一种通信协议。"),
        ("says what sort of thing it is", "GateQL", "什么是 GateQL？", "GateQL 返回水位的数值。"),
        ("says enough", "GateQL", "什么是 GateQL？", "GateQL 是一种查水位的语言。"),
        ("asks what it is", "GateQL", "请简要介绍 GateQL。", TOLD),
        (
            "says enough",
            "GateQL",
            "什么是 GateQL？",
            "GateQL 是一种查询语言，用于读水位，可以写开度，支持联动，并且带有权限。",
        ),
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
            )
        ),
    ],
)
def test_what_is_required_of_a_pair(requirement: str, title: str, question: str, answer: str):
    block = Block(PARAGRAPH, answer, (title,), 0, len(answer))
    assert why_not_strict(question, answer, block, answer) == requirement


@pytest.mark.parametrize(
    "beside",
    [
        "水位,流量和开度都由它读写。",  # half-width marks
        "gateql 也能写开度。",  # the name in another spelling
        "闸门OS、水位DB和渠道API都由它读写。",  # no space between Chinese and Latin
    ],
)
def test_a_page_written_without_care_is_not_asked_about(beside: str):
    assert strict(f"# GateQL\n\n{TOLD}")
    assert not strict(f"# GateQL\n\n{TOLD}\n\n{beside}")


def test_code_and_addresses_may_spell_a_name_their_way():
    beside = "装好 gateql-server 之后看 /etc/gateql/conf。\n\n```sh\ngateql start\n```"
    assert strict(f"# GateQL\n\n{TOLD}\n\n{beside}")


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
