"""Of which field is the word that a question asks about?

"什么是节点？" asks a different thing in a book on Kubernetes than in one on trees. A bare word gets
the topic of its book (什么是 Kubernetes 中的节点？), a name that carries itself stays as it is, and
a bare word of a book whose topic is unknown is not asked about.
"""

import re
from collections.abc import Sequence

from data.sources.rules.named import is_known, subjects
from data.sources.rules.nouns import core, field_words, is_common, is_everyday
from data.sources.rules.phrases import gap

_QUANTIFIER = re.compile(r"^(?:(?:每|任)?一?[个条次种](?!人)|单个|所有的?|不同的?)\s*")
_ASKS = re.compile(r"^(?P<ask>什么是|请简要介绍|请简要说明)\s*(?P<x>.+)$", re.S)
_SORTS = r"(?:命令|协议|语言|算法|定理|模型|标准|问题)"
# Abbreviations that mean one thing wherever computing is spoken of.
_KNOWN = frozenset(
    """GPU CPU FPGA TPU NPU DRAM SRAM HTTP HTTPS TCP UDP DNS FTP SSH SSL TLS HTML CSS JSON XML YAML
    SQL URL REST RPC CUDA OpenCL OpenMP MPI CNN RNN LSTM GRU BERT GPT SVM PCA GAN ACID UTF-8 ASCII
    Linux Unix Windows Python Java JavaScript""".split()  # noqa: SIM905 - reads better than a list
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


def in_scope(question: str, answer: str, topics: Sequence[str]) -> str:
    """The question with its field where it needs one; "" where it needs one and none is known."""
    asked = [_QUANTIFIER.sub("", name) for name in subjects(question)]
    if not asked or any(_carries_itself(name, answer, topics) for name in asked):
        return question
    said = (question + asked[0]).lower()
    name = core(asked[0]).lower()
    topic = next((t for t in topics if not _says(t, said) and not _says(name, t)), "")
    if not topic:
        return "" if any(_is_bare(name) for name in asked) else question
    after = "" if "\u4e00" <= topic[-1] <= "\u9fff" else " "
    if match := _ASKS.match(question):
        return f"{match['ask']}{gap(topic)}{topic}{after}中的{gap(match['x'])}{match['x']}"
    return f"{topic}{after}中{gap(question)}{question}"


def _carries_itself(name: str, answer: str, topics: Sequence[str]) -> bool:
    """Does a name mean the same thing in every book?"""
    owner = core(name.split("的")[0])
    if not topics and re.match(r"[A-Za-z_.\-]{2,} 的(?:选项|参数|方法|成员函数|字段)", name):
        return True  # a command's option, a class's method
    if is_known(owner) or _says_its_topic(owner, topics):
        return True
    owner = _SORT.sub("", owner)
    if not re.search("[\u4e00-\u9fff]", owner):
        if owner in _KNOWN:
            return True
        if re.match(r"\w{2,}\.\w{2,}\.\w", owner):
            return True  # torch.cuda.synchronize
        return _is_expanded(owner, answer) or (
            (len(owner) > 4 or not owner.islower()) and _is_product(owner, answer)
        )
    latin_topic = bool(topics) and topics[0].isascii()
    english = re.search(rf"{re.escape(owner)}\s*[（(]\s*[A-Za-z][A-Za-z .\-]{{3,}}", answer)
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


def _is_bare(name: str) -> bool:
    """A word that could be anybody's: in Latin letters one without a mark of its own."""
    owner = _SORT.sub("", core(name.split("的")[0]))
    if re.search("[\u4e00-\u9fff]", owner):
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
