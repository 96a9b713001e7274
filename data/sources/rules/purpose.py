"""What a thing is for: X 用于…, and an identifier that does something."""

import re
from collections.abc import Iterator

from data.sources.rules.nouns import acts, core, cuts_a_word, is_definable, is_specific
from data.sources.rules.phrases import ENGLISH, says_enough
from data.sources.rules.registry import Bad, Candidate, Good, Place, rule

_USED_FOR = re.compile(
    rf"^(?P<x>[^，。；：？！,;:?!]{{1,40}}?{ENGLISH})\s*(?:函数限定符|函数|关键字|子命令|系统变量|环境变量|配置项|参数|限定符"
    rf"|修饰符|变量|命令|接口|指令)?\s*"
    r"(?P<may>(?:主要|通常|一般|专门|常|可以|可)*)(?:用于|用来|负责)(?P<rest>.{4,})$"
)
_API = re.compile(
    r"^(?P<x>[A-Za-z_][\w.:]*(?:<<<.{0,12}>>>)?(?:\([^()]{0,30}\))?)\s*(?:这个)?(?:函数"
    r"|关键字|限定符|修饰符|变量|命令|接口|指令|宏|对象)?\s*"
    r"(?:则|主要|通常|可以|能够?|会|将)*(?:充当|返回(?!值|类型|码|的)|等待(?!\s*\d)|负责|表示(?!法)|指定|提供|允许|阻塞|分配"
    r"|释放|同步|控制|接受|接收|获取|申请|标识|告诉|查询(?!适用)|复制|拷贝|传输"
    r")(?!的|可以|语句|是|将|会|时|中|后|器|者|符|结果)",
    re.ASCII,
)


@rule(
    "purpose",
    kinds=("purpose",),
    patterns=(_USED_FOR,),
    good=[
        Good("事件计时器主要用于测量核函数的执行时间。", "事件计时器的作用是什么？"),
        Good("cudaFree() 用于释放设备内存。", "cudaFree的作用是什么？"),
    ],
    bad=[
        Bad("列出用于替换拼错字词的建议字词。", "an order: 列出 is its verb, no thing"),
        Bad("-d 参数用来指定分隔符，默认是制表符。", "of which command?"),
        Bad("gatectl 用于远程的闸门时，不会等到开完才返回。", "what it does in one case"),
        Bad("圆括号可以用于多字符的模式，尖括号不行。", "one use of many"),
    ],
)
def _purpose(at: Place) -> Iterator[Candidate]:
    match = _USED_FOR.match(at.sentence)
    if match and cuts_a_word(at.sentence, match.end("x")):
        return
    if match and re.match(r"__\w+__\s*函数(?!限定|修饰)", at.sentence):
        return  # "__device__ 函数用于…": functions of one program
    if match and re.search("(?:示例|例子|样例)$", core(match["x"])):
        return
    if not match or re.search("可|常|一般", match["may"]):
        return  # "大括号可以用于多字符的模式": one use of many
    if re.match(r"[^，。]{2,24}时，", match["rest"]):
        return  # "which 用于内置命令时，没有输出"
    if re.match(
        r"[^，。]{0,6}(?:许多|各种|多个|不同)[^，。]{0,6}(?:领域|场合|场景|方面|情况)",
        match["rest"],
    ):
        return  # "用于许多不同的领域"
    if (
        re.search("[指是和与及、]", core(match["x"]))
        or acts(match["x"])
        or re.match("参数|语句|变量|字段|主(?=[a-z])", core(match["x"]))
    ):
        return  # "创建一个目录用来…"; of which command?
    if re.search(r"@|->|^\w\.", match["x"]):
        return
    if re.match("[^，。]*的(?:情况|情形)", match["rest"]):
        return
    if re.search("，而|，当然", at.sentence) or not says_enough(match["rest"], 6):
        return
    if re.match(r"-|[A-Z]+_|[a-z]{1,4}$|[a-z]{1,4}方法", core(match["x"])):
        return  # an option or a method: of which command or class?
    if is_specific(match["x"]) and is_definable(match["x"], 30):
        yield Candidate("purpose", f"{core(match['x'])}的作用是什么", at.continued)


@rule(
    "api",
    kinds=("api",),
    patterns=(_API,),
    good=[
        Good("cudaFree() 释放之前分配的设备内存。", "cudaFree()的作用是什么？"),
        Good("threadIdx.x 表示线程在块内的横向下标。", "threadIdx.x的作用是什么？"),
    ],
    bad=[
        Bad("nvcc 返回的错误码并不总是可靠。", "speaks of what it returns, not of what it does"),
        Bad("serve_at_table 是一个定义在包里的函数，它调用了别的函数。", "of one program"),
        Bad("WebDraw 允许多个画布同时绑定，只要它们的尺寸不同。", "one thing of many"),
    ],
)
def _api(at: Place) -> Iterator[Candidate]:
    match = _API.match(at.sentence)
    if not match or (
        re.search("允许|提供|接受|接收|告诉", at.sentence[match.end("x") :][:8])
        and not re.search(r"[_().]", match["x"])
    ):
        return  # "OpenGL 允许…": one thing of many that it does
    if re.search(r"是[^，。]{0,12}(?:定义|位于)|(?:定义|位于)[在于]|@|\w/\w", at.sentence[:80]):
        return  # where it stands says nothing of what it does
    if re.match(r"[^，。]*的[\u4e00-\u9fff]{1,4}，(?:从|则|是|就)", at.sentence[match.end("x") :]):
        return  # "X 获取锁的接口，从表象看，是…": the verb comes later
    named = re.search(r"[_()<.]|[a-z][A-Z]", match["x"])
    if re.match(r"[^，。]{0,8}(?:接受|接收)[^，。]{0,24}参数", at.sentence[match.end("x") :]):
        return  # how many arguments it takes
    if re.search(r"\d$|[_.]$|\.(?:txt|c|md|py|sh|json|html|log)$", match["x"]):
        return  # a version or a file
    if named and says_enough(at.sentence[match.end("x") :], 8):
        yield Candidate("api", f"{match['x'].strip()}的作用是什么", at.continued)
