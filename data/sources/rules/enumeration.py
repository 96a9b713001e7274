"""Enumerations: a list that a line announces, and one within a sentence."""

import re
from collections.abc import Iterator, Sequence

from data.records import ITEM, Block
from data.sources.rules.nouns import core, is_definable, is_term, leading_term, tags
from data.sources.rules.registry import Bad, Candidate, Good, Place, rule
from data.sources.sentence import is_standalone, polish, strip_lead
from data.text import sentences

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
_PARTS = re.compile(
    r"^(?P<x>[^，。；：？！]{2,30}?)(?:主要|通常|一般|大致|都|又|也|可以?"
    r"|常见的?)*(?P<verb>分为|分成|由)(?P<rest>[^。？！：]{6,120}?)(?P<by>组成|构成)?[。]?$"
)


_NUMBERS = {sign: number for number, sign in enumerate("一二三四五六七八九十", 1)}
_NUMBERS |= {"两": 2} | {str(number): number for number in range(1, 10)}
_COUNTED = re.compile(
    r"(?:有|分为|分成|包括|包含|支持|提供|由)[^，。]{0,6}?(?<!\d)([一两二三四五六七八九十1-9])(?!\d|十)\s*"
    r"(?:个|种|类|大|点|步|层|级|方面|部分|阶段)[^，。]{0,12}[：:]$"
)


def items_after(blocks: Sequence[Block], index: int) -> list[Block]:
    """The list items of outermost depth that follow a block, up to the first other block."""
    found: list[Block] = []
    for block in blocks[index + 1 :]:
        if block.kind != ITEM:
            break
        if found and block.path != found[0].path:
            break  # the next section begins with a list, too
        if not block.marker or (found and block.depth != found[0].depth):
            return []  # nested or several paragraphs long: its shape would be lost
        if found and not _goes_on(found[-1].marker, block.marker):
            return []  # another list begins
        found.append(block)
    return found


def _goes_on(before: str, marker: str) -> bool:
    """Is a marker that of the next item of the same list?"""
    numbers = [re.sub(r"\D", "", text) for text in (before, marker)]
    if all(numbers):
        return int(numbers[1]) > int(numbers[0])
    return not any(numbers) and before == marker


@rule(
    "introduction",
    kinds=("enumeration",),
    patterns=(_INTRODUCTION, _AS_FOLLOWS),
    good=[
        Good(
            "GPU 的内存分为三种：\n\n- 寄存器：每个线程私有\n- 共享内存\n- 全局内存",
            "GPU 的内存可以分为哪几种？",
            "GPU 的内存分为三种：（1）寄存器：每个线程私有；（2）共享内存；（3）全局内存。",
        ),
        Good(
            "矩阵转置的步骤如下：\n\n1. 分块读取矩阵\n2. 展开最内层的循环",
            "矩阵转置的步骤是什么？",
            "矩阵转置的步骤：（1）分块读取矩阵；（2）展开最内层的循环。",
        ),
    ],
    bad=[
        Bad("它分为两种：\n\n- 静态\n- 动态", "它: what?"),
        Bad("内存分为两种：\n\n- 片上\n  - 快\n- 片外", "nested: its shape would be lost"),
    ],
)
def _introduction(at: Place) -> Iterator[Candidate]:
    text = strip_lead(at.block.text.strip())
    text = re.split(r"(?<=[。！？])\s*", text)[-1]
    text = strip_lead(text)
    if not text.endswith(("：", ":")):
        return
    items = items_after(at.blocks, at.index)
    if not 2 <= len(items) <= MAX_ITEMS:
        return
    if any(item.text.rstrip().endswith(("？", "?")) for item in items):
        return  # questions, which the text below answers
    if (told := _COUNTED.search(text)) and _NUMBERS[told.group(1)] != len(items):
        return  # "有两种写法：" and four items: what is what?
    question = _question(text)
    answer = _answer(text, items)
    if question and is_standalone(question) and len(answer) <= MAX_ANSWER:
        yield Candidate("enumeration", question, answer)


def _question(text: str) -> str:
    if match := _INTRODUCTION.match(text):
        subject = re.sub(r"^(?:在|对于|关于)\s*", "", match["x"])
        subject = re.sub(r"[，,]?\s*(?:大致|主要|通常|一般)$", "", subject)
        if not _is_topic(subject):
            return ""
        verb = {"由": "由", "划分成": "分为", "分成": "分为"}.get(match["verb"], match["verb"])
        noun = re.sub(
            r"^(?:完全)?(?:不同|相同)的|^(?:大|许多|多种)(?=.{2})", "", match["noun"].strip()
        )
        if re.search(r"[的了]$|的|和|可以|如下|以下", noun) or (noun and not is_term(noun, 12)):
            noun = ""
        unit = match["unit"] or ""
        if verb == "由":
            return f"{subject}由哪些部分组成"
        if verb == "分为":
            if not unit or (unit == "个" and not noun):
                return ""  # parts, kinds or steps?
            return f"{subject}可以分为哪几{unit}{noun}"
        what = noun or {"步": "步骤", "部分": "部分", "阶段": "阶段"}.get(unit, "")
        if not what:
            return ""  # "包括哪些内容" asks for anything
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
    if re.search(
        r"^具体|是一|^详细|我们|这|那|它|该|此|其(?!他)|上述|如下|以下|可以看|通过|如果|例子|代码里",
        text,
    ):
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
        body = polish("".join(said)).rstrip("。；;，,.")
        parts.append(f"（{number}）{body}")
    return intro.rstrip("：:") + "：" + "；".join(parts) + "。"


def verb_first(text: str) -> bool:
    """Does a list begin with a verb? Then it tells what is done, not what there is."""
    found = tags(text)
    return bool(found) and found[0][1] == "v"


@rule(
    "parts",
    kinds=("enumeration",),
    patterns=(_PARTS,),
    good=[
        Good("浮点数由符号位、指数位和尾数位组成。", "浮点数由哪些部分组成？"),
        Good("存储层次结构分为寄存器、高速缓存和主存三类。", "存储层次结构分为哪几种？"),
    ],
    bad=[
        Bad("CUDA 工具包由一个编译器组成。", "one thing is no enumeration"),
    ],
)
def _parts(at: Place) -> Iterator[Candidate]:
    match = _PARTS.match(at.sentence)
    if not match or not is_definable(match["x"], 26):
        return
    named = match["rest"].split("，")[0]
    listed = len(re.findall(r"、|和|以及|及|与", named))
    several = named.count("、") >= 1 or re.match(r"[两二三四五六\d]\s*[个种类级层]", match["rest"])
    if not listed or not several:
        return
    if verb_first(named) or re.search(r"\d、\d", named):
        return  # "支持读写 1、2、4 字节的字": one thing, with several values
    subject, verb = core(match["x"]), match["verb"]
    if verb == "由":
        if match["by"]:
            yield Candidate("enumeration", f"{subject}由哪些部分组成", at.sentence)
        return
    if match["by"]:
        return
    if verb in ("分为", "分成"):
        unit = re.match(r"(?:[两二三四五六七八\d]+)\s*([种类级层个])", match["rest"])
        if unit and unit.group(1) == "个":
            return
        yield Candidate(
            "enumeration", f"{subject}分为哪几{unit.group(1) if unit else '种'}", at.sentence
        )
