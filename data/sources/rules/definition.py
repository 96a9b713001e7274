"""What a term means: X 是指…, X 是一种…, …称为 X."""

import re
from collections.abc import Iterator

from data.sources.rules.nouns import (
    acts,
    core,
    cuts_a_word,
    field_words,
    is_definable,
    is_defined_name,
    is_term,
    leading_term,
    tags,
)
from data.sources.rules.phrases import ENGLISH, says_enough, spaced
from data.sources.rules.registry import Bad, Candidate, Good, Place, rule

_MEANS = re.compile(
    rf"^(?P<x>[^，。；：？！,;:?!]{{1,40}}?{ENGLISH})\s*，?\s*"
    r"(?P<verb>是指(?![针向令数])|指的是|指的就是|就是指"
    r"|是一[种个类套条块组门段项份](?:种|个)?|定义为|又称|也称"
    r"|指(?=[^令针向数标出的定示导引点明派责挥望认天着出正摘控称教]))"
    r"(?P<rest>.{6,})$"
)
_IS = re.compile(
    rf"^(?P<x>[^，。；：？！,;:?!]{{1,30}}?{ENGLISH})\s*(?:是(?!否|不|什么|因为|由于"
    rf"|如何|为了|为解决|可以|必须|非常|很|最|更|较|比较|用|使用|让|在|从|的|通过|将|把|对|如|相同|一样))"
    r"(?P<rest>[^，；。]{1,60}的(?:一[种个类])?(?P<noun>[^，。的]{2,14}))(?=[，。；]|$)"
)
_CALLED = re.compile(
    r"(?:^|[，；])(?P<what>[^，。；：？！]{2,40}?)(?:被|通常|也|又|一般)*(?<!就)(?:称为|称作"
    r"|称之为|叫做|叫作)\s*"
    rf"(?P<x>[^，。；：？！、]{{2,30}}?{ENGLISH})(?=[，。；]|$)"
)
LEAST_NEW = 8
LEAST_SAID = 11  # characters beside the name
# Two things at once, a clause, or "八个条目": no name.
_NO_NAME = (
    r"[和与及、*]|发生(?!器)|例外|情况$|以前|规定|以为|认为|很多人|人们|类似|相当于|允许|提供|之处$|原因$|^[一二三四五六七八九十两几\d]+[个种类条位名项大]"
    r"|(?:原|曾|都|皆|均|仍|常|多|则|乃|亦|便|却|正|本|只)$|答案|本质|结果$|[⟨\\\\]"
    r"|[\u4e00-\u9fff] [a-z]+(?: [a-z]+)?$|^[a-z]\w* ?方法$|^[a-zA-Z] ?[\u4e00-\u9fff]"
)
# "eat 是一个定义在包里的函数", "顶点属性是一个 vec3，它由 3 个值组成，所以大小是 3".
_OF_ONE_PROGRAM = re.compile(
    r"[^，。]{0,12}(?:定义|位于)在|[^，。]{0,4}自定义[^，。]{0,6}函数|(?:表达式|数字|字符串|向量|数组|vec\d)[，。]|[^。]*所以大小是"
)
# "X 是最基础的方法", "X 是一个非常好的选择": a judgement, which does not say what X is.
_JUDGES = re.compile(
    r"(?:一?[个种件项类])?\s*(?:[^，。；]{0,6}(?:知名度|不断|充满|学习时|侧重)|[^，。；]{0,12}挑战性|完全免费|一次|崭新|便利|巧妙|非常|很|十分|相当|最|更|较|比较|好|不错|重要|关键|有趣|有用|常见|简单"
    r"|强大|典型|独立|可选|两[种个]|几[种个]|不同|另一?|新的?|目前|迄今|到目前|热门|流行|有争议|挑战|难题|例外"
    r"|大综合|综合|方便|最具|全新|新增|当前|普通|真正|很棒|出色|优秀|强有力|公认|所有|任何|唯一|自然人|开放|有效)"
    r"|[^，。；]{0,40}的好[\u4e00-\u9fff]{1,4}(?=[，。；]|$)"
    r"|[^，。；]{0,40}(?:崭新|绝佳|炫酷|活跃|名称|名字|朴素|令人|相对|较简单|最|之一|比[^，。]{1,20}更|必要|必需|前提|不可|起源|祖先|后裔|典范|代表作|产物|角落|选择|责任|结果|原因|主题|理想|梦想|敌人|朋友|学生|成员|教师|教授|儿子|女儿|丈夫|妻子|父亲|母亲|兄弟|弟弟|哥哥|后代|子孙|部下|弟子|盛世|现象|威胁|危险|区别|问题|过程中"
    r"|重要|主要|关键|核心|基础|著名|罕见|手段|反应|场所|用户|成分|长期|复杂|颠覆|基本元素|基本对象|范例|工程|概念|能力(?!的)|杰作|公司|标志|象征|体现|表现|例子|组成部分|一部分|版本|拓展|扩展|推广|变体|特例)(?:[^，。；]{0,6})(?=[，。；]|$)"
)


# "日志是一个文件，随着…越来越大": tells something of it and not what it is.
_TELLS_OF_IT = re.compile(
    r"是一[个种项款][^的，。：\sA-Za-z]{1,3}[，。]|^[^，。]{4,40}，\s*(?:当(?!前)|随着|因为|所以|如果|使用时|也就)"
)


@rule(
    "definition",
    kinds=("definition",),
    patterns=(_MEANS, _IS, _CALLED),
    good=[
        Good("线程束（warp）是指一起执行的 32 个线程。", "什么是线程束？"),
        Good("nvcc 是一种编译器驱动程序，能编译 CUDA C++。", "什么是 nvcc？"),
        Good("寄存器是每个线程私有的、紧靠运算单元的存储空间。", "什么是寄存器？"),
        Good(
            "什么是共享内存？共享内存是线程块内所有线程都能访问的片上内存，延迟很低。",
            "什么是共享内存？",
            "共享内存是线程块内所有线程都能访问的片上内存，延迟很低。",
        ),
        Good("在设备上执行的函数称为核函数（kernel）。", "什么是核函数？"),
    ],
    bad=[
        Bad("它是指一起执行的线程。", "它: the thing was named in an earlier sentence"),
        Bad("这是一种常见的做法，值得学习。", "这: likewise"),
        Bad("如下图所示，线程束是指 32 个线程。", "leans on a figure"),
        Bad("上面的例子是一个核函数，它把两个数组相加。", "speaks of one example"),
        Bad("本章的内容是一些基本概念的介绍。", "speaks of the book"),
        Bad("具体的做法是一个循环加一个判断语句。", "做法 of what?"),
        Bad("灵活性是这种语言的强项，值得学习。", "a judgement about an unnamed language"),
        Bad("静态链接是最基础的方法，值得学习。", "a judgement"),
        Bad("输入设备是整个车间的公共资源，坏了要报修。", "says nothing of what it is"),
        Bad("张大山是李小河的丈夫，所以得到了赦免。", "a relation"),
        Bad("次日，太子广即位，大赦天下。", "即 begins a verb"),
        Bad("三个条目是实现这些纲领的途径。", "which three?"),
        Bad("插入节点是一种操作，会改变链表的长度。", "an activity"),
        Bad("自变量只有一个时称为一元函数，有几个时称为多元函数。", "one half of a contrast"),
        Bad("共享内存又称片上内存。", "another name says nothing about the thing"),
    ],
)
def _definition(at: Place) -> Iterator[Candidate]:
    sentence = at.sentence
    match = _MEANS.match(sentence)
    if match and cuts_a_word(sentence, match.start("verb")):
        match = None
    if match and match["verb"] in ("又称", "也称") and len(match["rest"]) < 20:
        return
    rest = match["rest"] if match else ""
    name = core(match["x"]).lower() if match else ""
    if match and match["verb"] in ("又称", "也称") and not re.search("是|指", rest):
        return
    if match and ("，而" in rest or re.search(r"，(?:而)?[A-Za-z]\w+ ?是", rest)):
        return  # "ACID 是…，CAP 是…"
    if match and (
        re.search("侧重点|^[^。]{0,24}类似", rest)
        or re.match(r"[^，。]*的(?:关键|核心|基础|重点)", rest)
    ):
        return
    if match and _is_short(match["x"], sentence):
        return
    if match and name in rest[:12].lower():
        return  # "采样是指更新时通过采样…"
    example = re.match(_OF_ONE_PROGRAM, rest)
    if match and (example or acts(match["x"]) or re.search("我们|你|^(?:它|这|其|他|可以)", rest)):
        return  # "调用闭包", "插入节点": activities
    strong = (
        match
        and not match["verb"].startswith(("是一", "指"))
        or (match and match["verb"].startswith("指的"))
    )
    if match and not strong and (_JUDGES.match(match["rest"]) or _is_quoted(match["x"])):
        return
    if match and re.search(_NO_NAME, core(match["x"])):
        return  # two things at once, or a clause
    if _TELLS_OF_IT.search(sentence):
        return
    if match and (
        len(at.continued) - len(name) < LEAST_SAID or _adds_little(match["x"], at.continued)
    ):
        return
    added = "".join(c for c in rest if c not in name)
    if match and (re.match("当前|此处", rest) or not says_enough(added, 6)):
        return  # "定位属性是指定位的属性"
    if match and not strong and not _is_known(match["x"], at):
        return
    if match and (is_definable(match["x"]) or (strong and is_defined_name(match["x"]))):
        yield Candidate("definition", _asks_for(match), at.continued)
        return
    match = _IS.match(sentence)
    if match and (_JUDGES.match(match["rest"]) or _is_quoted(match["x"]) or acts(match["x"])):
        return
    if match and (
        re.search(_NO_NAME, core(match["x"]))
        or re.search(r"，而|我们|具有[^，。]{0,4}性的|\$", sentence)
    ):
        return  # of two things, or one half of a contrast
    if match and re.match(
        r"[^，。]*的(?:关键|核心|基础|重点|主题|前提)(?=[，。]|$)", match["rest"]
    ):
        return
    if match and cuts_a_word(sentence, match.end("x")):
        return
    if match and (
        len(at.continued) - len(core(match["x"])) < LEAST_SAID
        or _adds_little(match["x"], at.continued)
    ):
        return  # "圆括号表达式是由圆括号包围的表达式"
    if match and (tags(match["noun"])[-1][1][0] not in "nxel" or not says_enough(match["rest"], 6)):
        return  # "exit 是整个脚本的退出", "TSC 是 Rheb 的 GAP"
    if match and not _is_known(match["x"], at):
        return
    if match and is_definable(match["x"], 16) and is_term(match["noun"], 16):
        yield Candidate("definition", _asks_for(match), at.continued)
        return
    for match in _CALLED.finditer(sentence):
        if match.start() or "$" in match["what"]:
            continue  # what it is called after: said in another clause
        if len(re.findall("称为|称作|叫做|叫作", sentence)) > 1 or acts(match["x"]):
            continue  # one half of a contrast
        if re.search(_NO_NAME, core(match["x"])):
            continue
        if core(match["x"]).lower() in match["what"].lower() or _is_short(match["x"], sentence):
            continue
        headed = any(core(match["x"]).lower() in title.lower() for title in at.block.path)
        translated = re.search(r"[（(]\s*[A-Za-z]{3,}", match["x"]) and len(match["what"]) >= 8
        if not headed and (not translated or re.match("每|其|有", match["what"])):
            continue  # what one place calls so, in passing
        if is_definable(match["x"], 20) and _says_what(match["what"]):
            yield Candidate("definition", _asks_for(match), at.continued)


def _adds_little(name: str, said: str) -> bool:
    """Is hardly a word in a definition that its name lacks? A Latin word counts as two signs."""
    name, rest = core(name).lower(), re.sub("是一[种个类套款]|指的是|是指", "", said.lower())
    if re.match(rf"[^，。]*{re.escape(name[-2:])}。?$", rest):  # "X语言是为编写 X 而设计的语言"
        rest = re.sub(r"[（(][^（）()]*[)）]|专门|而?设计|用于|用来|编写|为了?|而|的", "", rest)
    signs = set(re.findall("[\u4e00-\u9fff]", name))
    others = [c for c in re.findall("[\u4e00-\u9fff]", rest) if c not in signs]
    latin = [w for w in re.findall("[a-z]{2,}|[0-9]+", rest) if w not in name]
    return len(others) + 2 * len(latin) < LEAST_NEW


def _is_short(term: str, sentence: str) -> bool:
    """Two characters that no English name follows: 强化 or 专家 mean one thing at this place."""
    named = re.search(r"[（(][^（）()]*[A-Za-z]", term + sentence[len(term) : len(term) + 3])
    short = len(core(term)) <= 2 and not core(term).isascii()
    return short and not named and core(term) not in field_words()


def _is_known(name: str, at: Place) -> bool:
    """No function of one program, no plain word (take, loop) that the heading does not name."""
    name = core(name)
    if "_" in name or re.match(r"-|[a-z]+[A-Z]\w*$", name):
        return False
    if re.search("是一[种类款门]", at.sentence):
        return True
    return not re.fullmatch("[a-z]+", name) or any(name in title.lower() for title in at.block.path)


def _asks_for(match: re.Match[str]) -> str:
    return f"什么是{spaced(core(match['x']))}"


def _is_quoted(text: str) -> bool:
    """A word in quotes before 是 is mostly a file or a value of one example."""
    return bool(re.match(r"[\"“‘'`「]", text.strip()))


def _says_what(what: str) -> bool:
    """Does the left side of 称为 say what it is, by a term in front or at its end?"""
    if re.search(
        r"这|那|它|该|此|以前|随后|现在|如今|任一|最后|我们|上述|人们|有一|有个|可能|一些人|有时|^[将把如若当为也又则与和从]|时$|后$|中$|经常|也",
        what,
    ):
        return False
    if is_term(re.sub(r"(?:也|又|通常|常|一般|被|有时)+$", "", what), 40) and "的" not in what:
        return False  # another name says nothing about the thing
    _, of, last = what.rpartition("的")
    return bool(leading_term(what)) or bool(of and is_term(last))
