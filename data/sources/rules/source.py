"""Where each rule is asked, and what becomes of what it proposes.

Raise VERSION whenever a rule changes: pairs are then made anew instead of taken from the cache.
"""

import re
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from enum import Enum

from common.language import either
from data.options import option
from data.records import CODE, ITEM, PARAGRAPH, QUOTE, TABLE, VERBATIM, Block, Chunk, Pair, pair_at
from data.sources import Estimate, SourceSettings
from data.sources.rules.compose import close_gaps, prose_of
from data.sources.rules.named import is_vouched, subjects
from data.sources.rules.registry import RULES, Candidate, Place
from data.sources.rules.scope import in_scope, of_parent, task_in_scope
from data.sources.rules.silence import OF_SEVERAL, why_silent
from data.sources.rules.strict import ASKED, cut_short, needs_no_field, why_not_strict
from data.sources.sentence import clean_sentences, is_standalone, polish, without_gaps

VERSION = "26"
SECONDS_PER_CHUNK = 0.013  # on one small CPU core; only for the estimate


@dataclass(frozen=True)
class BySentence:
    """Rules asked about each statement of a block, unless it is shorter or announces ("…：")."""

    shortest: int
    statements: Sequence[str]


FIRST_PASS = BySentence(
    10,
    (
        "definition",
        "purpose",
        "api",
        "attribute",
        "comparison",
        "number",
    ),
)
SECOND_PASS = BySentence(
    12,
    (
        "suitability",
        "parts",
    ),
)
# Of an item of a list what it is for is asked only where it is marked as a term (item.py).
OF_ITEMS = BySentence(10, ("definition", "attribute", "comparison", "number"))
TEXT = ("introduction", "aspect", FIRST_PASS, SECOND_PASS, "section", "shown", "whole")
# Kind of block → the rules asked about it. Of two that ask the same question the first wins.
ORDER: dict[str, Sequence[str | BySentence]] = {
    CODE: ("function", "expression", "whole"),
    ITEM: ("aspect", "item", OF_ITEMS, SECOND_PASS, "shown", "whole"),
    PARAGRAPH: TEXT,
    QUOTE: TEXT,
    TABLE: ("table", "sides"),
}


class Level(str, Enum):
    """How much the rules ask: what strict.py lets through, what a heading is about, all."""

    strict = "strict"
    wide = "wide"
    all = "all"


class RulesSettings(SourceSettings):
    """What the rules can be told."""

    rules: Level = option(
        Level.wide,
        "问多少：strict 题最少最好；wide 标题专讲的都问；all 没有标题专讲的也问",
        "how much to ask: strict the fewest and best; wide whatever a heading is about; all more",
    )
    topic: str = option(
        "",
        "书讲的是什么（如 CUDA），写进只有短名字的问题里；默认从书名、目录名和标题里找",
        "what the book is about (CUDA), named in questions about bare words; by default found in "
        "the title, the folder's name and the headings",
    )


class RulesSource:
    """The default source: deterministic, offline, about a second for a book."""

    name = "rules"
    one_batch = False
    names_topics = True  # questions depend on Chunk.topics

    def __init__(self, settings: RulesSettings | None = None) -> None:
        self.settings = settings or RulesSettings()
        told = [self.settings.rules.value, self.settings.topic]
        self.fingerprint = "/".join(["rules", VERSION, *filter(None, told)])
        self.notes: list[str] = []

    def pairs(self, chunks: Sequence[Chunk]) -> Iterator[tuple[Chunk, list[Pair]]]:
        """Pairs of each chunk in order."""
        for chunk in chunks:
            topics = [self.settings.topic] if self.settings.topic else chunk.topics
            yield chunk, list(chunk_pairs(chunk, topics, level=self.settings.rules))

    def estimate(self, chunks: Sequence[Chunk]) -> Estimate:
        """Rules cost no calls and no tokens."""
        return Estimate(
            0, 0, 0, len(chunks) * SECONDS_PER_CHUNK, either("一个小 CPU 核", "a small CPU core")
        )


_NAMELESS = re.compile(
    r"(?:[\d.]+\s*)?(?:示例|例子|样例|举例|范例|例|语法|参数|参数说明|返回值|用法|练习|习题|思考题?|作业|课后.*"
    r"|(?:附加|参考|学习|相关|扩展|更多)?(?:资源|资料|文献|阅读|链接|书目|文章)|延伸阅读|推荐阅读|例题.*|实战.*|案例.*|.*(?:示例|实例|案例|例子))"
)


_OF_ONE_THING = ("definition", "explain")
# "…的发行版，非常适合用于教学。": praise at the end, without which the rest stands as well.
_PADDING = re.compile(r"，(?:因此|所以|因而)?(?:非常|十分|特别|尤其|很|最)适合[^，。；]{2,30}。$")


def chunk_pairs(
    chunk: Chunk,
    topics: Sequence[str] = (),
    only: Collection[str] = RULES.keys(),
    level: Level = Level.wide,
) -> Iterator[Pair]:
    """What the rules named `only` make of a chunk; of one question the first answer stays.

    topics: what the book is about here; the first is named beside bare words (scope.py).
    """
    seen: set[str] = set()
    if level is Level.strict:
        only = [name for name in ASKED if name in only]
    for index, block in enumerate(chunk.blocks):
        nameless = block.path and _NAMELESS.fullmatch(block.path[-1].strip("：: "))
        for kind, question, answer, composed in _candidates(chunk, index, only):
            if nameless and block.kind != CODE and not composed:
                continue  # "单元格 A1 为 2" holds in that example only, "type=0" for one function
            question = bare = polish_question(question)
            if question in seen or not is_standalone(question) or not _is_balanced(question):
                continue
            if composed:
                question = task_in_scope(question, answer, topics, block.path)
                told = not why_silent(question, prose_of(answer), kind, OF_SEVERAL)
                if question and question not in seen and told:
                    seen.add(question)
                    yield pair_at(
                        chunk, question, close_gaps(answer), kind, RulesSource.name, block
                    )
                continue
            answer = answer if kind in VERBATIM else polish(answer)
            if kind in _OF_ONE_THING:
                answer = _PADDING.sub("。", answer)
            if kind not in VERBATIM and not (is_standalone(answer) and _is_balanced(answer)):
                continue
            if why_silent(question, answer, kind):
                continue
            if kind not in (*VERBATIM, "expression"):
                if not (level is Level.all or is_vouched(kind, question, answer, block, topics)):
                    continue
                if kind in ("definition", "explain") and _told_before(
                    question, chunk.blocks, index
                ):
                    continue
                near = " ".join([*block.path[-2:], *_texts(chunk.blocks, block.path)])
                fields = topics or of_parent(block.path, answer)
                bare, question = question, in_scope(question, answer, fields, near)
            if level is Level.strict:
                answer = cut_short(without_gaps(answer))
                if question != bare and not needs_no_field(bare, answer):
                    continue
                if why_not_strict(bare, answer, block):
                    continue
                question = bare
            told = f"{subjects(question)[:1]}{answer}"  # 什么是 X and 请简要介绍 X, of one sentence
            if not question or question in seen or told in seen:
                continue
            seen |= {question, told}
            answer = answer if kind in VERBATIM else without_gaps(answer)
            yield pair_at(chunk, question, answer, kind, RulesSource.name, block)


def _texts(blocks: Sequence[Block], path: Sequence[str]) -> list[str]:
    """What stands in a section, without its code."""
    return [block.text for block in blocks if block.path == path and block.kind != CODE]


def _told_before(question: str, blocks: Sequence[Block], index: int) -> bool:
    """Has an earlier item of the section's list begun with the term, and said what it is?

    A later item on it tells something more, and does not define it.
    """
    if blocks[index].kind != ITEM:
        return False
    name = "|".join(map(re.escape, subjects(question)[:1]))
    opens = re.compile(rf"[*`]*(?:{name})[*`]*\s*(?:[（(][^（）()]*[)）])?\s*(?:：|是|指|用)", re.I)
    return bool(name) and any(
        opens.match(block.text) for block in blocks[:index] if block.path == blocks[index].path
    )


def _is_balanced(text: str) -> bool:
    """Quotes and brackets that open also close; one alone is a leftover of its sentence."""
    pairs = ("“”", "‘’", "「」", "『』", "（）", "《》", "[]")
    text = text.translate(str.maketrans("()", "（）"))  # a sentence may mix them
    closed = all(text.count(left) == text.count(right) for left, right in pairs)
    return closed and not (text.count('"') % 2 or text.count("`") % 2)


def polish_question(question: str) -> str:
    """One question mark at the end, no doubled spaces."""
    bare = " ".join(question.split()).rstrip("？?。，,；;：:．. ")
    return f"{bare}{'。' if bare.startswith(('请', '写出', '给出')) else '？'}"


def _candidates(chunk: Chunk, index: int, only: Collection[str]) -> Iterator[Candidate]:
    for step in ORDER.get(chunk.blocks[index].kind, ()):
        if isinstance(step, BySentence):
            yield from _from_sentences(step, chunk.blocks, index, only)
        elif step in only:
            yield from RULES[step].find(Place(chunk.blocks, index, whole=chunk.whole))


def _from_sentences(
    step: BySentence, blocks: Sequence[Block], index: int, only: Collection[str]
) -> Iterator[Candidate]:
    sentences = clean_sentences(blocks[index].text)
    for number, sentence in enumerate(sentences):
        if len(sentence) < step.shortest or sentence.endswith(("：", ":")):
            continue
        if sentence.endswith(("？", "?")):
            continue
        for name in step.statements:
            if name in only:
                yield from RULES[name].find(Place(blocks, index, sentences, number))
