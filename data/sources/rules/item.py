"""List items that explain a term: “术语：解释”."""

import re
from collections.abc import Iterator

from data.records import Block
from data.sources.rules.nouns import core, is_definable, is_everyday
from data.sources.rules.phrases import ACTS, TELLS, VERB, gap, says_enough
from data.sources.rules.registry import Bad, Candidate, Good, Place, rule
from data.sources.sentence import is_standalone, strip_lead
from data.text import cjk_share

MAX_BODY = 240  # a longer one is an essay that begins with its topic
_EXPLAINS = re.compile(
    r"^(?P<term>.{1,60}?)\s*(?:(?<![：:])[：:](?![/：:])|——|--|—|\s[-–]\s)\s*(?P<text>.{6,})$", re.S
)
_DEFINES = re.compile(
    r"^(?:就|主要|通常)?(?:是|指(?![令针向数定])|一[种个类款套组])"
    r"|^[^，。]{2,40}的(?:集合|缩写|统称|总称|过程|函数|工具)"
)
# What stands in no term: advice, an entry of a list of links, a reference to the line before.
_NO_EXPLANATION = re.compile(
    r"没有|不(?!同)|无需|请|建议|检查|确认|注意|避免|尽量|准备|记得|点击|如果|若|[此该这]|相当于"
    r"|.{0,80}(?:教程|文章|视频|博客|论文|网站|ppt|书籍|课程|主页|链接|指南|详解)"
    r"|.* [*=+] |.*[=+]\s*\d",
    re.S,
)
_OF_ONE_PLACE = re.compile(
    r"[-$.]|\d|.*[_.:]$|(?:void|int|public|private|static|const|char|double|float|bool|String) "
    r"|习题|练习|foo|bar|.*(?:/|\.(?:txt|c|md|py|sh|json|html|log)\b)"
)
_SORT_OF_THING = re.compile(
    r"(?:算法|协议|排序|定理|分布|攻击|网络|学习|编码|[^开]锁|索引|树|损失|正则化|范式)$"
)
_DOES = re.compile(
    r"^(?P<term>[^，。；：]{1,40}?)\s*(?P<text>(?:主要)?(?:用于|用来|负责|是指|指的是|表示"
    r"|返回|称之?为|即)(?![兴令刻将])[^：:]{4,})$"
)


@rule(
    "item",
    kinds=("api", "purpose", "definition", "explain"),
    patterns=(_EXPLAINS, _DOES),
    good=[
        Good(
            "- `cudaMalloc`：用于分配设备内存\n- 别的",
            "cudaMalloc的作用是什么？",
            "cudaMalloc 用于分配设备内存。",
        ),
        Good(
            "- **共享内存**用于线程块内的数据交换\n- 别的",
            "共享内存的作用是什么？",
            "共享内存用于线程块内的数据交换。",
        ),
        Good(
            "- **常量内存**：是只读的、带缓存的一块设备内存空间\n- 别的",
            "什么是常量内存？",
            "常量内存是只读的、带缓存的一块设备内存空间。",
        ),
        Good(
            "- Nsight Compute：收集一个核函数的各项硬件计数并给出建议\n- 别的",
            "请简要说明 Nsight Compute。",
            "Nsight Compute 收集一个核函数的各项硬件计数并给出建议。",
        ),
    ],
    bad=[
        Bad("- 速度：每个线程私有，速度最快\n- 别的", "速度 of what? Its author did not mark it"),
        Bad("- **循环展开**：避免在循环体很大时使用\n- 别的", "advice about the term"),
        Bad("- **吞吐提升**：与旧的版本相比，每秒多处理一倍的请求\n- 别的", "of one case"),
        Bad("- Windows：图形化安装，默认带有插件\n- 别的", "a step of one procedure"),
        Bad("- Shadow Tricks：某网站关于阴影贴图的一组教程\n- 别的", "a link"),
        Bad("- `School`：学校的名称、位置和电话\n- 别的", "a field of one program"),
    ],
)
def _item(at: Place) -> Iterator[Candidate]:
    block = at.block
    if not block.marker:
        return
    text = strip_lead(block.text.strip())
    match = _EXPLAINS.match(text) or _DOES.match(text)
    if not match:
        return
    if len(re.findall('["“”]', match["term"])) % 2:
        return
    term, body = core(match["term"].strip("「」 ")), match["text"].strip()
    if not _is_name(term, block) or not is_standalone(body.split("，")[0]):
        return
    if body.endswith(("：", ":")) or not 8 <= len(body) <= MAX_BODY or cjk_share(body) < 0.25:
        return
    if _NO_EXPLANATION.match(body) or _OF_ONE_PLACE.match(term):
        return
    shown = match["term"].strip("「」* ")
    joiner = "" if VERB.match(body) or (shown[-1].isascii() and ACTS.match(body)) else "："
    if joiner and re.match("一[个种类款套]", body):
        joiner = "是"
    answer = f"{shown}{' ' if joiner != '：' and shown[-1].isascii() else ''}{joiner}{body}"
    code_like = term.isascii() and re.search(r"[_()<>]|[a-z][A-Z]", term)
    says = bool(VERB.match(body) or re.match(r"[^，。]{2,12}，(?:表示|用于|用来|返回)", body))
    if code_like:
        if says and says_enough(body, 8):
            yield Candidate("api", f"{term}的作用是什么", answer)
    elif re.match(r"(?:主要)?(?:用于|用来|负责)", body):
        yield Candidate("purpose", f"{term}的作用是什么", answer)
    elif _DEFINES.match(body) and says_enough(body, 8):
        yield Candidate("definition", f"什么是{gap(term)}{term}", answer)
    elif _is_marked_term(term, block) and TELLS.match(body) and says_enough(body, 14):
        yield Candidate("explain", f"请简要说明{term}", answer)
    # "性能提升" and "执行链码" are headings of what is told; "load", "INT" are anybody's.
    elif (
        re.fullmatch(r"(?![a-z]+$|[A-Z]{1,5}$|[A-Z][a-z]+$|.*\(.*,).*", term, re.ASCII)
        and term.isascii()
        and says_enough(body, 14)
        and (says or TELLS.match(body))
    ):
        yield Candidate("explain", f"请简要说明{gap(term)}{term}", answer)


def _is_marked_term(term: str, block: Block) -> bool:
    """A marked Chinese term with its English name, or of a sort that has names: 漏桶算法."""
    if re.search("[A-Za-z]", term) or len(term) < 4 or is_everyday(term):
        return False
    english = re.search(rf"{re.escape(term)}[*`]*\s*[（(][A-Za-z]{{3,}}", block.text)
    return bool(english or _SORT_OF_THING.search(term))


def _is_name(term: str, block: Block) -> bool:
    """An identifier, or a term the author marked, that is clear outside its list."""
    if re.fullmatch(r"[A-Za-z_][\w.:<>()\-/ ]{1,40}", term, re.ASCII):
        words = re.findall(r"[A-Za-z]+", term)
        return bool(words) and len(words) <= 5 and (len(term) > 2 or term.isupper())
    marked = any(core(marked) == term for marked in block.terms)
    specific = re.search(r"[A-Za-z]{2,}", term) or len(term) >= 4
    return bool(marked and specific and is_definable(term, 20))
