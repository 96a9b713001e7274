"""Filters: each has a name, a reason, and beside it pairs that it drops and one that it keeps.

The examples are the filters' tests (`tests/test_data_filters.py`). To add a filter, write a
function that says whether a pair may stay, with `@filter_` above it: filters run in the order of
this file, and a dropped pair is counted under the first one that drops it.
"""

import re
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import NamedTuple

from common.language import either
from data.dropped import Dropped
from data.labels import label
from data.records import CODE, VERBATIM, Pair
from data.sources.sentence import points_elsewhere
from data.text import ascii_terms, cjk_share, normalise, sentences

QUESTION_CHARS = (4, 120)
ANSWER_CHARS = (6, 1500)
MIN_FOUND = 0.5  # share of the answer's Chinese character pairs that must occur in its chunk
_LIST_NUMBER = re.compile(r"[（(]\d{1,2}[)）]|(?:^|\n|；)\s*\d{1,2}[.、)]")


class Example(NamedTuple):
    """A pair as a filter meets it: with the text of the chunk that it was made from."""

    question: str
    answer: str
    kind: str = "other"
    chunk: str = (
        "线程束（warp）是 GPU 调度的基本单位，包含 32 个线程，它们同时执行相同的指令。"
        "cudaFree 释放内存。"
    )


@dataclass(frozen=True)
class Filter:
    """One reason to drop a pair.

    `keeps(pair, chunk)` says whether the pair may stay; `chunk` is the text it was made from, ""
    for merged pairs, which have none. `drops` are examples that this filter drops and no earlier
    one, `kept` is one that all filters let through.
    """

    name: str
    reason: str
    keeps: Callable[[Pair, str], bool]
    drops: Sequence[Example]
    kept: Example


FILTERS: dict[str, Filter] = {}
Keeps = Callable[[Pair, str], bool]


def filter_(
    name: str, reason: str, drops: Sequence[Example], kept: Example
) -> Callable[[Keeps], Keeps]:
    """Registers a function as a filter."""

    def register(keeps: Keeps) -> Keeps:
        FILTERS[name] = Filter(name, reason, keeps, drops, kept)
        return keeps

    return register


@filter_(
    "schema",
    "question or answer is empty, or they are the same",
    drops=[
        Example("什么是线程束？", " "),
        Example("线程束是基本单位", "线程束是基本单位。"),
    ],
    kept=Example("什么是线程束？", "线程束（warp）是 GPU 调度的基本单位，包含 32 个线程。"),
)
def _schema(pair: Pair, chunk: str) -> bool:
    question, answer = pair.question, pair.answer
    return bool(question.strip() and answer.strip()) and normalise(question) != normalise(answer)


@filter_(
    "language",
    "a Chinese book is asked in another language, or answered neither in Chinese nor in code",
    drops=[
        Example("What is a warp?", "A warp has 32 threads and runs them in lockstep."),
        Example("线程束是什么？", "A warp has 32 threads."),
    ],
    kept=Example("What is a warp?", "A warp has 32.", chunk="What a warp is: a warp has 32."),
)
def _language(pair: Pair, chunk: str) -> bool:
    if chunk and cjk_share(chunk) < 0.1 and pair.kind != CODE:
        return True
    # "什么是 threadIdx/blockIdx/gridDim？" is asked in Chinese, however much of it is names.
    asked = bool(re.search("[\u4e00-\u9fff]", pair.question))
    return asked and (pair.kind in VERBATIM or bool(re.search("[\u4e00-\u9fff]", pair.answer)))


@filter_(
    "length",
    f"question not of {QUESTION_CHARS[0]} to {QUESTION_CHARS[1]} characters, or answer not of "
    f"{ANSWER_CHARS[0]} to {ANSWER_CHARS[1]}",
    drops=[
        Example("线？", "线程束（warp）是 GPU 调度的基本单位。"),
        Example("什么是线程束？", "线程束" * 700),
    ],
    kept=Example("线程束？", "32 个线程。"),
)
def _length(pair: Pair, chunk: str) -> bool:
    low, high = QUESTION_CHARS
    high *= 4 if pair.kind == "choice" else 1  # its options stand in the question
    least, most = ANSWER_CHARS
    return low <= len(pair.question) <= high and least <= len(pair.answer) <= most


@filter_(
    "elsewhere",
    "points to 本章, 上图, “the text” or anything else that the reader does not see",
    drops=[
        Example("上图中的线程束是什么？", "线程束（warp）是 GPU 调度的基本单位。"),
        Example("什么是线程束？", "根据本章内容，线程束是 GPU 调度的基本单位。"),
    ],
    kept=Example(
        "请写出释放内存的代码。", "cudaFree(p); // 见图 3", CODE, "cudaFree(p); // 见图 3"
    ),
)
def _elsewhere(pair: Pair, chunk: str) -> bool:
    answer = "" if pair.kind in VERBATIM else pair.answer
    return not (points_elsewhere(pair.question) or points_elsewhere(answer))


@filter_(
    "truncated",
    "the answer ends inside a sentence or a piece of code",
    drops=[
        Example("什么是线程束？", "线程束（warp）是 GPU 调度的基本单位，包含以下线程："),
        Example("请写出释放内存的函数。", "void f() {\n    cudaFree(p);", CODE),
    ],
    kept=Example(
        "请写出释放内存的函数。", "void f() { cudaFree(p); }", CODE, "void f() cudaFree(p)"
    ),
)
def _truncated(pair: Pair, chunk: str) -> bool:
    answer = pair.answer.rstrip()
    if pair.kind in VERBATIM:
        return answer.count("{") == answer.count("}")
    if answer.count("```") % 2:
        return False
    if re.search(r"[，、：:,（(]$|(?:\.\.\.|…)。?$", answer):
        return False
    return (
        answer.endswith("```")
        or bool(re.search(r"[。！？.!?）)」”}\]；;`]$", answer))
        or (len(answer) < 60)
    )


@filter_(
    "repeating",
    "a sentence stands in the answer twice, or a run of characters over and over",
    drops=[
        Example("什么是线程束？", "线程束是调度的基本单位。线程束是调度的基本单位。"),
        Example("什么是线程束？", "调度线程束的最基本的单位，" * 5 + "很小。"),
    ],
    kept=Example("什么是线程束？", "线程束是调度的基本单位。线程束包含 32 个线程。"),
)
def _repeating(pair: Pair, chunk: str) -> bool:
    if pair.kind in VERBATIM:
        return True
    # Code under a sentence may say the same twice.
    chinese = [line for line in pair.answer.split("\n") if cjk_share(line) > 0.1]
    prose = "\n".join(chinese) or pair.answer
    said = [normalise(s) for s in sentences(prose) if len(s) > 6]
    if len(said) != len(set(said)):
        return False
    text = normalise(prose)
    runs = Counter(text[i : i + 12] for i in range(0, max(len(text) - 11, 0)))
    return not runs or max(runs.values()) <= 3


@filter_(
    "informative",
    "the answer says no more than the question",
    drops=[Example("线程束是基本单位吗？", "线程束是基本单位")],
    kept=Example("线程束是基本单位吗？", "线程束是调度的基本单位。"),
)
def _informative(pair: Pair, chunk: str) -> bool:
    return len(normalise(pair.answer)) >= 4 and normalise(pair.answer) not in normalise(
        pair.question
    )


@filter_(
    "grounded_terms",
    "an identifier, English term or number occurs neither in the chunk nor in its headings",
    drops=[
        Example("什么是线程束？", "线程束（warp）包含 64 个线程。"),
        Example("什么是线程束？", "线程束（wavefront）是 GPU 调度的基本单位。"),
        Example("cudaMalloc 的作用是什么？", "它释放内存，供其他程序使用。"),
    ],
    kept=Example("cudaFree 的作用是什么？", "cudaFree 释放内存。"),
)
def _grounded_terms(pair: Pair, chunk: str) -> bool:
    if not chunk:
        return True
    source = {term.lower() for term in ascii_terms(chunk + " " + " ".join(pair.path))}
    question, answer = pair.question, _LIST_NUMBER.sub(" ", pair.answer)
    if pair.kind == "choice":  # wrong options may name anything
        question, answer = question.split("\n")[0], re.sub(r"^\s*[A-D]\b", "", answer)
    said = ascii_terms(answer) + ascii_terms(question)
    return all(term.lower() in source for term in said)


@filter_(
    "grounded_content",
    "less than half of what the answer adds to the question occurs in the chunk",
    drops=[Example("什么是线程束？", "操作系统通过页表把虚拟地址翻译成物理地址。")],
    kept=Example("什么是页表？", "页表把虚拟地址翻译成物理地址。", chunk=""),
)
def _grounded_content(pair: Pair, chunk: str) -> bool:
    """Counted in pairs of Chinese characters; those of the question itself do not count."""
    if not chunk:
        return True
    text = re.sub("[^\u4e00-\u9fff]+", " ", pair.answer)
    pairs = [word[i : i + 2] for word in text.split() for i in range(len(word) - 1)]
    pairs = [two for two in pairs if two not in pair.question]
    if len(pairs) < 5:
        return True
    return sum(1 for two in pairs if two in chunk) / len(pairs) >= MIN_FOUND


# Those that look at the question as well.
OF_QUESTIONS = ("language", "length", "elsewhere", "grounded_terms")


@dataclass
class Filters:
    """The filters that are on; `dropped` counts pairs by the first filter that dropped them."""

    off: frozenset[str] = frozenset()
    dropped: Dropped = field(default_factory=Dropped)

    def __post_init__(self) -> None:
        """Raises ValueError for the name of a filter that does not exist."""
        unknown = self.off - FILTERS.keys()
        if unknown:
            names = ", ".join(sorted(unknown))
            known = ", ".join(
                f"{one.name} ({either(label(one.name), one.reason)})" for one in FILTERS.values()
            )
            raise ValueError(
                either(
                    f"没有清洗规则 {names}；有：{known}",
                    f"no cleaning rule {names}; there are: {known}",
                )
            )

    def keep(self, pairs: Iterable[Pair], chunk: str) -> list[Pair]:
        """The pairs that every filter lets through."""
        kept = []
        for pair in pairs:
            name = self.dropped_by(pair, chunk)
            if name:
                self.dropped.note(name, pair)
            else:
                kept.append(pair)
        return kept

    def dropped_by(self, pair: Pair, chunk: str) -> str:
        """Name of the first filter that drops the pair, or "".

        Where the answer is only a stand-in, the question has to pass alone.
        """
        held = FILTERS.keys()
        if pair.train_only:
            pair, held = replace(pair, answer=pair.question), OF_QUESTIONS
        for name in held:
            one = FILTERS[name]
            if name not in self.off and not one.keeps(pair, chunk):
                return name
        return ""
