"""A section that is a list, under a heading that names one side of a thing: X 的优点, 步骤."""

import re
from collections.abc import Iterator, Sequence

from data.records import ITEM, Block
from data.sources.rules.enumeration import MAX_ANSWER, items_after
from data.sources.rules.nouns import core, is_definable, is_everyday, is_term
from data.sources.rules.phrases import unnumbered
from data.sources.rules.registry import Bad, Candidate, Good, Place, rule
from data.sources.sentence import is_standalone, polish, strip_lead
from data.text import cjk_share

MAX_LISTED = 8
_ASPECT = re.compile(
    r"^(?P<x>.*?)\s*的?\s*(?P<a>(?:主要|核心|基本|常见|典型)?"
    r"(?:优点|缺点|特点|特性|特征|优势|劣势|局限性?|好处|应用场景|使用场景|适用场景|步骤))$"
)
_ONE_COURSE = re.compile("步骤")
_OF_THE_BOOK = re.compile(
    r"[本这]|优缺点|^高级$|学习|课程|面试|背景|其[他它]|新|[和与及、/]|概述|简介|介绍|总结|小结|安装|部署|升级|使用$"
)


@rule(
    "aspect",
    kinds=("enumeration",),
    patterns=(_ASPECT,),
    good=[
        Good(
            "# 消息队列的优点\n\n- 让上下游各自独立地伸缩\n- 在高峰时把请求排起来",
            "消息队列的优点有哪些？",
            "消息队列的优点：（1）让上下游各自独立地伸缩；（2）在高峰时把请求排起来。",
        ),
        Good(
            "# 归并排序\n\n## 步骤\n\n1. 把数组从中间分成两半\n2. 分别排好两半\n3. 合并两半",
            "归并排序的步骤是什么？",
            "归并排序的步骤：（1）把数组从中间分成两半；（2）分别排好两半；（3）合并两半。",
        ),
    ],
    bad=[
        Bad("# 特点\n\n- 便宜\n- 耐用的外壳", "of what?"),
        Bad("# 甲板和船舱的特点\n\n- 一个在上面\n- 一个在下面的里头", "which of the two?"),
        Bad(
            "# 消息队列\n\n## 消息队列的优点\n\n- 让上下游各自独立地伸缩\n\n"
            "## 消息队列的缺点\n\n- 多了一个要维护的部件",
            "one item; the next section has a list of its own",
        ),
        Bad("# 消息队列的优点\n\n- 让上下游独立伸缩\n\n别的用处见下一章。", "the list is not all"),
    ],
)
def _aspect(at: Place) -> Iterator[Candidate]:
    block = at.block
    if not at.opens_section or not block.path:
        return
    start = at.index if block.kind == ITEM else at.index + 1
    items = _whole_section(at.blocks, at.index, start)
    asked = _subject_and_aspect(block.path)
    if not items or not asked:
        return
    subject, aspect = asked
    said = [polish(strip_lead(item.text)).rstrip("。；;，,.") for item in items]
    if sum(map(len, said)) < 6 * len(said) or not all(map(is_standalone, said)):
        return
    listed = "；".join(f"（{number}）{text}" for number, text in enumerate(said, 1))
    answer = f"{subject}的{aspect}：{listed}。"
    if len(answer) <= MAX_ANSWER and cjk_share(answer) > 0.3:
        ask = "是什么" if _ONE_COURSE.search(aspect) else "有哪些"
        yield Candidate("enumeration", f"{subject}的{aspect}{ask}", answer)


def _whole_section(blocks: Sequence[Block], first: int, start: int) -> list[Block]:
    """The items of a section that is one list, after at most one line that announces it."""
    if start > first and not (
        blocks[first].text.rstrip().endswith(("：", ":")) and len(blocks[first].text) <= 60
    ):
        return []
    items = items_after(blocks, start - 1)
    end = start + len(items)
    if not 2 <= len(items) <= MAX_LISTED:
        return []
    if end < len(blocks) and blocks[end].path == blocks[first].path:
        return []  # something stands below the list
    return items if items[0].path == blocks[first].path else []


def _subject_and_aspect(path: Sequence[str]) -> tuple[str, str] | None:
    """(消息队列, 优点) from the heading, or from it and the one above."""
    match = _ASPECT.match(core(unnumbered(path[-1])))
    if not match:
        return None
    subject = match["x"].strip()
    if not subject and len(path) > 1:
        subject = core(unnumbered(path[-2]))
    if len(subject) < 2 or _OF_THE_BOOK.search(subject) or not is_term(match["a"], 8):
        return None
    if subject.endswith(("关键", "安全", "核心", "知识点")) or (
        not re.search("[A-Z]", subject) and is_everyday(subject)
    ):
        return None  # "安全的特性": of one project
    return (subject, match["a"]) if is_definable(subject, 20) else None
