"""What a thing is for: X 用于…, an identifier that does something, 使用 X 可以…, X 能够…."""

import re
from collections.abc import Iterator

from data.sources.rules.nouns import core, cuts_a_word, is_definable, is_owner, is_specific, tags
from data.sources.rules.phrases import ENGLISH, gap, refers_to_unseen
from data.sources.rules.registry import Bad, Candidate, Good, Place, rule

_USED_FOR = re.compile(
    rf"^(?P<x>[^，。；：？！,;:?!]{{1,40}}?{ENGLISH})\s*(?:函数限定符|函数|关键字|限定符"
    rf"|修饰符|变量|命令|接口|指令)?\s*"
    r"(?:主要|通常|一般|专门|可以|可)?(?:用于|用来|用作|负责)(?P<rest>.{4,})$"
)
_API = re.compile(
    r"^(?P<x>[A-Za-z_][\w.:]*(?:<<<.{0,12}>>>)?(?:\([^()]{0,30}\))?)\s*(?:这个)?(?:函数"
    r"|关键字|限定符|修饰符|变量|命令|接口|指令|宏|对象)?\s*"
    r"(?:则|主要|通常|可以|能够?|会|将)*(?:充当|返回(?!值|类型|码|的)|等待|负责|表示|指定|提供|允许|阻塞|分配"
    r"|释放|同步|控制|接受|接收|获取|声明|定义|申请|标识|告诉|查询(?!适用)|复制|拷贝|传输"
    r"|是一?个?(?=.{2,30}(?:函数|变量|关键字|接口|指令|命令|类型|结构体|限定符)))(?!的)",
    re.ASCII,
)
_MEANS = re.compile(
    r"^(?:通过|使用|利用|采用|借助|引入)\s*(?P<x>[^，。；：？！]{2,26}?)[，,]?\s*(?:我们"
    r"|程序员|开发者)?(?:就|也|还)?(?:可以|能够|能)(?P<rest>[^。？！]{6,})[。]?$"
)
_ABLE = re.compile(
    r"^(?P<x>[^，。；：？！]{2,26}?)(?:还|也|都|又|就)*(?:可以|能够|可(?=在|将|把|用(?![的户性])|对)"
    r"|能(?=在|将|把|对))(?!被|由|经由|经过|来自|属于|在[^，。]{1,50}(?:找到|看到|查到|获得|得到|下载|使用)"
    r"|作为[^，。]{1,12}提供|在[^，。]{1,60}范围内|在[^，。]{1,60}(?:进行)?(?:设置|设定|修改|更改|编辑|配置|指定|完成)(?=[，。；]|$)|是|同时|一起|看|参|通过|理解|认为|参考|使用|用来|用于|用作"
    r"|分为|有|在(?:图|上|下))(?P<rest>[^。？！]{6,})[。]?$"
)


@rule(
    "purpose",
    kinds=("purpose",),
    patterns=(_USED_FOR,),
    good=[
        Good("事件计时器主要用于测量核函数的执行时间。", "事件计时器的作用是什么？"),
        Good("cudaFree() 用于释放设备内存。", "cudaFree的作用是什么？"),
    ],
    bad=[Bad("列出用于替换拼错字词的建议字词。", "an order: 列出 is its verb, no thing")],
)
def _purpose(at: Place) -> Iterator[Candidate]:
    match = _USED_FOR.match(at.sentence)
    if match and cuts_a_word(at.sentence, match.end("x")):
        return
    if match and re.match(r"__\w+__\s*函数(?!限定|修饰)", at.sentence):
        return  # "__device__ 函数用于…": functions of one program
    if match and re.search("(?:示例|例子|样例)$", core(match["x"])):
        return
    if match and is_specific(match["x"]) and is_definable(match["x"], 30):
        yield Candidate("purpose", f"{core(match['x'])}的作用是什么", at.continued)


@rule(
    "api",
    kinds=("api",),
    patterns=(_API,),
    good=[
        Good("cudaFree() 释放之前分配的设备内存。", "cudaFree()的作用是什么？"),
        Good("threadIdx.x 表示线程在块内的横向下标。", "threadIdx.x的作用是什么？"),
    ],
    bad=[Bad("nvcc 返回的错误码并不总是可靠。", "speaks of what it returns, not of what it does")],
)
def _api(at: Place) -> Iterator[Candidate]:
    match = _API.match(at.sentence)
    if match and re.search(r"[_()<.]|[a-z][A-Z]", match["x"]):
        yield Candidate("api", f"{match['x'].strip()}的作用是什么", at.continued)


@rule(
    "means",
    kinds=("purpose",),
    patterns=(_MEANS,),
    good=[Good("使用共享内存，可以减少对全局内存的访问。", "使用共享内存有什么作用？")],
    bad=[Bad("通过这种方法，我们可以减少很多重复的计算。", "这种: which one?")],
)
def _means(at: Place) -> Iterator[Candidate]:
    match = _MEANS.match(at.sentence)
    verb_first = match and tags(match["x"])[0][1][0] in "vd"  # "通过实现 f 函数": an activity
    if not match or verb_first or cuts_a_word(at.sentence, match.end("x")):
        return
    if is_definable(match["x"]):
        asked = f"使用{gap(match['x'])}{core(match['x'])}有什么作用"
        yield Candidate("purpose", asked, at.sentence)


# What follows 可以 without being an ability: "可以为 NULL", "可以根据…计算", "可以回溯到 50 年代".
_NO_ABILITY = re.compile(
    r"为|根据|映射|发送|简单地|从|开始|在[^，。]{1,12}(?:创建|中)|回溯|追溯|也|分别|保存为|被|重用|像|写成|看成|看作|视为|表示为|简化为|得|拥有|不"
    r"|成为|具有|包含|包括|采用|选择|没有|省略|忽略|放在|位于|直接"
)


def _is_named(text: str) -> bool:
    """An identifier, or a term of four characters and more: "程序可以…" says too little."""
    name = core(text)
    if re.search("的|希望|要求|添加|[中上下里](?=.)", name):
        return False
    return not re.match(r"现在|利用|使用|通过|\W", name) and (
        len(name) >= 4 or bool(re.search(r"[A-Za-z]{2}", name))
    )


@rule(
    "ability",
    kinds=("ability",),
    patterns=(_ABLE,),
    good=[
        Good("nvcc 编译器能够把常量表达式提前算好，减少运行时的开销。", "nvcc 编译器可以做什么？")
    ],
    bad=[
        Bad("当然，我们也可以换一种写法来完成任务。", "我们 is no thing of the book"),
        Bad("配置文件能够被命令行工具处理和检查。", "what is done to it is no ability"),
        Bad("缩放系数可以在页面样式对话框中进行设置。", "likewise"),
    ],
)
def _ability(at: Place) -> Iterator[Candidate]:
    match = _ABLE.match(at.sentence)
    if match and cuts_a_word(at.sentence, match.end("x")):  # "侦探功|能在…"
        return
    if (
        match
        and is_specific(match["x"])
        and is_owner(match["x"])
        and not refers_to_unseen(at.sentence)
        and _is_named(match["x"])
        and not re.search(
            r"[还也又]$", at.sentence[: match.start("rest")].rstrip("可以能够在将把对")
        )
        and not _NO_ABILITY.match(match["rest"])
    ):
        yield Candidate("ability", f"{core(match['x'])}可以做什么", at.sentence)
