"""Questions that the book asks itself, in its text or as a heading."""

import re
from collections.abc import Iterator, Sequence

from data.sources.rules.nouns import tags
from data.sources.rules.phrases import names_something, unnumbered
from data.sources.rules.registry import Bad, Candidate, Good, Place, rule
from data.sources.sentence import clean_sentences, strip_lead

_QUESTION_WORD = re.compile(r"什么|为何|如何|怎[么样]|哪|多少|几|吗|呢|是否|区别")
_OPENS = re.compile(r"什么是|为什么|为何|如何|怎[么样]|何时|何谓")
_CLOSES = re.compile(r"是什么|有哪些|是怎样的|有什么(?:区别|不同|用|好处)$")
MAX_ANSWER = 300


@rule(
    "asked",
    kinds=("asked",),
    patterns=(_QUESTION_WORD,),
    good=[
        Good(
            "共享内存和全局内存哪个更快？共享内存在芯片上，比全局内存快得多，容量也小得多。",
            "共享内存和全局内存哪个更快？",
            "共享内存在芯片上，比全局内存快得多，容量也小得多。",
        )
    ],
    bad=[
        Bad("这是什么呢？我们很快就会看到答案，请耐心地继续读下去。", "names nothing"),
        Bad("如何启动服务？请在终端里执行。", "what to run stands in the code after it"),
    ],
)
def _asked(at: Place) -> Iterator[Candidate]:
    question = strip_lead(at.sentence).rstrip("？?")
    question = re.sub(r"(?:呢|吧|呀|啊)$", "", question)
    question = re.split(r"[。；：]", question)[-1]
    if not 6 <= len(question) <= 50 or not _QUESTION_WORD.search(question):
        return
    if re.search(r"是不是|吗$|呢", question) or not names_something(question):
        return
    answer = _answer(at.following)
    if answer and _takes_up(answer, question):
        yield Candidate("asked", question, answer)


@rule(
    "heading",
    kinds=("asked",),
    patterns=(_OPENS, _CLOSES),
    good=[
        Good(
            "# 1.2 为什么需要线程束\n\n线程束让硬件用一条指令驱动许多线程，省下了译码的电路。",
            "为什么需要线程束？",
            "线程束让硬件用一条指令驱动许多线程，省下了译码的电路。",
        ),
        Good(
            "# 附录B 原子操作有哪些\n\n加法、减法、交换和比较交换都有各自的原子操作可用。",
            "原子操作有哪些？",
            "加法、减法、交换和比较交换都有各自的原子操作可用。",
        ),
    ],
    bad=[
        Bad("# 为什么要这样做\n\n硬件用一条指令驱动许多线程，省下了电路。", "这样: how?"),
        Bad("# 如何安装编译器\n\n安装编译器分几步走，顺序如下：", "only announces what follows"),
    ],
)
def _heading(at: Place) -> Iterator[Candidate]:
    block = at.block
    if not at.opens_section or not block.path:
        return
    question = unnumbered(block.path[-1]).rstrip("？? ")
    if not (_OPENS.match(question) or _CLOSES.search(question)):
        return
    if not names_something(question) or len(question) > 40:
        return
    answer = _answer(clean_sentences(block.text))
    if answer and not block.text.rstrip().endswith(("：", ":")):
        yield Candidate("asked", question, answer)


def _answer(sentences: Sequence[str]) -> str:
    answer = ""
    for sentence in sentences:
        if sentence.endswith(("？", "?", "：", ":")) or len(answer) + len(sentence) > MAX_ANSWER:
            break
        answer += sentence
    # What is to be run stands in the code after it, which the answer would lack.
    if re.search(r"(?:执行|运行|输入|键入|使用)[。.]?$", answer):
        return ""
    return answer if len(answer) >= 20 else ""


def _takes_up(answer: str, question: str) -> bool:
    """Does the answer speak of most of the things that the question names?"""
    named = {w.lower() for w, flag in tags(question) if flag[0] in "nx" or flag == "eng"}
    named = {word for word in named if len(word) > 1}
    found = sum(1 for word in named if word in answer.lower())
    return bool(named) and found / len(named) > 0.6 and found >= 2
