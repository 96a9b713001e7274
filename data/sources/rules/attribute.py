"""What is so about a thing: X 的 A 是…, X 适合…."""

import re
from collections.abc import Iterator

from data.sources.rules.nouns import core, is_definable, is_owner, is_term, tags
from data.sources.rules.phrases import ENGLISH
from data.sources.rules.registry import Bad, Candidate, Good, Place, rule

_ATTRIBUTE = re.compile(
    rf"^(?P<x>[^，。；：？！,;:?!]{{1,30}}?{ENGLISH})\s*的(?P<a>[^，。；：的是为]{{2,12}}?)"
    r"(?:必须|只能|通常|一般|默认|主要|都|就|大约|约)*(?:是|为|有|叫)(?P<rest>.{2,})$"
)
# Attributes that every thing of its sort has one of. "X 的关键", "X 的过程", "X 的数量" ask for
# something that only the page says.
_HAS_ONE = re.compile(
    r"(?:主要|基本|最大的?|根本|常见|显著|核心|默认|最终|首要|重要|直接)?(?:优点|缺点|特点|特征|特性|优势|劣势|不足|局限性?"
    r"|(?:主要|基本|核心)思想|目标|目的|任务|作用|功能|职能|用途|含义|意思|定义|全称|默认值|原理|成因"
    r"|返回类型|返回值|类型|时间复杂度|空间复杂度|复杂度|扩展名|单位|首都|作者|创始人|发明者|奠基人"
    r"|成分|内存类型|取值范围|值域|别名|缩写|英文名|表达式|公式|性质|标志|症状|病因|原则|来源|前身)"
)
_SUITS = re.compile(
    r"^(?P<x>[^，。；：？！]{2,30}?)(?:主要|通常|一般|非常|特别|最(?=擅长))*(?P<verb>适合"
    r"|适用于|擅长)(?P<rest>[^。？！]{4,})[。]?$"
)


@rule(
    "attribute",
    kinds=("fact",),
    patterns=(_ATTRIBUTE,),
    good=[
        Good("核函数的返回类型必须是 void。", "核函数的返回类型是什么？"),
        Good("GPU 的内存类型有三种：寄存器、共享内存和全局内存。", "GPU的内存类型有哪些？"),
    ],
    bad=[
        Bad("核函数的执行是异步的。", "describes, names nothing"),
        Bad("分支的代码是一个表达式，它的值就是结果。", "代码 is no attribute"),
        Bad("程序的循环次数是 BM * BK，可以手工展开。", "holds in one program, which is not named"),
    ],
)
def _attribute(at: Place) -> Iterator[Candidate]:
    sentence = at.sentence
    match = _ATTRIBUTE.match(sentence)
    if not match or not is_owner(match["x"]) or not is_term(match["a"], 12):
        return
    owner = core(match["x"])
    if not _HAS_ONE.fullmatch(match["a"].strip()) or not _is_named(owner):
        return
    if [flag for _, flag in tags(match["x"])][:2] == ["v", "eng"]:
        return  # "输入 E1 的公式": an order
    if re.match(r"定义|令|记|称|设|唯一|具体|其", match["x"]):
        return
    if re.match(r"\s*[（(]\s*\$?\d|\s*\$", match["rest"]):
        return  # a shape or a formula of one example
    if tags(match["x"])[0][1] == "v" or match["a"].endswith("之处"):
        return
    flags = [flag[0] for _, flag in tags(match["a"])]
    if flags[-1] == "v" or "nvn" in "".join(flags):  # "政策要求软件包" is a clause
        return
    if re.match(r"(?:这|它|其|不|什么|如何|否|由于|因为|了|按|放|在|可|从|通过|对)", match["rest"]):
        return
    if re.match(r"\S{1,6}的\s*(?:[（(，。：]|$)", match["rest"]):
        return  # "是异步的" describes, names nothing
    # "是以压缩包的格式提供的" says how, not what.
    if re.match(
        r"(?:都|均)?\s*(?:以|用|由|从|按|在|通过|根据)?[^，。；]*的\s*(?:[，。；]|$)", match["rest"]
    ):
        return
    sized = re.search(r"大小|长度|数量|个数|值$", match["a"]) and re.match(r"\s*\d", match["rest"])
    if sized and not re.search("通常|一般|默认", sentence):
        return
    # "= BM * BK" holds in one program only; the question would not say which.
    if re.match(r"\s*[\[($]*\s*[A-Za-z_]\w*\$?\s*(?:[*/+\-,]|\\)", match["rest"]):
        return
    if "$" in sentence:
        return  # of one derivation
    ask = "有哪些" if sentence[: match.start("rest")].endswith("有") else "是什么"
    if ask == "有哪些" and not re.match(r"[两三四五六七八九十几多\d].*[：:、]", match["rest"]):
        return
    yield Candidate("fact", f"{core(match['x'])}的{match['a']}{ask}", sentence)


def _is_named(owner: str) -> bool:
    """Longer than a plain word, and no variable of one program."""
    if re.fullmatch(r"[a-z]\w*", owner) and (len(owner) < 3 or "_" in owner):
        return False
    return len(owner) >= 3 or owner.isupper()


@rule(
    "suitability",
    kinds=("fact",),
    patterns=(_SUITS,),
    good=[
        Good("原子操作特别适合统计直方图之类的任务。", "原子操作适合用在什么情况下？"),
        Good("张量核心擅长处理小块的矩阵乘法。", "张量核心擅长什么？"),
    ],
    bad=[Bad("这种方法适合数据量很大的场合。", "这种: which one?")],
)
def _suitability(at: Place) -> Iterator[Candidate]:
    match = _SUITS.match(at.sentence)
    vague = match and re.match(
        r"(?:于|在|用于)?[^，。]{0,4}(?:任何|所有|多种|各种|许多|很多|需要)", match["rest"]
    )
    if match and not vague and is_definable(match["x"], 26):
        ask = "擅长什么" if match["verb"] == "擅长" else "适合用在什么情况下"
        yield Candidate("fact", f"{core(match['x'])}{ask}", at.sentence)
