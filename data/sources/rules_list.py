"""Rules over lists: an announced enumeration, and items that explain a term."""

import re
from collections.abc import Iterator, Sequence

from data.records import ITEM, Block
from data.sources.nouns import core, is_definable, is_term, leading_term
from data.sources.sentence import is_standalone, polish, strip_lead
from data.text import cjk_share, sentences

Candidate = tuple[str, str, str]

MAX_ITEMS, MAX_ANSWER = 10, 600
_COUNT = (
    r"(?P<count>[\d两二三四五六七八九十]+|几|若干|多)?\s*"
    r"(?P<unit>个|种|类|点|步|层|级|方面|部分|阶段|大类|块|项|条)?"
)
_INTRODUCTION = re.compile(
    r"^(?P<x>[^。？！]{2,40}?)[，,]?\s*(?:大致|主要|通常|一般|又|也|都|常见的?|具体|自顶向下"
    r"|按.{1,8})*\s*(?:可以?|能)?(?:被)?"
    r"(?P<verb>包括|包含|分为|分成|划分为|由|有|具有|提供了?|支持|存在|定义了?|划分成)了?"
    rf"(?:如下|以下|下面|这|下列)?\s*{_COUNT}(?P<noun>[^，。：:]{{0,12}}?)(?:组成|构成)?\s*[：:]$"
)
_AS_FOLLOWS = re.compile(
    r"^(?P<x>[^。？！，]{2,40}?)(?:大致|主要|通常|一般|具体)*(?:如下|是|为|如下所示"
    r"|是这样的)\s*[：:]$"
)
_ANNOUNCES_TERMS = re.compile(
    r"^(?P<term>.{1,60}?)\s*(?:[：:](?!//)|——|--|—)\s*(?P<text>.{6,})$", re.S
)
_VERB = re.compile(
    r"^(?:主要|通常|一般)?(?:用于|用来|用以|是|指(?![令针向数])|表示|代表|返回|提供|负责"
    r"|可以|能够?|会|将|让|使(?!得)|存放|存储|保存|记录|控制|支持|获取|定义|声明"
    r"|标识|只能|必须|执行|实现|完成|等待|释放|分配|阻塞|查询|设置|创建|指定)"
)
_DEFINES = re.compile(
    r"^(?:就|也|主要|通常)?(?:是|指(?![令针向数])|即|表示|代表|全称)"
    r"|^[^，。]{2,40}的(?:集合|缩写|统称|总称|过程|函数|工具)"
)
_BARE_VERB = re.compile(
    r"^(?P<term>[^，。；：]{1,40}?)\s*(?P<text>(?:主要)?(?:用于|用来|负责|是指|指的是|表示"
    r"|返回|称之?为|即)(?![兴令刻将])[^：:]{4,})$"
)


def items_after(blocks: Sequence[Block], index: int) -> list[Block]:
    """The list items of outermost depth that follow a block, up to the first other block."""
    found: list[Block] = []
    for block in blocks[index + 1 :]:
        if block.kind != ITEM:
            break
        if not block.marker or (found and block.depth != found[0].depth):
            return []  # nested or several paragraphs long: its shape would be lost
        found.append(block)
    return found


def from_introduction(blocks: Sequence[Block], index: int) -> Iterator[Candidate]:
    """ "X 分为三类：" with its items."""
    text = strip_lead(blocks[index].text.strip())
    text = re.split(r"(?<=[。！？])\s*", text)[-1]
    text = strip_lead(text)
    if not text.endswith(("：", ":")):
        return
    items = items_after(blocks, index)
    if not 2 <= len(items) <= MAX_ITEMS:
        return
    question = _question(text)
    answer = _answer(text, items)
    if question and is_standalone(question) and len(answer) <= MAX_ANSWER:
        yield "enumeration", question, answer


def _question(text: str) -> str:
    if match := _INTRODUCTION.match(text):
        subject = re.sub(r"^(?:在|对于|关于)\s*", "", match["x"])
        subject = re.sub(r"[，,]?\s*(?:大致|主要|通常|一般)$", "", subject)
        if not _is_topic(subject):
            return ""
        verb = {"由": "由", "划分成": "分为", "分成": "分为"}.get(match["verb"], match["verb"])
        noun = match["noun"].strip()
        if re.search(r"[的了]$|和|可以|如下|以下", noun) or (noun and not is_term(noun, 12)):
            noun = ""
        unit = match["unit"] or ""
        if verb == "由":
            return f"{subject}由哪些部分组成"
        if verb == "分为":
            return f"{subject}可以分为哪几{unit or '个部分'}{noun if unit else ''}"
        what = noun or {"步": "步骤", "方面": "方面", "部分": "部分", "阶段": "阶段"}.get(
            unit, "内容"
        )
        return f"{subject}{verb.rstrip('了')}哪些{what}"
    match = _AS_FOLLOWS.match(text)
    if match and re.search(
        r"步骤|流程|过程|特点|特性|优点|缺点|作用|区别|原因|方法|公式|规则|条件|限制|要求"
        r"|参数|结构|功能|思路|策略|关系|原则|优势",
        match["x"][-8:],
    ):
        subject = re.sub(r"(?:有|具有|包括|也|都)$", "", match["x"]).strip()
        if _is_topic(subject):
            return f"{subject}是什么"
    return ""


def _is_topic(text: str) -> bool:
    """What an enumeration may be about: a noun phrase, possibly with 的 in it."""
    if re.search(r"我们|这|那|它|该|此|其(?!他)|上述|如下|以下|可以看|通过|如果|例子|代码里", text):
        return False
    if is_term(text, 30):
        return True
    head, _, tail = text.rpartition("的")
    return bool(head) and is_term(tail, 16) and bool(leading_term(head, 24)) and len(head) <= 24


def _answer(text: str, items: Sequence[Block]) -> str:
    intro = re.sub(r"(?:如下|以下|下面|下列)(?=[\d两二三四五六七八九十几]|[：:])", "", text)
    parts = []
    for number, item in enumerate(items, 1):
        said = sentences(item.text, semicolons=False)
        while len(said) > 1 and said[-1].endswith(("：", ":")):
            said.pop()  # announces what follows the list
        body = polish("".join(said)).rstrip("。；;，,")
        parts.append(f"（{number}）{body}")
    return intro.rstrip("：:") + "：" + "；".join(parts) + "。"


def from_item(blocks: Sequence[Block], index: int) -> Iterator[Candidate]:
    """ "术语：解释" in a list: the term must name a thing by itself."""
    block = blocks[index]
    if not block.marker:
        return
    text = strip_lead(block.text.strip())
    match = _ANNOUNCES_TERMS.match(text) or _BARE_VERB.match(text)
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
    if re.search(r" [*=+] |[=+]\s*\d", body):  # a formula explains nothing by itself
        return
    joiner = "" if _VERB.match(body) else "："
    shown = match["term"].strip("「」* ")
    answer = f"{shown}{' ' if joiner == '' and shown[-1].isascii() else ''}{joiner}{body}"
    code_like = re.search(r"[_()<>]|[a-z][A-Z]", term)
    if code_like or re.match(r"(?:主要)?(?:用于|用来|负责)", body):
        yield "api" if code_like else "purpose", f"{term}的作用是什么", answer
    elif _DEFINES.match(body):
        yield "definition", f"什么是{' ' if term[0].isascii() else ''}{term}", answer
    else:
        yield "explain", f"请简要说明{' ' if term[0].isascii() else ''}{term}", answer


def _is_name(term: str, block: Block) -> bool:
    """An identifier, or a term the author marked, that is clear outside its list."""
    if re.fullmatch(r"[A-Za-z_][\w.:<>()\-/ ]{1,40}", term, re.ASCII):
        words = re.findall(r"[A-Za-z]+", term)
        return bool(words) and len(words) <= 5 and (len(term) > 2 or term.isupper())
    marked = any(core(marked) == term for marked in block.terms)
    specific = re.search(r"[A-Za-z]{2,}", term) or len(term) >= 4
    return bool(marked and specific and is_definable(term, 20))
