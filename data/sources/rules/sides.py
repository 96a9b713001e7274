"""A table that sets two things side by side: named by its header, line by line."""

import re
from collections.abc import Iterator

from data.sources.rules.nouns import core, is_definable
from data.sources.rules.phrases import spaced
from data.sources.rules.registry import Bad, Candidate, Good, Place, rule
from data.sources.rules.table import cells

MAX_ROWS, MAX_CELL = 8, 60
_SIDE = re.compile(
    r"|特性|特点|对比项?|比较项?|项目|区别|方面|维度|类别|属性|指标|名称|差异|比较|对比内容|比较内容"
)


@rule(
    "sides",
    kinds=("comparison",),
    patterns=(_SIDE,),
    good=[
        Good(
            "# TCP 和 UDP\n\n| 特性 | TCP | UDP |\n| --- | --- | --- |\n"
            "| 连接 | 先建立连接 | 不建立连接 |\n| 顺序 | 按顺序到达 | 不保证顺序 |",
            "TCP和 UDP有什么区别？",
            "TCP和 UDP的区别：连接：TCP 先建立连接，UDP 不建立连接；"
            "顺序：TCP 按顺序到达，UDP 不保证顺序。",
        )
    ],
    bad=[
        Bad(
            "# TCP 和 UDP\n\n| 姓名 | TCP | UDP |\n| --- | --- | --- |\n"
            "| 小李 | 六次 | 三次 |\n| 小王 | 两次 | 九次 |",
            "rows are no sides of the two",
        ),
        Bad(
            "# TCP 和 UDP\n\n| 特性 | TCP | UDP |\n| --- | --- | --- |\n"
            "| 连接 | 先建立连接 | 不建立连接 |",
            "one row",
        ),
    ],
)
def _sides(at: Place) -> Iterator[Candidate]:
    rows = [cells(line) for line in at.block.text.split("\n") if "|" in line]
    if not 4 <= len(rows) <= MAX_ROWS + 2 or any(len(row) != 3 for row in rows):
        return
    side, first, second = rows[0]
    if not _SIDE.fullmatch(side) or not _is_name(first) or not _is_name(second):
        return
    told = []
    for name, left, right in rows[2:]:
        if not all(1 <= len(cell) <= MAX_CELL for cell in (name, left, right)):
            return
        if left != right:
            told.append(f"{name}：{core(first)} {left}，{core(second)} {right}")
    if len(told) >= 2:
        answer = f"{core(first)}和{spaced(core(second))}的区别：{'；'.join(told)}。"
        yield Candidate("comparison", f"{core(first)}和{spaced(core(second))}有什么区别", answer)


def _is_name(text: str) -> bool:
    return is_definable(text, 20) or bool(re.fullmatch(r"[A-Za-z_][\w .:+\-()]{1,24}", text))
