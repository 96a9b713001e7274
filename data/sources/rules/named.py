"""Is the subject of a question what a section of the book is about, and not just one sentence?

Of the pairs read on books that nobody here wrote, those whose subject was the heading itself were
good in 83 of 100, those of part of a heading in 73, the others in 61. A sentence can speak of
anything; headings tell what the book is about.
"""

import re
from collections.abc import Sequence

from data.records import ITEM, TABLE, Block
from data.sources.rules.nouns import acts, core, field_words, leading_term, tags
from data.sources.rules.phrases import introduced_names, unnumbered
from data.sources.sentence import strip_lead

_SUBJECT = re.compile(
    r"^什么是\s?(?P<defined>.+)？$|^请(?:简要(?:介绍|说明)|结合代码说明)\s?(?P<told>.+?)(?:\s*的用法)?。$"
    r"|^与(?P<first>.+?)相比，(?P<second>.+?)有什么特点？$"
    r"|^(?P<left>.+?)和(?P<right>.+?)有什么(?:区别|不同)？$"
    r"|^(?P<owner>.+?)的(?P<attribute>[^的]{2,12})(?:是什么|有哪些)？$"
    r"|^(?P<one>.+?)(?:适合用在什么情况下|擅长什么|由哪些.*|(?:可以)?分为哪.*|(?:有|包括|支持|提供|包含|具有)哪.*)？$"
)


def subjects(question: str) -> list[str]:
    """What a question asks about: one thing, or the two that it compares; none where unclear."""
    match = _SUBJECT.match(question)
    if not match:
        name = leading_term(re.sub(r"^(?:每?一?个|单个)\s*", "", question), 24)
        return [name] if name else []
    return [name for name in match.groups() if name and name != match["attribute"]]


_MEMBER = re.compile(r"[a-z][A-Za-z0-9]*(?:\(.*\))?\s*(?:方法|属性|字段|参数|对象|表达式)?")
# What a whole language or system has; a method or a field belongs to one class of it.
_OF_ALL = (
    r"(?:函数|命令|语句|关键字|运算符|操作符|指令|工具|程序|服务|循环|结构|宏|库|标签|软件|系统)"
)


def is_vouched(kind: str, question: str, answer: str, block: Block, topics: Sequence[str]) -> bool:
    """Is the subject what a section is about, or, where the topic is known, a name of its own?"""
    if _is_member(kind, question, answer, block) or _IN_PASSING.search(question):
        return False
    if kind == "number" or (kind == "enumeration" and "（1）" in answer):
        # A count or a list in passing is of one example too often, unless the field's own term
        # or the heading (X 的优点) has it.
        known = any(map(is_known, subjects(question)))
        if not (known or _ASPECT.search(question)):
            return False
    if kind == "enumeration" and any(map(_is_done, subjects(question))):
        return False
    if kind in _OF_ONE_THING and not _opens_block(answer, block):
        return kind == "definition" and _follows_its_name(subjects(question), answer, block)
    if kind in _OF_ONE_THING and block.path and _OF_TWO.search(block.path[-1]):
        return False
    if is_named(question, answer, block):
        return True
    if kind == "definition" and is_translated(subjects(question), answer):
        return True
    if any(is_known(name) and _is_of_gpus(name, topics) for name in subjects(question)):
        return True
    return bool(topics and _is_distinct(question, answer))


def _is_of_gpus(name: str, topics: Sequence[str]) -> bool:
    """The vocabulary is that of GPU programming: elsewhere its Chinese words mean other things."""
    return core(name).isascii() or any(re.search("CUDA|GPU|并行", topic) for topic in topics)


# What one sentence seldom tells whole: when a thing fits, its advantages, how it works.
_IN_PASSING = re.compile(
    r"适合用在什么情况下？$"
    r"|的[^的]{0,4}(?:优点|缺点|特点|特征|特性|优势|劣势|不足|局限性?|思想|原理|原则|性质)是什么？$"
)
_ASPECT = re.compile(r"的[^的]{2,6}(?:有哪些|是什么)？$")
# A section that compares: what it says of one side is said with an eye to the other.
_OF_TWO = re.compile(r"区别|关系|联系|对比|比较|差异|异同|(?<![A-Za-z])[Vv][Ss](?![A-Za-z])")
# Kinds that say what one thing is or does.
_OF_ONE_THING = ("definition", "api", "purpose", "explain")


def _is_done(name: str) -> bool:
    """获取日志, 权重的转换: what somebody does, of which one book has its own ways."""
    last = tags(name)[-1]
    return acts(name) or ("的" in name and (last[1][0] == "v" or last[0] == "内容"))


def _opens_block(answer: str, block: Block) -> bool:
    """Does the answer begin its paragraph? In the middle a sentence leans on those before it."""
    if block.kind == TABLE:
        return True
    first = re.sub(r"\W", "", strip_lead(block.text))
    return first.startswith(re.sub(r"\W", "", answer)[:10])


def _follows_its_name(asked: Sequence[str], answer: str, block: Block) -> bool:
    """ "…躲不开的是 X。X 是一套…": the paragraph's second sentence, right after X in its first.

    Only of a name in Latin letters that the section's own heading has.
    """
    name = core(asked[0]) if len(asked) == 1 else ""
    if not re.search("[A-Za-z]{3,}", name) or not block.path or not _is_in(name, block.path[-1]):
        return False
    outright = re.match(rf"{re.escape(name)}\s*(?:[（(][^（）()]*[)）])?\s*是一[种套]", answer)
    first, _, rest = block.text.partition("。")
    return bool(outright and first.rstrip().endswith(name) and rest.strip().startswith(name))


def _is_distinct(question: str, answer: str) -> bool:
    """A name that its sentence says to be a command, a function, a product of somebody's."""
    asked = [core(name.split("的")[0]) for name in subjects(question)]
    if len(asked) != 1 or not re.search("[A-Za-z]{2,}", asked[0]):
        return False
    if re.match(rf"{_OF_ALL} ", asked[0]):
        return True  # a row of a table with a header
    if re.search("[a-z][A-Z]", asked[0]) and re.match(r"[^，。]*?函数", answer):
        return False  # minMax(array:) 函数: of one example
    name = re.escape(re.sub(rf"\s*{_OF_ALL}$", "", asked[0]))
    made = (
        r"(?:开源|公司|开发的|发布的|推出的|提供的)[^，。；]{0,20}"
        r"(?:软件|平台|工具|语言|数据库|框架|引擎|系统|库)"
    )
    return bool(
        re.match(rf"{name}[`*]*(?:\(.*?\))?\s*(?:{_OF_ALL}|是[^，。；]{{0,20}}{made})", answer)
    )


def _is_member(kind: str, question: str, answer: str, block: Block) -> bool:
    """A method or field (values(), getUint32) whose class a question would have to name.

    Its own heading, or a word that says it is nobody's (函数, 命令), makes it one of the book's.
    """
    asked = subjects(question)
    if not asked or not _MEMBER.fullmatch(asked[0]) or is_known(asked[0]):
        return False
    if (
        kind == "definition"
        and block.kind != ITEM
        and not re.search(r"\(|方法$|属性$|字段$|参数$", asked[0])
    ):
        return False  # a thing: znode, tcpdump
    name = core(re.match("[A-Za-z0-9]+", asked[0]).group())
    if block.path and _is_in(name, block.path[-1]):
        return False
    return not re.search(rf"{re.escape(name)}[`*]*(?:\(.*?\))?\s*{_OF_ALL}", answer)


def is_named(question: str, answer: str, block: Block) -> bool:
    """Does a heading name the subject?

    A Chinese name has to be the heading, or part of one with its English name beside it: the
    heading "异常值检测" is not about 异常值. Two names (both of them), and one whose parts are
    asked for, may be part of a heading. A text without headings vouches by defining outright.
    """
    asked = subjects(question)
    if not block.path:
        return len(asked) == 1 and bool(_STRONG.match(answer[len(asked[0]) :]))
    if len(asked) != 1 or _PARTS.search(question):
        return bool(asked) and all(_in_headings(name, block) for name in asked)
    name = core(asked[0].split("的")[0]).rstrip("()")
    if name.isascii() or re.search("[A-Za-z]{2,}", name):
        return _in_headings(name, block)
    if name in map(core, map(unnumbered, block.path)) or name in introduced_names(block.path):
        return True
    english = rf"{re.escape(name)}[*_`]*\s*[（(]\s*[A-Za-z][A-Za-z .,/–-]{{2,}}"
    return _in_headings(name, block) and bool(re.search(english, answer + block.text))


def is_translated(asked: Sequence[str], answer: str) -> bool:
    """ "X（Foreign Name）是…": where a book gives a term's foreign name it introduces the term."""
    foreign = r"[*_`]*\s*[（(]\s*[A-Za-z]{2,}[ \-/][A-Za-z .,，、/–\-\u4e00-\u9fff]{3,}[)）]"
    return len(asked) == 1 and bool(re.match(rf"{re.escape(core(asked[0]))}{foreign}", answer))


_STRONG = re.compile(r"\s*(?:[（(][^（）()]*[）)])?\s*(?:是指|指的是|是一[种类])")
_PARTS = re.compile(r"哪些|哪几|多少|几[级层个]|的(?:步骤|流程)是什么")


# What CUDA itself names; a book need not put it into a heading.
_CUDA = re.compile(
    r"cu(?:da|blas|fft|rand|sparse|dnn)[A-Z]\w*(?:\(.*\))?"
    r"|__(?:global|device|host|shared|constant|managed|restrict|launch_bounds|noinline|forceinline)__"
    r"|__(?:sync|shfl|ldg|ballot|any|all)\w*(?:\(\))?|nvcc|[Ww]arp"
    r"|(?:thread|block)Idx(?:\.[xyz])?|(?:block|grid)Dim(?:\.[xyz])?|warpSize|dim3|atomic[A-Z]\w*(?:\(\))?"
)


def is_known(name: str) -> bool:
    """A term of computing of three characters and more, or a name of CUDA."""
    name = core(name.split("的")[0])
    return (len(name) >= 3 and name in field_words()) or bool(_CUDA.fullmatch(name))


def _in_headings(name: str, block: Block) -> bool:
    """Is a name, or the thing whose attribute it is, part of a heading above the block?"""
    name = core(name.split("的")[0]).rstrip("()")
    return len(name) > 1 and any(_is_in(name, title) for title in block.path)


def _is_in(name: str, title: str) -> bool:
    """Does a title hold the name, one in Latin letters as a word of its own?"""
    edge = "[A-Za-z0-9_]"
    if name.isascii():
        return bool(re.search(rf"(?<!{edge}){re.escape(name)}(?!{edge})", title, re.I))
    return name.lower() in title.lower()
