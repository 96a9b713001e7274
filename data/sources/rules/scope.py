"""Of which field is the word that a question asks about?

"什么是节点？" asks a different thing in a book on Kubernetes than in one on trees. A bare word gets
the topic of its book (什么是 Kubernetes 中的节点？), a name that carries itself stays as it is, and
a bare word of a book whose topic is unknown is not asked about.
"""

import re
from collections.abc import Sequence

from data.sources.rules.named import is_known, subjects
from data.sources.rules.nouns import core, field_words, is_common, is_everyday
from data.sources.rules.phrases import gap, unnumbered
from data.topics import latin

_QUANTIFIER = re.compile(r"^(?:(?:每|任)?一?[个条次种](?!人)|单个|所有的?|不同的?)\s*")
_ASKS = re.compile(r"^(?P<ask>什么是|请简要介绍|请简要说明|请结合代码说明)\s*(?P<x>.+)$", re.S)
_SORTS = r"(?:命令|协议|语言|算法|定理|模型|标准|问题)"
# What a compound of everyday words ends with that every system has some of.
_GENERIC = re.compile(
    r"(?:软件|组件|选项|程序|模块|方法|类型|结果|过程|系统|服务|信息|数据|文件|代码|操作|函数|对象|功能|工具|接口|参数"
    r"|实例|节点|配置|机制|流程|阶段|内容|方式|状态|环境|资源|任务|字段|属性|规则|策略|消息|请求|目录)$"
)
# Plain English words that any framework has a class or a page for.
ANYBODYS = frozenset(
    """Context Request Response Helper Document Session Model View Router Route Controller Service
    Middleware Trainer Parser Handler Manager Node Event Client Server Container Component Module
    Plugin Config Command Task Job Worker Logger Filter Extend Scope Field Index Type Cluster
    Store State Action Message Topic Producer Consumer Partition Schema Record Cache Pool Shield
    Pin Application Loader Factory Builder Listener Provider Agent Tool Chain Prompt Memory Secret
    Volume Image Layer Stage Pipeline Runner Executor Driver Master Slave Leader Follower Item
    Parallel Standalone Join Buffer Reflect Spacer Cluster Channel Stream Queue Cache Store State
    Label Operator
    """.split()  # noqa: SIM905 - reads better than a list
)
# Abbreviations that mean one thing wherever computing is spoken of.
_KNOWN = frozenset(
    """GPU CPU FPGA TPU NPU DRAM SRAM HTTP HTTPS TCP UDP DNS FTP SSH SSL TLS HTML CSS JSON XML YAML
    SQL URL REST RPC CUDA OpenCL OpenMP MPI CNN RNN LSTM GRU BERT GPT SVM PCA GAN ACID UTF-8 ASCII
    Linux Unix Windows Python Java JavaScript""".split()  # noqa: SIM905 - reads better than a list
)
# Abbreviations of several things: ACL is an access control list and a language of agents.
OF_SEVERAL_THINGS = frozenset(
    """ACL AD AP AR BSP CAS CBC CFS CI CMS DAO DPI DSP HA IPC IR LDA LISP LMS LPM MAC NAS PE PIC
    PMI POC RPM SAM SPD SPI STP""".split()  # noqa: SIM905
)
_SORT = re.compile(
    r"^(?:函数|命令|指令|关键字|运算符|环境变量|标签|元素|组件|模块|事件|方法|属性|参数|选项|字段)\s*(?=[A-Za-z_<$\-])"
)
_SORTS_OF_CODE = r"(?:语句|字段|方法|属性|参数|对象|函数|表达式|关键字|类|接口|特征|类型|子句)"
# What makes a name in Latin letters a thing of its own, whatever the book is about.
_PRODUCT = re.compile(
    r"\s*(?:[（(][^（）()]*[）)])?[，,]?\s*(?:是|指|为)[^。；]{0,40}?"
    r"(?:开源|软件|平台|语言|数据库|框架|引擎|协议|项目|标准|编辑器|编译器|格式|操作系统|发行版|公司|组织|社区"
    r"|工具(?![类方函])|记录工具|分布式[^，。；]{0,6}系统|应用程序|代理服务器|消息队列|存储系统"
    r"|[A-Za-z] ?(?:公司|团队)?(?:开发|发布|推出|研发)的)"
)


def in_scope(question: str, answer: str, topics: Sequence[str], near: str | None = None) -> str:
    """The question with its field where it needs one; "" where it needs one and none is known.

    near: the section's text with its two nearest headings. A book's topic that is a plain word
    (Agent) is no field of all that stands in the book (链表): it has to be named near by.
    """
    asked = [_QUANTIFIER.sub("", name) for name in subjects(question)]
    if near is not None:
        named = [t for t in topics if t not in ANYBODYS or _says(t, near)]
        topics = named
    if not topics and len(asked) == 1 and _is_short(asked[0], answer):
        return ""  # 同步, 分段: of what?
    if not asked or any(_carries_itself(name, answer, topics) for name in asked):
        return question
    said = (question + asked[0]).lower()
    name = core(asked[0]).lower()
    topic = next((t for t in topics if not _says(t, said) and not _says(name, t)), "")
    if topic and not any(map(_is_bare, asked)) and not _says(topic, answer):
        return question  # Big Endian: a name of its own, no matter of that field
    if not topic:
        return "" if any(_is_bare(name) for name in asked) else question
    after = "" if "\u4e00" <= topic[-1] <= "\u9fff" else " "
    if match := _ASKS.match(question):
        return f"{match['ask']}{gap(topic)}{topic}{after}中的{gap(match['x'])}{match['x']}"
    return f"{topic}{after}中{gap(question)}{question}"


# A name with signs that no plain word has: std::span, GPU, PyTorch, __syncthreads(), -Xptxas.
_OWN_NAME = re.compile(
    r"[A-Za-z]\w*(?:::|[._(]|\.)\w*|[a-z]+[A-Z]\w*|[A-Z][a-z]+[A-Z]\w*|[A-Z]{3,}\w*|__\w+|[A-Z][a-z]{3,}"
)


def of_parent(path: Sequence[str], answer: str) -> list[str]:
    """Names in the headings above a section's own that the answer speaks of, the nearest first.

    For bare words of a book whose topic is unknown: 客户端软件 below "HLS 架构" is that of HLS.
    """
    names = [n for title in reversed(path[:-1]) for n in latin(unnumbered(title)) if len(n) > 2]
    return [name for name in dict.fromkeys(names) if _says(name, answer)]


# Code fences → the language that a question about code names where the book's topic is unknown.
# Not those of the web, whose code is as often a framework's (React, Vue) or a configuration.
_LANGUAGES = {
    "sql": "SQL",
    "mysql": "MySQL",
    "c": "C 语言",
    "cpp": "C++",
    "c++": "C++",
    "cuda": "CUDA",
    "python": "Python",
    "py": "Python",
    "java": "Java",
    "go": "Go",
    "rust": "Rust",
}


def task_in_scope(
    question: str, answer: str, topics: Sequence[str], path: Sequence[str] = ()
) -> str:
    """A question that a heading asks, with the book's field; "" where it is bare and none is known.

    It is bare without a topic of the book or a name of its own. What compares two things or asks
    for a side of one names its subject as other questions do. Where the book's topic is unknown,
    the heading above names the field, or the language of the code.
    """
    if not topics:
        above = unnumbered(path[-2]) if len(path) > 1 else ""
        written = re.findall(r"^```([\w+]+)$", answer, re.M)
        topics = [name for name in latin(above)[:1] if above.startswith(name) and len(name) > 2]
        topics += [_LANGUAGES[name] for name in map(str.lower, written) if name in _LANGUAGES][:1]
    if re.search(r"的[^的]{2,8}(?:是什么|有哪些)？$|有什么(?:区别|关系)？$|^请结合代码", question):
        if question.startswith("请结合代码") and not topics and not _OWN_NAME.search(question):
            return ""  # 算术运算符: of which language?
        scoped = in_scope(question, answer, topics)
        return scoped or (question if _OWN_NAME.search(question) else "")
    if any(_says(topic, question) for topic in topics):
        return question
    if topics:
        after = "" if "\u4e00" <= topics[0][-1] <= "\u9fff" else " "
        return f"{topics[0]}{after}中{gap(question)}{question}"
    return question if _OWN_NAME.search(question) else ""


def _carries_itself(name: str, answer: str, topics: Sequence[str]) -> bool:
    """Does a name mean the same thing in every book?"""
    owner = core(name.split("的")[0])
    if not topics and re.match(r"[A-Za-z_.\-]{2,} 的(?:选项|参数|方法|成员函数|字段)", name):
        return True  # a command's option, a class's method
    if is_known(owner) or _says_its_topic(owner, topics):
        return True
    owner = _SORT.sub("", owner)
    if owner in ANYBODYS:
        return False
    if not re.search("[\u4e00-\u9fff]", owner):
        if owner in _KNOWN:
            return True
        if re.match(r"\w{2,}\.\w{2,}\.\w", owner):
            return True  # torch.cuda.synchronize
        if owner in OF_SEVERAL_THINGS:
            return False
        return _is_expanded(owner, answer) or (
            (len(owner) > 4 or not owner.islower()) and _is_product(owner, answer)
        )
    latin_topic = bool(topics) and topics[0].isascii()
    english = re.search(rf"{re.escape(owner)}\s*[（(]\s*[A-Za-z][A-Za-z .\-]{{3,}}", answer)
    of_two = english and re.search(r"[（(]\s*[A-Za-z]{2,}[ -][A-Za-z]", english.group())
    if of_two and len(owner) > 2 and not any(_says(topic, answer) for topic in topics):
        return True  # 语法糖（Syntactic Sugar）: of no one language
    if of_two and any(_says(topic, english.group()) for topic in topics):
        return True  # 多智能体系统（Multi-Agent System）: the name says its field
    if _GENERIC.search(owner) and is_everyday(_GENERIC.sub("", owner) or owner):
        return False  # 客户端软件, 服务器组件: of which system?
    known = owner in field_words() and (len(owner) > 2 or not topics)
    short = latin_topic and len(owner) < 5
    if english and (known or not (short or is_common(owner))):
        return True  # 差分隐私（differential privacy）
    words = re.findall("[A-Za-z]{3,}", owner)
    if re.fullmatch(rf"[A-Za-z0-9_]+ ?{_SORTS_OF_CODE}", owner):
        return False  # LOAD 语句: of which language?
    if words and (re.search(rf"{_SORTS}$", owner) or any(not word.islower() for word in words)):
        return True
    chinese = re.sub("[^\u4e00-\u9fff]", "", core(name) if not topics else owner)
    if latin_topic and "的" in name and len(chinese) <= 6:
        return False  # 架构设计的原则: of whose?
    if len(chinese) > (5 if latin_topic else 4):
        return True
    if not topics and len(chinese) < 4:
        return chinese in field_words()
    return not (is_everyday(chinese) or latin_topic)


def _says_its_topic(name: str, topics: Sequence[str]) -> bool:
    """Is the book's topic part of the name? A chapter's (Service) needs the book's beside it."""
    if not topics:
        return False
    if name == topics[0] and len(topics) > 1 and topics[-1].isascii():
        return False
    return any(_says(topic, name) for topic in topics)


def _says(name: str, text: str) -> bool:
    """Does a text hold a name, one in Latin letters as a word of its own?"""
    if not name.isascii():
        return name in text
    return bool(re.search(rf"(?<![A-Za-z0-9_]){re.escape(name)}(?![A-Za-z0-9_])", text, re.I))


def _is_short(name: str, answer: str) -> bool:
    """Two characters without a foreign name mean different things in different fields."""
    foreign = re.search(rf"{re.escape(core(name))}\s*[（(]\s*[A-Za-z]{{3,}}", answer)
    return bool(re.fullmatch("[\u4e00-\u9fff]{1,2}", core(name))) and not foreign


def _is_bare(name: str) -> bool:
    """A word that could be anybody's: in Latin letters one without a mark of its own."""
    owner = _SORT.sub("", core(name.split("的")[0]))
    if re.search("[\u4e00-\u9fff]", owner):
        return True
    if owner in ANYBODYS:
        return True
    return len(owner) < 6 or not re.search(r"[\d_.:]|\S\s\S", owner)


def _is_expanded(name: str, answer: str) -> bool:
    """Does its full name stand beside it: "TCP（Transmission Control Protocol）"?"""
    place = answer.find(name)
    after = answer[place + len(name) :][:12] if place >= 0 else ""
    if re.match(r"[(][a-z]", after) or (name[:1].islower() and after.startswith("(")):
        return False  # its arguments: decltype(auto)
    return bool(
        re.match(
            r"\s*[（(]\s*(?!已|可选|推荐|默认|必|不|仅|废|带)[A-Za-z\u4e00-\u9fff]{2,}|，?全称",
            after,
        )
    )


def _is_product(name: str, answer: str) -> bool:
    place = answer.find(name)
    return 0 <= place < 4 and bool(_PRODUCT.match(answer[place + len(name) :]))
