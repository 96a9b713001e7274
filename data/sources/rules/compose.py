"""An answer of several blocks: their prose as it can stand alone, lists and code as printed."""

import re
from collections.abc import Sequence

from data.records import CODE, ITEM, PARAGRAPH, Block
from data.sources.sentence import (
    is_standalone,
    points_elsewhere,
    polish,
    strip_lead,
    with_keys,
    without_gaps,
)
from data.text import cjk_share, sentences

MAX_ANSWER, MAX_LINES, LEAST_PROSE = 700, 24, 4
# 如下 at the end of what announces a list or code points at what stands in the answer itself.
_ANNOUNCES = re.compile(r"(?:如下|以下|下面|下列|这样)(?:所示|这样)?(?=[^。；]{0,24}[：:]$)")
# "我们可以用 X" tells what one can do: as true without 我们.
_IMPERSONAL = re.compile(
    r"(?:我们|你|您|大家|咱们)(?:就)?(?=(?:也|还)?(?:可以?|需要|应该?|必须|只需|只要|能够?|通常|一般|不能|不需))"
)
_LEFT_OUT = re.compile(
    r"^\s*(?://|#|--)?\s*(?:\.\.\.+|…+|\[\.\.\.\])\s*$|(?://|#|--).*(?:\.{3}|…|省略)", re.M
)
# "vi /etc/my.cnf" opens what the next block would show.
_ONLY_OPENS = re.compile(r"\s*(?:[$#>]\s*)?(?:sudo\s+)?(?:vim?|nano|cd|cat|touch|mkdir)\s+\S+\s*$")
# Titles of boxes whose marks the reader has taken off.
_BOX = re.compile(
    r"(?:说明|注意|提示|警告|重要|信息|备注|注|小贴士|[Nn]ote|[Tt]ip|[Ww]arning)[。：:]?"
)
# The purpose of something that was named before: "方便安装扩展时检测版本。"
_OPENS_MIDWAY = re.compile(r"(?:方便|便于|以便|以免|毕竟)(?!的)")
# Lists of steps for one exercise.
OF_EXERCISES = re.compile(
    r"^(?:第.{1,3}[章节]\s*)?(?:课后|上机|动手)?(?:练习|习题|实验)\s*(?:[\d一二三四五六七八九十]|[：:]|$)"
)
_FENCED = re.compile(r"^(`{3,}).*?^\1$", re.M | re.S)
# What no answer may hold: the author, links, figures, answers to somebody, exercises.
_NOT_TOLD = re.compile(
    r"[\U0001f300-\U0001faff⭐✨]|"
    r"https?:|www\.|\b(?:TODO|FIXME)\b|笔者|博主|讲师|老师|作者|读者|同学|我(?!们)|练习|作业|思考题|@\w+"
    r"|(?<![常罕少多可不意成偏预再易听看遇])见[：:]"  # 详见：, not 常见：
    r"|(?:[（(]|此处|以下|其余|其他|代码|下文|从)[从省]?略[。）)]"  # （略）, 此处省略。; not 策略。
    r"|截图|文档中|图片|视频|公众号|点击|[？?]\s*$|待续|上[述面]|前[述面]|刚才|之前[的所提讲说]|前文"
    r"|[^。]*(?:本|下|上|前)(?:一)?[节章篇]",
    re.M,
)


def compose(blocks: Sequence[Block]) -> str:
    """The blocks as one answer, or "" where it would be too long or does not stand alone."""
    parts: list[str] = []
    prose: list[str] = []
    lines = 0
    if any(OF_EXERCISES.match(title) for title in blocks[0].path) or _repeats_code(blocks):
        return ""
    blocks = [block for block in blocks if block.kind == CODE or not _is_box(block.text)]
    for number, block in enumerate(blocks):
        following = blocks[number + 1] if number + 1 < len(blocks) else None
        if block.kind == CODE:
            lines += block.text.count("\n") + 1
            if (
                _LEFT_OUT.search(block.text)
                or "&gt;" in block.text
                or _ONLY_OPENS.match(block.text)
            ):
                return ""
            parts.append(f"```{block.language}\n{block.text}\n```")
            continue
        if block.kind not in (PARAGRAPH, ITEM):
            return ""
        said = with_keys(impersonal(strip_lead(block.text.strip())))
        announces = said.endswith(("：", ":"))
        if announces and (following is None or following.kind not in (CODE, ITEM)):
            return ""
        bare = _ANNOUNCES.sub("", said) if announces else said
        if not all(not points_elsewhere(one) for one in sentences(bare)) or not bare:
            return ""
        prose.append(bare)
        said = said if announces or block.kind == ITEM else polish(said)
        marker = f"{'  ' * max(0, block.depth - 1)}{block.marker or ' '} "
        said = marker + said if block.kind == ITEM else said
        listed = block.kind == ITEM and number and blocks[number - 1].kind == ITEM
        parts.append(("\n" if listed else "\n\n" if parts else "") + said)
    text = "".join(f"\n{part}" if part.startswith("```") else part for part in parts).strip()
    told = "".join(prose)
    if (
        not prose
        or _OPENS_MIDWAY.match(prose[0])
        or not is_standalone(prose[0])
        or _NOT_TOLD.search("\n".join(prose))
    ):
        return ""
    chinese = len(re.findall("[\u4e00-\u9fff]", told))
    if chinese < LEAST_PROSE or cjk_share(told) < 0.25:
        return ""
    return text if len(text) <= MAX_ANSWER and lines <= MAX_LINES else ""


def _is_box(text: str) -> bool:
    return bool(_BOX.fullmatch(text.strip().strip("*_ ")))


def _repeats_code(blocks: Sequence[Block]) -> bool:
    """The same code under two steps: one of them is a slip of the book."""
    code = [block.text.strip() for block in blocks if block.kind == CODE]
    return len(code) > len(set(code))


def prose_of(answer: str) -> str:
    """A composed answer without its code."""
    return _FENCED.sub("", answer).strip()


def close_gaps(answer: str) -> str:
    """An answer whose Chinese has no spaces inside; its code stays as it is."""
    parts = re.split(r"(^```.*?^```$)", answer, flags=re.M | re.S)
    return "".join(part if part.startswith("```") else without_gaps(part) for part in parts)


def impersonal(text: str) -> str:
    """Without 我们 and 你 where they tell what anybody can or has to do.

    >>> impersonal("我们可以用 auto 声明变量")
    '可以用 auto 声明变量'
    """
    return _IMPERSONAL.sub("", text)
