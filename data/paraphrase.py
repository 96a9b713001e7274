"""Paraphrases of questions by templates: training sees one fact asked in several wordings."""

import re
from collections.abc import Sequence
from dataclasses import replace

from data.records import Pair
from data.text import normalise

# (a question's pattern, templates of its paraphrases); {x} is what the pattern's group x caught.
_TEMPLATES: Sequence[tuple[re.Pattern[str], Sequence[str]]] = [
    (
        re.compile(r"^什么是\s*(?P<x>.+?)[？?]$"),
        ["{x}是什么？", "请解释{x}的含义。", "{x}指的是什么？", "如何理解{x}？"],
    ),
    (
        re.compile(r"^(?P<x>.+?)的作用是什么[？?]$"),
        ["{x}有什么作用？", "{x}是用来做什么的？", "请说明{x}的作用。", "{x}的用途是什么？"],
    ),
    (
        re.compile(r"^为什么\s*(?P<x>.+?)[？?]$"),
        ["{x}的原因是什么？", "请解释为什么{x}。", "为何{x}？"],
    ),
    (
        re.compile(r"^(?P<w>.{2,20}?\s?中)\s?为什么\s*(?P<x>.+?)[？?]$"),
        ["{w}为何{x}？", "请解释{w}为什么{x}。"],
    ),
    (
        re.compile(r"^请结合代码说明\s*(?P<x>.+?)\s*的用法。$"),
        ["{x} 怎么用？请给出代码。", "如何使用{x}？请结合代码说明。"],
    ),
    (
        re.compile(r"^请结合代码说明\s*(?P<x>.+?)。$"),
        ["请介绍{x}，并给出代码。", "{x}是怎么回事？请结合代码说明。"],
    ),
    (
        re.compile(r"^(?P<x>.+?)的(?P<n>[^的]{2,8})有哪些[？?]$"),
        ["{x}有哪些{n}？", "请列举{x}的{n}。"],
    ),
    (
        re.compile(r"^(?P<x>.+?)有什么(?:区别|不同)[？?]$"),
        ["{x}的区别是什么？", "请比较{x}。", "{x}有哪些不同之处？"],
    ),
    (
        re.compile(r"^请写出(?P<x>.+?)的实现代码。$"),
        ["{x}的代码怎么写？", "如何实现{x}？请给出代码。", "给出{x}的代码。"],
    ),
    (
        re.compile(r"^(?P<x>.+?)(?P<v>包括|包含)哪些(?P<n>.+?)[？?]$"),
        ["{x}都{v}哪些{n}？", "请列举{x}{v}的{n}。"],
    ),
    (
        re.compile(r"^请简要(?:介绍|说明)\s*(?P<x>.+?)。$"),
        ["请介绍一下{x}。", "请说明{x}。", "{x}是怎么回事？"],
    ),
    (re.compile(r"^(?P<x>.+?)，会怎样[？?]$"), ["{x}，会发生什么？", "{x}，结果如何？"]),
    (
        re.compile(r"^(?P<x>.+?)的(?P<n>[^的]{2,8})是什么[？?]$"),
        ["请说明{x}的{n}。", "什么是{x}的{n}？"],
    ),
    (re.compile(r"^(?P<x>.+?)多少(?P<n>.{1,12})[？?]$"), ["请问{x}多少{n}？", "{x}几{n}？"]),
    (re.compile(r"^(?P<x>.+?)有什么限制[？?]$"), ["{x}受到什么限制？", "使用{x}时有哪些限制？"]),
    (
        re.compile(r"^(?P<w>(?:.{2,20}?\s?中)?)\s?(?:如何|怎样)(?P<x>.+?)[？?]$"),
        ["{w}怎么{x}？", "请说明{w}如何{x}。"],
    ),
]


def wordings(question: str, count: int) -> list[str]:
    """Up to `count` other ways to ask `question`; none when no template fits."""
    for pattern, templates in _TEMPLATES:
        if match := pattern.match(question):
            made = [_tidy(template.format(**match.groupdict())) for template in templates]
            different = [text for text in made if normalise(text) != normalise(question)]
            return list(dict.fromkeys(different))[:count]
    return []


def _tidy(text: str) -> str:
    """A space between Chinese and an ASCII word that follows it."""
    return re.sub(r"([\u4e00-\u9fff])([A-Za-z_])", r"\1 \2", text).strip()


def paraphrased(pairs: Sequence[Pair], count: int) -> list[Pair]:
    """Each pair followed by its paraphrases, all in the pair's group.

    The wordings that a pair brings along are all used, and templates fill up to `count`; with a
    `count` of 0 there are no paraphrases at all. One that is already some pair's question is left
    out, so that no question has two answers.
    """
    asked = {normalise(pair.asked) for pair in pairs}
    found: list[Pair] = []
    for original in pairs:
        pair = replace(original, group=original.group or original.id)
        found.append(pair)
        # A question within a talk is not one for templates: what it means stands before it.
        made = [] if pair.history else wordings(pair.question, count)
        filling = made[: max(0, count - len(pair.wordings))]
        for text in [*pair.wordings, *filling] if count else ():
            wording = replace(pair, question=text, wordings=())
            bare = normalise(wording.asked)
            if bare not in asked:
                asked.add(bare)
                found.append(wording)
    return found
