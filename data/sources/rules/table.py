"""Tables: what a cell says of its row, read under its heading."""

import re
from collections.abc import Iterator, Sequence

from data.sources.rules.nouns import core, is_definable, is_term
from data.sources.rules.phrases import gap, title_term
from data.sources.rules.registry import Bad, Candidate, Good, Place, rule
from data.text import normalise, tidy

# A column that describes its row as a whole, instead of naming one attribute.
_DESCRIBES = re.compile(r".{0,6}(?:描述|说明|解释|介绍|简介)|操作|动作")
# A column that names one attribute. In a table of "哈希表 | 数组" by "查找元素" the columns are
# things and the rows are their attributes: nothing is asked of it.
_ATTRIBUTE = re.compile(
    r"[\u4e00-\u9fff]{0,6}(?:类型|位数|数位|用途|范围|命令|含义|意义|默认值|单位|格式|名称|名字|全称|缩写"
    r"|别名|端口|版本|扩展名|后缀|路径|符号|位置|作用域|生命周期|复杂度|标准|语言|工具|指令|选项|许可证|内容"
    r"|注释|关键词|定位|返回值|服务名|组件|表达式|效果|属性|函数|后端|结构|作用|特点|特征|特性)"
)
_TABLE = "# 9.4 浮点格式\n\n| 类型 | 位数 | 说明 |\n|---|---|---|\n| FP16 | 16 | {} |\n"


@rule(
    "table",
    kinds=("explain", "fact"),
    patterns=(_DESCRIBES,),
    good=[
        Good(
            _TABLE.format("用于深度学习训练"),
            "关于浮点格式，FP16的位数是多少？",
            "FP16的位数是16。",
        ),
        Good(
            _TABLE.format("用于深度学习训练"),
            "请简要说明浮点格式中的 FP16。",
            "FP16：用于深度学习训练。",
        ),
    ],
    bad=[
        Bad(
            "# 9.5 测试\n\n| 程序 | 耗时 |\n|---|---|\n| matmul | 3.5 ms |\n",
            "a measurement means nothing without its experiment",
        ),
        Bad("# 9.6 命令\n\n| 命令 | 描述 |\n|---|---|\n| (gdb) bt | 查看调用栈 |\n", "a prompt"),
        Bad("# 9.6 命令\n\n| 命令 | 描述 |\n|---|---|\n| pstree | 同上 |\n", "同上: which row?"),
    ],
)
def _table(at: Place) -> Iterator[Candidate]:
    """Of a table whose first column names things and whose header says what is told of them.

    The question names the heading as well: "Linux 控制台的命令" alone could be any command.
    """
    rows = [
        [_cell(cell) for cell in line.strip().strip("|").split("|")]
        for line in at.block.text.split("\n")
    ]
    if len(rows) < 3 or not re.fullmatch(r"[\s:\-|]+", at.block.text.split("\n")[1]):
        return
    for row in rows[2:]:
        if len(row) != len(rows[0]) or not _is_row_name(row[0]):
            continue
        about = _about(at.block.path, core(row[0]))
        if about is None:
            continue
        for title, cell in zip(rows[0][1:], row[1:], strict=True):
            if not (_is_measurement(title, cell) or _is_empty(cell)):
                yield from _ask(about, row[0], title, re.sub(r"[。.,，、;；* ]+$", "", cell))


def _is_measurement(title: str, cell: str) -> bool:
    """A number that means nothing without the experiment that gave it."""
    if re.fullmatch(r"\d+\.\d+\s*[A-Za-z/%]*|\d+\s*[A-Za-z/%]+", cell):
        return True
    measured = re.search(r"大小|长度|容量|延迟|时间|耗时|速度|带宽|频率$", title)
    return bool(measured and re.fullmatch(r"[\d.,]+", cell))


def _is_empty(cell: str) -> bool:
    """A dash, a tick, "the same as above", or a path of menus ("文件：：打开")."""
    return len(cell) < 2 or bool(re.fullmatch(r"[-—–/无×✓√\s]+|同[上左]|.*：：.*", cell))


def _ask(about: str, row: str, title: str, cell: str) -> Iterator[Candidate]:
    name = core(row)
    if _DESCRIBES.fullmatch(title):
        if _adds_to(name, cell):
            within = f"{about}中的" if about else ""
            asked = f"请简要说明{gap(within or name)}{within}{gap(name)}{name}"
            yield Candidate("explain", asked, f"{row}：{cell}。")
    elif _ATTRIBUTE.fullmatch(title) and is_term(title, 8):
        number = re.match(r"[约\d]", cell)
        if number and not re.fullmatch(r"约?\s*[\d,.]+\s*\S{0,8}", cell):
            return
        if normalise(name) in normalise(cell) and not _adds_to(name, cell):
            return  # "makepatch 的命令是 makepatch(1)"
        joiner = "是" if number or re.fullmatch(r"[^，；。：、\s]{2,12}", cell) else "："
        asked = f"{name}的{title}{'是多少' if number else '是什么'}"
        within = f"关于{gap(about)}{about}，" if about else ""
        yield Candidate("fact", within + asked, f"{row}的{title}{joiner}{cell}。")


def _cell(text: str) -> str:
    """A cell without Markdown's marks; they stand inside it as often as around it."""
    text = re.sub(r"!?\[([^\]]*)\]\([^)]*\)", r"\1", tidy(text))
    text = re.sub(r"`|\*\*|\\(?=[|`*_])", "", text)
    return re.sub(r"(?<!\w)\*([^*\s][^*]*)\*(?!\w)", r"\1", text).strip()


def _is_row_name(text: str) -> bool:
    """An identifier, a command or a term, whole: no prompt, no open quote, no trailing colon."""
    if re.search(r"[\"“”'$:：]|^\(|^-|…$|\.\.$|^(?:N/A|无|其[他它])$", text):
        return False
    return bool(
        re.fullmatch(r"[A-Za-z_/][\w.<>()\-/+ ]{1,40}", text, re.ASCII) or is_definable(text, 20)
    )


_PLURAL = re.compile(r"^(?:各种|各类|几种|几类|常[见用]的?|主要的?)")


def _about(path: Sequence[str], name: str) -> str | None:
    """The heading that a row needs to be understood, "" where its name says enough.

    None when the heading names nothing: the row then stands without what it is about.
    """
    if re.search(r"[_/.]|[a-z][A-Z]", name) or name.lower() in title_term(path).lower():
        return ""
    titles = (
        _PLURAL.sub("", title_term(path[:end]))
        for end in range(len(path), max(len(path) - 2, 0), -1)
    )
    return next((title for title in titles if is_term(title, 20)), None)


def _adds_to(name: str, cell: str) -> bool:
    """Does a description say more than the name that it describes?"""
    return len(set(normalise(cell)) - set(normalise(name))) >= 3
