"""Terms: can a question be asked about this stretch of text, by itself?"""

import logging
import re
from functools import lru_cache
from pathlib import Path

from data.text import tidy

_POINTING = re.compile(
    r"我|你|您|咱|这|那|它|他|其(?!他|它|中|余)|该|此|本(?=[章节书文例教小段篇])|上述|上面"
    r"|下面|前面|后面"
    r"|以下|如下|以上|前者|后者|某|什么|哪|谁|怎|如何|为何|图|表中|大家|者|自己|刚才|之前|另|同理"
)
_BAD_START = re.compile(
    r"^(?:众所周知|粗略|大致|其实|如果|当|因为|由于|因此|所以|但|而|且|并(?!行|发)|或|也|就|都|还|再|又|则|即|若|虽"
    r"|不(?!同)|没|有|无"
    r"|在|对(?!象|齐|称)|从|通过|根据|按|为|把|将|让|使|可|能(?!耗|量)|需|应(?!用)|会|要|请"
    r"|更|最(?![小大高低优近远])|很"
    r"|已|被|像|如|比|只|仅|除|关于|至于|随着|首先|其次|然后|接着|最后|此外|例如|比如|所谓"
    r"|一般|通常"
    r"|注意|看|说|想|以|与|和|跟|于|到|向|第[一二三四五]|(?:另|同)?一(?!维|级|致)|两者|二者"
    r"|多个|各|每(?!个))"
)
_BAD_END = re.compile(
    r"(?:的|了|着|过|地|得|就|也|都|又|还|只|不|被|把|将|会|能|可以|主要|通常|一般|本质上"
    r"|其实|实际上|便于|易于|有助于|适合|包含|包括|要|说|时|后|前|中|里|上|下|来|去|性能|原|曾|皆|均|仍|乃|亦|便|却|刚|正是)$"
)
# jieba's tags of words that may end a term.
_LAST_WORD = re.compile(r"^(?:n|vn|an|eng|x|l|i|j|g|k|un|v|b|q)")
_QUANTIFIER = re.compile(
    r"^(?:每一?个|一个|同一个?|不同的?|所有的?|任何|任意|单个|多个|两个|各个?)\s*"
)
# Words that leave open which thing is meant.
_VAGUE_START = re.compile(
    r"^(?:内层|外层|典型|常用|常见|具体|简单|主要|解决|基本|最终|最后|有效|正确|前|后|首个"
    r"|当前|整个|实际|普通)"
)
# Words that are no term by themselves: attributes, activities, kinds of things.
_GENERIC = re.compile(
    r"(?:区别|不同|做法|方法|办法|方式|思路|大小|结果|过程|流程|目的|作用|原因|内容|问题"
    r"|情况|优点|缺点|特点|特性|意义"
    r"|含义|步骤|策略|效果|部分|例子|地方|代码|样例|示例|定义|单位|总数|数量|功能|关键|重点"
    r"|前提|条件|好处|目标|维度|纬度|技巧|窍门|强项|优势|长处|弱点|灵活性"
    r"|运行|程序|环境|任务|操作|元素|数据|下标|时间|性能|逻辑|公式|概念|实现|读取|写入|计算"
    r"|显示|输入|输出|设置|编辑|选择|打开|关闭|删除|修改|创建|插入|添加|移动|查看|保存|执行|指定|管理|控制|提供|启动|停止|列出)$"
)
# Words of computing that jieba's dictionary lacks or takes for verbs.
_VOCABULARY = Path(__file__).with_name("vocabulary.txt")
_PARENTHESIS = re.compile(r"\s*[（(][^（）()]*[)）]")


@lru_cache(maxsize=1)
def field_words() -> frozenset[str]:
    """Terms of computing that are the same in every book of the field."""
    return frozenset(_VOCABULARY.read_text(encoding="utf-8").split())


@lru_cache(maxsize=1)
def _tagger():  # noqa: ANN202 - jieba has no types
    import jieba
    import jieba.posseg

    jieba.setLogLevel(logging.WARNING)
    for word in field_words():
        jieba.add_word(word, tag="n")
    return jieba.posseg


EVERYDAY = 40  # times in jieba's word list; 镜像 has 45, 卷积 12


def is_common(word: str) -> bool:
    """Does everyday language use the word itself (仓库, 形状, 模型)?"""
    _tagger()
    import jieba

    return (jieba.dt.FREQ.get(word) or 0) >= EVERYDAY


@lru_cache(maxsize=20_000)
def is_everyday(word: str) -> bool:
    """A word of everyday language, or a short one made of such words (父节点, 镜像层)."""
    if word in field_words() and len(word) > 2:
        return False
    if is_common(word):
        return True
    parts = [part for part, _ in tags(word)]
    return len(parts) > 1 and all(len(part) == 1 or is_everyday(part) for part in parts)


@lru_cache(maxsize=20_000)
def tags(text: str) -> tuple[tuple[str, str], ...]:
    """(word, part of speech) pairs by jieba; spaces dropped."""
    return tuple((w.word, w.flag) for w in _tagger().cut(text) if w.word.strip())


def core(term: str) -> str:
    """A term without its bracketed English name, quotes and outer spaces."""
    bare = _PARENTHESIS.sub("", term)
    return tidy(bare.strip(" 「」『』“”\"'`*,，、:："))


def is_term(text: str, longest: int = 24) -> bool:
    """A noun phrase that names a thing by itself: no pronoun, no clause, no leading connective."""
    bare = re.sub(r"^<([a-z][a-z0-9]*)>(?=\s*(?:标签|元素))", r"\1", core(text))
    if not 1 < len(bare) <= longest or re.search(r"[，。；：？！,;:?!、=<>+{}（）()—–]", bare):
        return False
    if _POINTING.search(bare) or _BAD_START.match(bare) or _BAD_END.search(bare):
        return False
    if any(flag in ("ul", "uz", "ug") for _, flag in tags(bare)):  # "页面列出了个人" is a clause
        return False
    if re.search("(?:使用|进行|实现|需要|具有|包含|包括|提供|允许|成为)[一两同每多各]", bare):
        return False
    if re.match(r"\d+\s", bare) or re.search(
        r"\s[-–](?:\s|$)|小于|大于|等于", bare
    ):  # "285 外部程序": a row of a list, its number first
        return False
    if re.search("[\u4e00-\u9fff] +[\u4e00-\u9fff]", bare):  # two phrases, or a leftover
        return False
    if bare.count("的") > 1 or not re.search(r"[A-Za-z\u4e00-\u9fff]", bare):
        return False
    words = tags(bare)
    if not words or not _nominal(*words[0]) or words[0][1][0] == "u" or words[-1][1][0] in "um":
        return False
    if not _LAST_WORD.match(words[-1][1]):
        return False
    shape = [flag for _, flag in words[-3:]]
    if shape[1:] in (["v", "eng"], ["v", "x"]) and shape[0].startswith(
        "n"
    ):  # "程序假定 N" is a clause
        return False
    return all(_nominal(word, flag) for word, flag in words)


def _nominal(word: str, flag: str) -> bool:
    """May this word stand inside a term? One-letter verbs and function words may not."""
    if flag == "eng" or word in ("和", "与", "及", "的"):
        return True
    return flag[0] not in "rpcyed" and not (flag == "v" and len(word) == 1)


def acts(term: str) -> bool:
    """Does it begin with a verb that takes an object (调用闭包)? Then it is an activity."""
    words = tags(core(term))
    if re.search("一[个种]", term) or (
        len(words) > 2 and [f for _, f in words[:2]] == ["eng", "v"]
    ):
        return True  # "onStart 启动线程"
    return len(words) > 1 and words[0][1] in ("v", "vd") and words[-1][1] in ("n", "eng", "nz")


def is_definable(text: str, longest: int = 24) -> bool:
    """A term that names a thing, not an attribute of one ("共享内存的大小")."""
    bare = core(text)
    if "的" in bare or "表示" in bare or _VAGUE_START.match(bare) or not is_term(bare, longest):
        return False
    generic = _GENERIC.search(bare)
    return not generic or len(bare) - len(generic.group()) >= 2


def is_defined_name(text: str) -> bool:
    """Looser than `is_definable`, for X in "X 是指…": the sentence itself says it is a term."""
    bare = core(text)
    if not 1 < len(bare) <= 16 or re.search(r"[，。；：？！,;:?!、=<>+{}（）()—–的了]", bare):
        return False
    clause = re.match(
        r"(?:如果|当|因为|由于|但|而|也|就|若|没|在|从|通过|根据|为|把|将|让|可|请|最|被|例"
        r"|.{0,6}(?:发生|进行|出现|存在|产生)|一|每|所|第|要|需|会|能|想|只|除|以|与|和|用|使用)",
        bare,
    )
    return not (clause or _POINTING.search(bare) or _BAD_END.search(bare)) or is_definable(bare)


def is_owner(text: str) -> bool:
    """A thing that can have attributes: definable, or "A 的 B" of definable things."""
    parts = _QUANTIFIER.sub("", core(text)).split("的")
    if len(parts) == 2 and re.match(r"[一两二三四五六七八九十几\d]+[个次种条块层步]", parts[1]):
        return False  # "循环里的两次同步": which two stands in an earlier sentence
    parts[0] = re.sub(r"(?<=\S)\s*之?[中下内里上间]$", "", parts[0])
    last = tags(parts[-1])
    named = bool(last) and (last[-1][1][0] in "nxbl" or last[-1][1] in ("eng", "vn"))
    return named and len(parts) <= 2 and is_definable(parts[0]) and is_term(parts[-1])


def is_specific(text: str) -> bool:
    """More than a plain word: 用户, 所有文件, 设置, 表中 could be anybody's, or are verbs."""
    bare = _QUANTIFIER.sub("", core(text))
    if re.search(r"[中里内上下]$|^[\u4e00-\u9fff]+\s?[A-Z]$", bare):  # "用户 A" of one example
        return False
    return len(bare) > 2 or bool(re.match(r"[A-Za-z_]", bare))


def cuts_a_word(text: str, position: int) -> bool:
    """Does `position` lie inside a word (打包指|南, 总|是)? Then a pattern matched by accident."""
    start = 0
    for word, _ in tags(text):
        start = text.find(word, start)
        if start < position < start + len(word):
            return True
        if start >= position:
            break
        start += len(word)
    return False


def leading_term(clause: str, longest: int = 24) -> str:
    """The noun phrase a clause begins with, or "" when there is none.

    >>> leading_term("GPU 的吞吐量很高")
    'GPU 的吞吐量'
    """
    found = ""
    position = 0
    tagged = tags(clause)
    for number, (word, flag) in enumerate(tagged):
        start = clause.find(word, position)
        following = tagged[number + 1][1] if number + 1 < len(tagged) else ""
        if number and flag == "v" and len(word) > 1 and following[:1] in ("n", "k"):
            continue  # a verb inside a compound: 内存 访问 模式
        nominal = flag[0] in "nxlijg" or flag in ("eng", "vn", "an", "b", "un", "uj", "k", "f")
        joined = word in ("、", "和", "与", "及")
        if not (nominal or joined) or re.fullmatch(r"[，。；：？！,;:?!（(]", word):
            break
        position = start + len(word)
        found = clause[:position]
    found = re.sub(r"(?:的|、|和|与|及|中|上|里|内|时)+$", "", found.strip())
    return found if is_term(found, longest) else ""
