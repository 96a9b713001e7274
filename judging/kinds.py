"""What a question asks for, told from its words: for scores by kind.

By the first pattern that fits; a question of two kinds has the first of them.
"""

import re
from typing import NamedTuple


class Kind(NamedTuple):
    """A kind of question: its name in both languages and the words that show it."""

    key: str
    zh: str
    en: str
    words: str


KINDS = (
    Kind("code", "写代码", "write code", r"代码|编写|写出|示例程序|实现.{0,12}(函数|程序|kernel)"),
    Kind("compare", "比较", "compare", r"区别|不同|比较|对比|相比|异同|优缺点|优势|versus"),
    Kind("why", "为什么", "why", r"为什么|为何|原因|为啥|why"),
    Kind("how", "怎么做", "how", r"如何|怎么|怎样|步骤|过程|方法|流程|how"),
    Kind("list", "列举", "list", r"哪些|哪几|分别|列举|包括什么|哪三|哪两|which"),
    Kind("number", "数值", "a number", r"多少|几个|几种|多大|多长|多久|how many|how much"),
    Kind("yes-no", "是非", "yes or no", r"是否|能否|可否|会不会|能不能|是不是|吗[？?]?$"),
    Kind("what", "是什么", "what is", r"什么|定义|含义|作用|哪个|何种|what"),
)  # fmt: skip
OTHER = Kind("other", "其他", "other", "")


def kind_of(question: str) -> Kind:
    """The kind of a question; OTHER where no pattern fits."""
    text = question.strip().lower()
    return next((kind for kind in KINDS if re.search(kind.words, text)), OTHER)
