"""What a question asks for, told from its words: for scores by kind, and for data of like kinds.

By the first pattern that fits: what a question asks for shows in few words. The keys are those that
sources of pairs name their kinds by (data/prompts/kinds.md).
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
    Kind("code", "写代码", "write code", r"代码|写出|编写|程序"),
    Kind("comparison", "比较", "compare", r"区别|不同|差异|相比|比较|对比|异同"),
    Kind("why", "为什么", "why", r"为什么|为何|原因"),
    Kind("calculation", "数值", "a number", r"多少|几个|计算"),
    Kind("enumeration", "列举", "list", r"哪些|哪几|列举|分别"),
    Kind("how", "怎么做", "how", r"如何|怎样|怎么|步骤"),
    Kind("definition", "是什么", "what is", r"什么是|是什么|是指|含义|定义"),
)
FACT = Kind("fact", "其他事实", "another fact", "")


def kind_of(question: str) -> Kind:
    """The kind of a question; FACT where no pattern fits."""
    return next((kind for kind in KINDS if re.search(kind.words, question)), FACT)
