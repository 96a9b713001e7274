"""What the strict rules ask: what a thing is, where its own heading names it and one says so.

Silence by kind: of all other kinds that readers judged (options, code, lists, comparisons,
purposes, words that need their field named) too few were good; docs/data.md has the table. Each
requirement here parts good pairs from others in verdicts of several readers and rounds.
"""

import re
from collections.abc import Callable
from difflib import SequenceMatcher

from data.records import Block
from data.sources.rules.nouns import core
from data.sources.rules.phrases import introduced_names, is_introduction, unnumbered
from data.sources.rules.scope import ANYBODYS, OF_SEVERAL_THINGS

ASKED = ("definition", "item")  # the rules that ask what a thing is
_ASKS = re.compile(r"^什么是\s?(.+)？$")
_SORT = re.compile(
    r"\s*(?:命令|协议|算法|类型|工具|框架|语言|模式|语句|模型|系统|数据库|项目|树|复用)$"
)
# What a heading may say of a thing and still be about the whole of it.
_ABOUT_ALL = re.compile(
    r"\s*(?:的?(?:基本使用|使用(?:方法|说明)?|用法|基本知识|基础(?:知识)?|快速入门|入门|详解|安装|部署|环境配置|集成|实战"
    r"|实践|原理|应用|查询语言|状态管理)|[：:].+)$"
)
# Parts of something larger, which the question would have to name: Worker类, [Service]区块.
_PART = re.compile(
    r"(?:类|区块|接口|方法|属性|组件|模块|对象|字段|参数|选项|函数|面板|窗口|按钮|菜单|页面)$"
    r"|::|\(|->|\b(?:API|Agent|Guard|Manager|Controller|Client|Server|Service|Plugin|Module)$"
)
# Two words and more, or Chinese ones: without them LSM, CDC and AMD are several things.
_SPELT_OUT = "[A-Za-z][a-z]+[ -][A-Za-z -]+|[^（）()]*[\u4e00-\u9fff]{3}"
_ABBREVIATION = re.compile("[A-Z0-9]{2,5}")
# What speaks of the author, of the reader, of fame, of owners or of a time: no explanation.
_ASIDE = re.compile(
    r"我|你|您|咱|大家|读者|其实|当然|总之|此时|这时|例如|比如|首先|然后|的时候|建议|推荐|教程"
    r"|非常|十分|特别|极其|流行|著名|知名|强大|优秀|先进|完美|成熟|有趣|精良|神器|而生|举足轻重|无处不在|领先|活跃|众多"
    r"|常用|功能完善|安装简单|生产级|开箱即用|巧妙|[“”]"
    r"|随着|广泛[应使]用|受欢迎|事实上|事实标准|最(?![大小短长近后终低高新佳优早多少初])"
    r"|\d{4} ?年|版本|目前|现在|如今|现为|已经|公司|旗下|属于|子项目|推出|v?\d+\.\d+",
    re.I,
)
# Leftovers of a page, single letters of a derivation, what is no sentence (too long without a mark,
# a phrase twice, two verbs: 它是 X 是), what points elsewhere, and word-for-word translation.
_MARKS = re.compile(
    "[\u4e00-\u9fff] +[\u4e00-\u9fff]|[。，]{2}|[\u2e80-\u2fdf\u3000]"
    "|[\u4e00-\u9fff][A-Z](?![A-Za-z+#-])|[\u4e00-\u9fff]{48}|([\u4e00-\u9fff]{2,4})\\1|，(?:它?(?:包含|需要)|同样)"
    "|(?<![但而])是[^，。一]{1,8}是(?!否)|的，|的而(?!且)"
    "|它们|位于[^，。]*目录|即将到来|被[^，。]{1,6}得"
)
_VAGUE = re.compile(
    r"(?:是|指)[^，。]{0,10}(?:项目|概念|产物|术语|东西|产品|思想|话题|名词|标准|事实|选择|组织|例子|实例"
    r"|拓展|扩展|子集|一部分|实现|方案|手段|地方|综合)(?=[，。]|$)|^[^，。]{1,40}?(?:称为|负责)"
    r"|^[^，。]{1,30}?(?:(?<!是)指(?!的是)|定义为)|是一[种个款][^，。]*的一[种个款项]"
)
# What sort of thing: without it a sentence tells something of a thing and not what it is.
_SORT_OF_THING = (
    r"(?:工具(?!类)|框架|平台|语言|数据库|系统|引擎|协议|算法|服务|库|软件|模式|技术|容器|队列|标准|机制|结构|方法|模型|格式"
    r"|编辑器|编译器|解释器|管理器|服务器|程序|网络|架构|规范|插件|中间件|环境|语法|树|表|图|攻击|存储|命令|集合|函数"
    r"|编码|学习|过程|范式|风格|操作|序列|事务|发行版)(?=[，。（(])"
)
# "是一种…", "是…的一种…", "是 Spark 的…".
_A = (
    r"是(?:一[种个款门套类项]|(?=[^，。]{6,}的一[种个款项]"
    r"|\s*[A-Z][\w.+\- ]*(?:中|里|的|提供|内置|自带)))"
)
_IS_A = re.compile(rf".{{1,80}}?{_A}(?P<more>[^，。]*){_SORT_OF_THING}")
_IS = re.compile(
    rf".{{1,80}}?(?:是指|指的是|是)(?:(?P<more>[^，。]*){_SORT_OF_THING}"
    r"|(?<=是指)[把将](?P<done>[^，。]+))"
)
# What tells nothing apart: "是一个开源的消息队列", "是一种通信协议".
_ANYTHINGS = re.compile(r"[\s、]|开源的?|免费的?|轻量级?的?|高性能的?|分布式的?|通信|消息")
_PURPOSE = re.compile(
    r"用于|用来|用以|可以|能够|旨在|使|通过|将|把|提供|支持|实现|允许|管理|以便|从而|让"
)
# Characters of the first sentence beside the name and brackets: with a purpose, with two clauses,
# in one clause, and at most.
_LEAST, _TWO_CLAUSES, _ONE_CLAUSE, _MOST = 16, 26, 34, 130
_PRODUCT = re.compile(
    r"开源|开发|推出|公司|发布|语言|协议|数据库|命令|框架|软件|操作系统|编辑器|浏览器"
    r"|是一[个款种套][^，。]*(?:工具(?!类)|平台|引擎|库|中间件|管理器|插件|编译器|解释器)"
)
# What is part of something: whose it is has to stand right there (是 Flink 内置的…).
_OF_SOMETHING = re.compile(
    r"是[^，。]*(?:类|接口|组件|对象|类型|属性|字段|方法|函数|参数|注解|标签|标识|信息|模块|控件|变量|命令|指令)(?=[，。])"
)
_OWNED = re.compile(r"是\s*[A-Z][\w.+\- ]*(?:中|里|的|提供|内置|自带|官方|新增)")
_OWN = re.compile(r"(?=.{6})\w*(?:[a-z][A-Z]|[A-Z]{2}[a-z])\w*", re.ASCII)  # MongoDB, SmoothQuant
_ALMOST = 0.85
_LEAST_TOLD = 2  # characters before the sort of thing


def _subject(question: str) -> str:
    match = _ASKS.match(question)
    return match[1].strip() if match else ""


def _bare(name: str) -> str:
    return re.sub(r"[`*\"“”《》\s]", "", _SORT.sub("", name)).lower()


def _unbracketed(text: str) -> str:
    return re.sub(r"[（(][^（）()]*[)）]", "", text)


def _sentences(answer: str) -> list[str]:
    return re.findall(r"[^。！？]+[。！？]?", answer)


def _is_translated(question: str, answer: str) -> bool:
    """ "并行计算（parallel computing）是指…": textbooks introduce their terms so."""
    name = re.escape(_subject(question))
    given = rf"{name}\s*[（(][A-Za-z][A-Za-z \-]{{4,}}[^（）()]*[)）]\s*(?:是|指的是)"
    return bool(re.search("[\u4e00-\u9fff]", name) and re.match(given, answer))


def _headed(question: str, answer: str, block: Block) -> bool:
    """The section's own heading is the subject (X 入门), or asks what the subject above it is."""
    if _is_translated(question, answer):
        return True
    name = _bare(_subject(question))
    if len(block.path) > 1 and is_introduction(block.path[-1]):
        return name in _bare(unnumbered(block.path[-2]))
    whole = _ABOUT_ALL.sub("", unnumbered(block.path[-1]).strip("`* ")) if block.path else ""
    return name in map(_bare, [whole, *introduced_names(block.path)])


def _begins_with_it(question: str, answer: str, block: Block) -> bool:
    return re.sub(r"[`*\"“”《》\s]", "", answer).lower().startswith(_bare(_subject(question)))


def carries_itself(question: str, answer: str, block: Block) -> bool:
    """Does the name mean the same in every book?

    A Chinese one of three characters and more with a foreign name beside it; one in Latin letters
    that is spelt as no word is, or of which its sentence says that it is a product.
    """
    name = core(_subject(question))
    first = _unbracketed(_sentences(answer)[0])
    if _PART.search(name) or name in ANYBODYS | OF_SEVERAL_THINGS or len(name) < 3:
        return False
    if _OF_SOMETHING.search(first) and not _OWNED.search(first):
        return False
    if re.search("[\u4e00-\u9fff]", name):
        if re.search(r"是\s*[A-Za-z][\w ]*(?:提供|内置|自带)", first):
            return False  # 资源池是 openGauss 提供的…: others have one, too
        foreign = re.match(r"[^，。是]{1,30}[（(](?:[英简缩][^A-Za-z）)]*)?[A-Za-z]{2}", answer)
        if re.search("[A-Za-z]", name):
            return bool(_SORT.search(name))  # ICMP 协议; of a Proto 过滤器 nobody knows whose it is
        return bool(foreign or re.search("[A-Za-z]", "".join(block.path[-1:])))
    if re.match(rf"{re.escape(name)}\s*[（(](?:{_SPELT_OUT})", answer):
        return True  # GKD（Generalized Knowledge Distillation）
    if _ABBREVIATION.fullmatch(name):
        return False
    others = re.findall("[A-Za-z]{2,}", first.lower().replace(name.lower(), ""))
    sign = _OWN.fullmatch(name) or _PRODUCT.search(first)
    return bool(sign or (others and not re.fullmatch("[A-Z]?[a-z]+", name)))


def needs_no_field(question: str, answer: str) -> bool:
    """Is the bare question clear, though the book's field could be put before it?

    "MLlib 是 Spark 的机器学习库": whose it is stands in the answer; SmoothQuant is nothing else
    anywhere; a field before such names is as often a wrong one (NLP 中的 Word2Vec).
    """
    name = _subject(question)
    said = re.match(rf"{re.escape(name)}\s*是([^，。]*)", _unbracketed(answer), re.I)
    if not said or not re.fullmatch(r"[A-Za-z][\w\-+. ]{3,}", name, re.ASCII):
        return False
    owner = re.search("[A-Z][A-Za-z]+", re.sub(re.escape(name), "", said[1]))
    made = name != name.lower() or _PRODUCT.search(said[0])
    return bool((owner and made) or _OWN.fullmatch(name))


def _says_what_sort(question: str, answer: str, block: Block) -> bool:
    said = _IS if re.search("[一-鿿]", _subject(question)) else _IS_A
    match = said.match(answer)
    if not match:
        return False
    more = match["more"] if match["more"] is not None else match["done"]
    return len(_ANYTHINGS.sub("", more)) >= _LEAST_TOLD


def _is_spelt_right(question: str, answer: str, block: Block) -> bool:
    """No two long Latin words that are almost the same: Kuberbetes beside Kubernetes."""
    near = " ".join([question, answer, *block.path, block.text])
    words = sorted({word.lower() for word in re.findall("[A-Za-z]{5,}", near)})
    said = {word.lower() for word in re.findall("[A-Za-z]{5,}", answer)}
    return not any(
        word != other
        and not (word.startswith(other) or other.startswith(word))
        and SequenceMatcher(None, word, other).ratio() >= _ALMOST
        for word in said
        for other in words
    )


def _says_enough(question: str, answer: str, block: Block) -> bool:
    """What it is for, or two clauses."""
    first = _unbracketed(answer)
    new = len(first) - len(_subject(question))
    told = new >= _LEAST and _PURPOSE.search(first)
    clauses = new >= (_TWO_CLAUSES if "，" in first else _ONE_CLAUSE)
    return new <= _MOST and bool(told or clauses)


def _is_plain(question: str, answer: str, block: Block) -> bool:
    name = _subject(question)
    said = re.match(rf"{re.escape(name)}[^，。]*?是([^，。]*)", _unbracketed(answer), re.I)
    sort = re.search("[\u4e00-\u9fff]{2,}$", name)
    if said and sort and (name in said[1] or (len(sort[0]) > 2 and sort[0] in said[1])):
        return False  # 结构体是…的结构体类型, Roofline 性能模型是…的性能模型
    return not (_ASIDE.search(answer) or _MARKS.search(answer) or _VAGUE.search(answer))


REQUIREMENTS: dict[str, Callable[[str, str, Block], bool]] = {
    "asks what it is": lambda question, answer, block: bool(_subject(question)),
    "the heading is the subject": _headed,
    "the answer begins with the subject": _begins_with_it,
    "the name carries itself": carries_itself,
    "says what sort of thing it is": _says_what_sort,
    "says enough": _says_enough,
    "is spelt right": _is_spelt_right,
    "no praise, aside, date or leftover": _is_plain,
}


def cut_short(answer: str) -> str:
    """The first sentence: of those that went on a quarter were not good."""
    return _sentences(answer)[0]


def why_not_strict(question: str, answer: str, block: Block) -> str:
    """Name of the first requirement that a polished pair does not meet, or ""."""
    failed = (n for n, holds in REQUIREMENTS.items() if not holds(question, answer, block))
    return next(failed, "")
