"""List items that explain a term: “术语：解释”."""

import re
from collections.abc import Iterator

from data.records import Block
from data.sources.rules.nouns import core, is_definable, is_term
from data.sources.rules.phrases import gap, title_term
from data.sources.rules.registry import Bad, Candidate, Good, Place, rule
from data.sources.sentence import is_standalone, strip_lead
from data.text import cjk_share

_EXPLAINS = re.compile(r"^(?P<term>.{1,60}?)\s*(?:[：:](?!//)|——|--|—)\s*(?P<text>.{6,})$", re.S)
_VERB = re.compile(
    r"^(?:主要|通常|一般)?(?:用于|用来|用以|是|指(?![令针向数])|表示|代表|返回|提供|负责"
    r"|可以|能够?|会|将|让|使(?!得)|存放|存储|保存|记录|控制|支持|获取|定义|声明"
    r"|标识|只能|必须|执行|实现|完成|等待|释放|分配|阻塞|查询|设置|创建|指定)"
)
_DEFINES = re.compile(
    r"^(?:就|也|主要|通常)?(?:是|指(?![令针向数])|即|表示|代表|全称)"
    r"|^[^，。]{2,40}的(?:集合|缩写|统称|总称|过程|函数|工具)"
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
            "- **常量内存**：是只读的、带缓存的内存空间\n- 别的",
            "什么是常量内存？",
            "常量内存是只读的、带缓存的内存空间。",
        ),
        Good(
            "- **循环展开**：编译器把循环体重复几遍\n- 别的",
            "请简要说明循环展开。",
            "循环展开：编译器把循环体重复几遍。",
        ),
    ],
    bad=[
        Bad("- 速度：每个线程私有，速度最快\n- 别的", "速度 of what? Its author did not mark it"),
        Bad("- **循环展开**：避免在循环体很大时使用\n- 别的", "advice about the term"),
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
    if body.endswith(("：", ":")) or len(body) < 8 or cjk_share(body) < 0.25:
        return
    if re.match(
        r"没有|不(?!同)|无需|请|建议|检查|确认|注意|避免|尽量|准备|记得|点击|如果|若", body
    ):
        return  # advice about the term
    if re.match(r"习题|练习|foo|bar", term):
        return
    if re.search(r" [*=+] |[=+]\s*\d", body):  # a formula explains nothing by itself
        return
    joiner = "" if _VERB.match(body) else "："
    shown = match["term"].strip("「」* ")
    answer = f"{shown}{' ' if joiner == '' and shown[-1].isascii() else ''}{joiner}{body}"
    code_like = re.search(r"[_()<>]|[a-z][A-Z]", term)
    if code_like or re.match(r"(?:主要)?(?:用于|用来|负责)", body):
        yield Candidate("api" if code_like else "purpose", f"{term}的作用是什么", answer)
    elif _DEFINES.match(body):
        yield Candidate("definition", f"什么是{' ' if term[0].isascii() else ''}{term}", answer)
    else:
        # "load", "Elements": a plain word needs the heading that it stands under.
        about = ""
        if len(body) < 10:
            return
        if re.fullmatch(r"[a-z]+", term):
            about = title_term(block.path)
            if not is_term(about, 20):
                return
        within = f"{gap(about)}{about}中的" if about else ""
        yield Candidate("explain", f"请简要说明{within}{gap(term)}{term}", answer)


def _is_name(term: str, block: Block) -> bool:
    """An identifier, or a term the author marked, that is clear outside its list."""
    if re.fullmatch(r"[A-Za-z_][\w.:<>()\-/ ]{1,40}", term, re.ASCII):
        words = re.findall(r"[A-Za-z]+", term)
        return bool(words) and len(words) <= 5 and (len(term) > 2 or term.isupper())
    marked = any(core(marked) == term for marked in block.terms)
    specific = re.search(r"[A-Za-z]{2,}", term) or len(term) >= 4
    return bool(marked and specific and is_definable(term, 20))
