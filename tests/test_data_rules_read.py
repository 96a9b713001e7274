"""Rules: kinds of faults that an independent reader found in round 19, on texts written anew."""

import pytest

from data.sources.rules.silence import why_silent
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
