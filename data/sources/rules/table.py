"""Rows of a table whose header says that its first column names things and its second explains."""

import re
from collections import Counter
from collections.abc import Iterable, Iterator

from data.sources.rules.nouns import core
from data.sources.rules.phrases import VERB, gap, says_enough, title_term
from data.sources.rules.registry import Bad, Candidate, Good, Place, rule
from data.sources.sentence import is_standalone
from data.text import sentences

# Things with a name of their own, and things whose owner the heading has to name.
_NAMED = (
    r"函数|命令|指令|关键字|运算符|环境变量|内置变量|限定符|修饰符|标签|元素|组件|模块|API|宏|事件"
)
_OWNED = r"方法|成员函数|属性|参数|选项|字段|配置项?|标志"
_HEADER = re.compile(rf"^(?P<sort>{_NAMED}|{_OWNED})(?:名称?)?$")
_EXPLAINS = re.compile(
    r"^(?:说明|描述|含义|作用|功能|用途|解释|意义|定义|功能描述|功能说明|详细说明)$"
)
# Chinese characters of an explanation: "端口", of a member of something, says nothing new.
LEAST, LEAST_OF_OWNED = 6, 12
MAX_REMARK = 8
_NAME = re.compile(r"[A-Za-z_<$@.\-][\w.:<>()\-/ $@*,\[\]]{1,40}", re.ASCII)


@rule(
    "table",
    kinds=("api",),
    patterns=(_HEADER, _EXPLAINS),
    good=[
        Good(
            "| 函数 | 说明 |\n| --- | --- |\n| `gate.open_all()` | 打开闸门并返回它的编号 |\n"
            "| `gate.shut()` | 关上编号所指的闸门 |",
            "函数 gate.open_all() 的作用是什么？",
            "函数 gate.open_all()：打开闸门并返回它的编号。",
        ),
        Good(
            "# gatectl 命令\n\n| 选项 | 含义 |\n| --- | --- |\n| -w | 等到闸门完全打开之后才返回 |",
            "gatectl 的选项 -w 的作用是什么？",
            "gatectl 的选项 -w：等到闸门完全打开之后才返回。",
        ),
    ],
    bad=[
        Bad(
            "| 选项 | 含义 |\n| --- | --- |\n| -w | 等到闸门完全打开之后才返回 |",
            "of which command?",
        ),
        Bad(
            "| 姓名 | 说明 |\n| --- | --- |\n| Anna | 负责打开闸门的那位工程师 |",
            "no sort of thing",
        ),
        Bad(
            "| 函数 | 返回 |\n| --- | --- |\n| `gate.open_all()` | 闸门的编号，一个整数 |",
            "explains nothing",
        ),
    ],
)
def _table(at: Place) -> Iterator[Candidate]:
    rows = [cells(line) for line in at.block.text.split("\n") if "|" in line]
    if len(rows) < 3 or len(rows[0]) < 2:
        return
    sort = _HEADER.match(re.sub(r"\s", "", rows[0][0]))
    if not sort or not _EXPLAINS.match(re.sub(r"\s", "", rows[0][1])):
        return
    owner = ""
    if re.fullmatch(_OWNED, sort["sort"]):
        owner = _owner(title_term(at.block.path))
        if not owner:
            return
    repeated = _repeated(row[1] for row in rows[2:] if len(row) > 1)
    for row in rows[2:]:
        if len(row) > 1:
            row[1] = "".join(one for one in sentences(row[1]) if one not in repeated)
        if len(row) < 2 or not _NAME.fullmatch(row[0]) or " / " in row[0]:
            continue  # several names in one row
        if not says_enough(row[1], LEAST_OF_OWNED if owner else LEAST):
            continue
        if len(row[1]) > 200 or not is_standalone(row[1]) or re.match("同上|见|无$", row[1]):
            continue
        name = re.sub(r"^[a-z]\w*\s+(?=[a-z]\w*\()", "", row[0])  # without its return type
        of = f"{owner} 的" if owner else ""
        thing = f"{of}{sort['sort']}{gap('a')}{name}"
        said = row[1].rstrip("。.；; ")
        verb = VERB.match(said) and not said.startswith(("是", "指"))
        yield Candidate("api", f"{thing} 的作用是什么", f"{thing}{' ' if verb else '：'}{said}")


def _repeated(explanations: Iterable[str]) -> set[str]:
    """Remarks of a few words below several rows, which are no part of an explanation: 永久更改。"""
    said = Counter(one for text in explanations for one in sentences(text)[1:])
    return {one for one, times in said.items() if times > 1 and len(one) <= MAX_REMARK}


def cells(line: str) -> list[str]:
    """A row's cells without marks of code and emphasis."""
    bare = line.strip().strip("|").replace("\\|", "\ue000")
    return [
        re.sub(r"[`]|\*\*", "", cell).replace("\ue000", "|").strip() for cell in bare.split("|")
    ]


def _owner(title: str) -> str:
    """The command or class that a heading names: "tar", from "tar 命令的选项"."""
    bare = core(title)
    match = re.match(
        r"(?P<x>[A-Za-z_][\w.\-]*)\s*(?:$|命令|函数|类|对象|标签|元素|接口|组件|的)", bare
    )
    # "High", a plain word with a capital: a level or a page, whose members have another owner.
    return match["x"] if match and not re.fullmatch("[A-Z][a-z]+", match["x"]) else ""
