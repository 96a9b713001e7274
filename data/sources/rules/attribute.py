"""What is so about a thing: X 的 A 是…, X 取决于…, X 适合…, X 不能…."""

import re
from collections.abc import Iterator

from data.sources.rules.nouns import core, is_definable, is_owner, is_specific, is_term, tags
from data.sources.rules.phrases import ENGLISH, refers_to_unseen
from data.sources.rules.registry import Bad, Candidate, Good, Place, rule

_ATTRIBUTE = re.compile(
    rf"^(?P<x>[^，。；：？！,;:?!]{{1,30}}?{ENGLISH})\s*的(?P<a>[^，。；：的是为]{{2,12}}?)"
    r"(?:必须|只能|通常|一般|默认|主要|都|就|大约|约)*(?:是|为|有|叫)(?P<rest>.{2,})$"
)
_DEPENDS = re.compile(
    r"^(?P<x>[^，。；：？！]{2,30}?)(?:主要|通常|一般|往往|完全|就)*(?P<verb>取决于|受限于"
    r"|依赖于|由(?=[^，。]{2,40}决定))(?P<rest>[^。？！]{3,})[。]?$"
)
_SUITS = re.compile(
    r"^(?P<x>[^，。；：？！]{2,30}?)(?:主要|通常|一般|最|更|非常|特别|比较)*(?P<verb>适合"
    r"|适用于|擅长)(?P<rest>[^。？！]{4,})[。]?$"
)
_LIMIT = re.compile(
    r"^(?P<x>[^，。；：？！]{2,26}?)(?:都|也|就|通常)*(?P<verb>只能|不能|无法|不可以"
    r"|不允许|不支持|必须)(?!使用以下)(?P<rest>[^。？！]{4,})[。]?$"
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
        Bad("程序的循环次数是 BM * BK，可以手工展开。", "holds in one program, which is not named"),
    ],
)
def _attribute(at: Place) -> Iterator[Candidate]:
    sentence = at.sentence
    match = _ATTRIBUTE.match(sentence)
    if not match or not is_owner(match["x"]) or not is_term(match["a"], 12):
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
    if re.match(r"(?:不|什么|如何|否|由于|因为|了|按|放|在|可|从|通过|对)", match["rest"]):
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
    ask = "有哪些" if sentence[: match.start("rest")].endswith("有") else "是什么"
    if ask == "有哪些" and not re.match(r"[两三四五六七八九十几多\d].*[：:、]", match["rest"]):
        return
    yield Candidate("fact", f"{core(match['x'])}的{match['a']}{ask}", sentence)


@rule(
    "dependence",
    kinds=("fact",),
    patterns=(_DEPENDS,),
    good=[
        Good("网格的大小由数据的规模决定。", "网格的大小由什么决定？"),
        Good("矩阵乘法的速度主要取决于内存带宽。", "矩阵乘法的速度取决于什么？"),
    ],
    bad=[Bad("它的大小取决于具体的硬件平台。", "它: of what?")],
)
def _dependence(at: Place) -> Iterator[Candidate]:
    match = _DEPENDS.match(at.sentence)
    if match and is_owner(match["x"]):
        ask = "由什么决定" if match["verb"] == "由" else f"{match['verb']}什么"
        yield Candidate("fact", f"{core(match['x'])}{ask}", at.sentence)


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
    if match and is_definable(match["x"], 26):
        ask = "擅长什么" if match["verb"] == "擅长" else "适合用在什么情况下"
        yield Candidate("fact", f"{core(match['x'])}{ask}", at.sentence)


@rule(
    "limit",
    kinds=("limit",),
    patterns=(_LIMIT,),
    good=[
        Good("设备函数不能直接由主机代码调用。", "设备函数有什么限制？"),
        Good("动态共享内存必须在启动核函数时给出大小。", "动态共享内存需要满足什么要求？"),
    ],
    bad=[
        Bad("用户必须修改密码的天数间隔要写在这里。", "必须 belongs to the days, 用户 is nobody's")
    ],
)
def _limit(at: Place) -> Iterator[Candidate]:
    match = _LIMIT.match(at.sentence)
    if not match or re.search(r"(?:大小|长度|数量|个数)$", match["x"]):
        return
    if re.fullmatch(r"[a-z]\w*", core(match["x"])):
        return  # a parameter: of which function?
    if is_specific(match["x"]) and is_owner(match["x"]) and not refers_to_unseen(at.sentence):
        ask = "需要满足什么要求" if match["verb"] == "必须" else "有什么限制"
        yield Candidate("limit", f"{core(match['x'])}{ask}", at.sentence)
