"""Other wordings of a Chinese question by rule: what a small model needs to know a question again.

A model made from nothing has never read Chinese, so nothing tells it that 什么是X and 请简述X ask
the same. These rules do: they change what carries no meaning (politeness, question words,
order) and now and then drop characters, so that the model learns to go by the terms.
"""

import random
import re

# Empty ones are there several times: most questions come without politeness.
_OPENERS = [""] * 4
_OPENERS += ["请问", "请问，", "请简述", "简述", "请说明", "说明", "请解释", "请回答：", "解释一下"]
_OPENERS += ["请介绍", "谈谈", "试述", "在GPU编程中，", "在并行计算中，", "书中", "根据教材，"]
_OPENERS += ["我想知道", "能否说明", "你知道"]
_CLOSERS = ["", *"？？？?。", *["呢？", "吗？", "？请说明。", "？请简要回答。", "？请解释。"]]
_STRIP_HEAD = re.compile(
    r"^(请问|请简述|简述|请简要说明|请说明|说明|请解释|解释一下|解释|请回答|请介绍|介绍|谈谈|试述"
    r"|根据教材|书中|我想知道|能否说明)[，,：:]?"
)
_STRIP_TAIL = re.compile(r"[？?。.！!呢吗]+$")

# Each group: phrases that may stand for one another inside a question.
_GROUPS = [
    ["是什么", "是指什么", "指的是什么", "是什么意思", "指什么", "的含义是什么", "的定义是什么"],
    ["为什么", "为何", "什么原因使得", "为啥"],
    ["如何", "怎样", "怎么", "用什么方法"],
    ["有哪些", "包括哪些", "都有什么", "有哪几种", "包含哪些"],
    ["有什么区别", "有何不同", "区别是什么", "的差别在哪里", "有什么不同"],
    ["的作用是什么", "有什么作用", "有什么用", "用来做什么", "起什么作用", "的用途是什么"],
    ["哪些", "什么", "哪几个"],
    ["哪个", "什么", "哪一个", "哪种"],
    ["多少", "几个", "多大", "几"],
    ["需要", "要", "必须", "应当", "应该"],
    ["可以", "能", "能够", "可"],
    ["使用", "用", "采用", "利用"],
    ["由", "通过", "靠"],
    ["和", "与", "跟", "以及"],
    ["会", "将", "会发生"],
    ["的", ""],
    ["一个", "一", "每个", "某个"],
    ["大约", "大概", "约"],
    ["叫什么", "叫作什么", "称为什么", "名称是什么"],
    ["什么时候", "何时", "在什么情况下"],
    ["优点", "好处", "优势"],
    ["缺点", "不足", "代价", "坏处"],
    ["原因", "理由", "缘故"],
    ["计算", "求", "算"],
]  # fmt: skip
_SUBSTITUTES: dict[str, list[str]] = {}
for _group in _GROUPS:
    for _phrase in filter(None, _group):
        _SUBSTITUTES.setdefault(_phrase, []).extend(p for p in _group if p != _phrase)
_PHRASES = re.compile("|".join(sorted(map(re.escape, _SUBSTITUTES), key=len, reverse=True)))
_WHAT_IS = re.compile(r"^(?:什么是|何谓|什么叫)(.+)$")
_IS_WHAT = re.compile(r"^(.+?)(?:是什么|是指什么|指的是什么|指什么)$")
# Dropped as a unit: an identifier or number, else one character.
_UNITS = re.compile(r"[A-Za-z_][A-Za-z0-9_]*|[0-9.]+|.", re.S)


def core(question: str) -> str:
    """The question without polite opening and closing punctuation."""
    text = question.strip()
    text = _STRIP_HEAD.sub("", text)
    return _STRIP_TAIL.sub("", text) or question


def reword(question: str, rng: random.Random) -> str:
    """The same question in other words: 什么是X ↔ X是什么, synonyms, opening and closing."""
    text = core(question)
    if (found := _WHAT_IS.match(text)) and rng.random() < 0.5:
        text = found[1] + "是什么"
    elif (found := _IS_WHAT.match(text)) and rng.random() < 0.4:
        text = rng.choice(["什么是", "何谓", "什么叫", ""]) + found[1]
    if rng.random() < 0.7:
        text = _PHRASES.sub(
            lambda m: rng.choice(_SUBSTITUTES[m[0]]) if rng.random() < 0.4 else m[0], text
        )
    if rng.random() < 0.3 and "，" in text:
        clauses = text.split("，")
        rng.shuffle(clauses)
        text = "，".join(clauses)
    return rng.choice(_OPENERS) + text + rng.choice(_CLOSERS)


def blend(first: str, second: str, rng: random.Random) -> str:
    """Head of one wording and tail of another, cut at random places."""
    a, b = core(first), core(second)
    return a[: rng.randint(len(a) // 3, len(a))] + b[rng.randint(0, 2 * len(b) // 3) :]


def thin(question: str, share: float, rng: random.Random) -> str:
    """The question with about `share` of its characters and identifiers left out."""
    kept = [unit for unit in _UNITS.findall(question) if rng.random() >= share]
    return "".join(kept) or question


def keywords(question: str, answer: str, rng: random.Random) -> str:
    """A question of terms only: pieces of the answer among pieces of the question."""
    units = _UNITS.findall(answer)
    pieces = []
    for _ in range(rng.randint(1, 4)):
        start = rng.randrange(len(units))
        pieces.append("".join(units[start : start + rng.randint(2, 6)]))
    asked = _UNITS.findall(core(question))
    start = rng.randrange(len(asked))
    pieces.append("".join(asked[start : start + rng.randint(2, max(2, len(asked) // 2))]))
    rng.shuffle(pieces)
    return rng.choice(["", "，", "的"]).join(pieces) + rng.choice(_CLOSERS)


def vary(wordings: list[str], answer: str, rng: random.Random) -> str:
    """One training question drawn for a pair: sometimes as written, mostly changed."""
    question = rng.choice(wordings)
    draw = rng.random()
    if draw < 0.1:
        return question
    if draw < 0.25:
        return keywords(question, answer, rng)
    if draw < 0.45:
        question = blend(question, rng.choice(wordings), rng)
    question = reword(question, rng)
    return thin(question, rng.choice([0.0, 0.1, 0.2, 0.35]), rng)
