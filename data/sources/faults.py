"""What is wrong with a question and its answer that a pattern can tell: each fault has a name.

Made from an independent reader's verdicts on 100 pairs of a real book (see docs/data.md). They are
for a small model's questions, which go astray in these ways; a person's pairs are not held to them.
"""

import re
from collections.abc import Callable, Sequence
from typing import NamedTuple

from common.language import either
from data.code_lines import Look, code_of, looks
from data.sources.sentence import points_elsewhere
from data.text import CJK, ascii_terms, normalise, sentences

COPIED = 25  # characters of the book in a row in a question: a statement with 吗 or 如何 around it
REPEATED = 7  # Chinese characters or Latin words in a row that a question says twice
KNOWN = 0.6  # of the pairs of Chinese characters of a question: words the book uses itself
_NUMBERING = re.compile(
    r"^\s*(?:第\s*[\d一二三四五六七八九十百]+\s*[章节篇部][、.\s]*|[※§]\s*|"
    r"(?:\d+(?:\.\d+)*(?:[.、)）]|(?=\s))|[一二三四五六七八九十]+[、.])\s*)+"
)
_CAUSE = re.compile(
    r"因为|由于|因此|所以|为了|使得|从而|导致|避免|防止|以便|造成|原因|取决于|受限|否则|就?不必"
    r"|只有.{1,40}才|这样|因而|缘故|来自|减少|增加|提高"
)
_WHY = re.compile(r"为什么|为何|原因")
_HOW = re.compile(r"如何|怎么|怎样|方法|方案|步骤")
_DEFINES = re.compile(r"(?:是指|指的是|是一种|是一个|就是)")
_DOES = re.compile(r"可以|先|使用|通过|利用|调用|采用|需要|将|把|用|设|让|令|按|每")
_PAIR = re.compile(r"([A-Za-z_]\w*)[^，,。？?\u4e00-\u9fff]{0,12}(?:和|与|跟|、)\s*([A-Za-z_]\w*)")
_STRAY = re.compile(
    r":::|\[![A-Za-z]*|布局图|\bLine \d|图(?:中|示|所示|来理解)|如.{0,20}(?:所述|所示)"
    r"|章节中|更多.{0,6}(?:参|见)|[（(]?参[见考看]"
)
_DANGLES = re.compile(
    r"^\s*(?:[-*+•]\s|\d{1,2}[.、)）]\s*\S|(?:在|对于?)?(?:这|那)[两些种个]|想要解决这|其中|因此|所以|于是|同样|"
    r"由于可|在聊|如果还|从代码|我们|但|而|它|此|并且|或者|然后|接着|对于初学者|一个自然的)"
)
_DANGLING_END = re.compile(r"(?:[；;，,：:、]|\[!)\s*$")


class Told(NamedTuple):
    """A pair as the checks meet it: with the stretch it was asked about and its headings.

    `text` is that of the whole chunk, `about` the stretch, `path` the headings above it.
    """

    question: str
    answer: str
    text: str
    about: str
    path: tuple[str, ...] = ()


def without_numbering(title: str) -> str:
    """A heading without "2.1", "三、" or "第 3 章"; as it is where nothing else is left.

    >>> without_numbering("2.2 GPU 层次结构")
    'GPU 层次结构'
    """
    return _NUMBERING.sub("", title).strip() or title.strip()


def is_named(title: str, text: str) -> bool:
    """Does a text name what a heading names: its words, or all of its Latin terms?"""
    bare = without_numbering(title)
    said, terms = normalise(text), ascii_terms(bare)
    if len(normalise(bare)) > 1 and normalise(bare) in said:
        return True
    return bool(terms) and all(normalise(term) in said for term in terms)


def prose_of(answer: str) -> str:
    """An answer without its lines of code."""
    code = set(code_of(answer))
    return "\n".join(x for x in answer.split("\n") if x not in code and "```" not in x).strip()


def _two_questions(told: Told) -> bool:
    return len(re.findall("[？?]", told.question)) > 1


def _numbering(told: Told) -> bool:
    """A number of a heading, where the text has no such number."""
    numbers = {n for title in told.path for n in re.findall(r"\d+(?:\.\d+)+", title)}
    numbers |= {m[1] + "." for t in told.path if (m := re.match(r"\s*(\d+)[.、]\s", t))}
    return any(re.search(rf"(?<![\d.\w]){re.escape(n)}", told.question) for n in numbers)


def _heading(told: Told) -> bool:
    """Asks about a heading's subject that the stretch itself does not name."""
    asked = normalise(told.question)
    # What code is about stands in the prose around it.
    about = told.text if code_of(told.answer) else told.about
    return any(
        len(title) >= 4 and normalise(title) in asked and not is_named(title, about)
        for title in map(without_numbering, told.path)
    )


def _copied(told: Told) -> bool:
    asked, said = normalise(told.question), normalise(told.text)
    return any(asked[i : i + COPIED + 1] in said for i in range(len(asked) - COPIED))


def _repeats(told: Told) -> bool:
    said = re.findall(rf"\w+|[{CJK}]", re.sub(rf"([{CJK}])", r" \1 ", told.question.lower()))
    runs = [tuple(said[i : i + REPEATED]) for i in range(len(said) - REPEATED + 1)]
    return len(runs) != len(set(runs))


_ASKING = re.compile(
    r"请问|请说明|请|为什么|为何|什么|如何|怎么样?|怎样|哪些|哪个|哪种|几个|多少|是否|有何|分别|"
    r"写出|核心|代码|说明|给出|简述|解释|列出|区别|不同|作用|含义|原因|方法|步骤|条件|影响|"
    r"实现|计算|使用|进行|以及|并且|需要|可以|之间|关系|意味着|表示|结果|会|的|是|有|在|中|和|与|并|它"
)


def _unknown_words(told: Told) -> bool:
    """Chinese words that the book never uses: a term translated by the model, or made up."""
    said = told.text + "".join(told.path)
    runs = re.findall("[\u4e00-\u9fff]{2,}", _ASKING.sub(" ", told.question))
    pairs = [run[i : i + 2] for run in runs for i in range(len(run) - 1)]
    return len(pairs) >= 4 and sum(two in said for two in pairs) < KNOWN * len(pairs)


def _why_without_cause(told: Told) -> bool:
    """Asks why, and is given no cause, or the question again as its own cause."""
    if not _WHY.search(told.question):
        return False
    prose = prose_of(told.answer)
    cause = re.search(r"(?:因为|由于)([^，,。；]+)", prose)
    circular = cause is not None and normalise(cause[1]) in normalise(told.question)
    return circular or not _CAUSE.search(prose)


def _formula_without_equation(told: Told) -> bool:
    asked = re.search(r"公式|表达式", told.question)
    return bool(asked) and not re.search(r"[=＝≤≥]|\\(?:frac|le|ge)", told.answer)


def _how_without_means(told: Told) -> bool:
    """Asks how, and is told what it is."""
    if not _HOW.search(told.question) or code_of(told.answer):
        return False
    said = sentences(prose_of(told.answer))
    means = [s for s in said if _DOES.search(s) and not _DEFINES.search(s)]
    return bool(said) and bool(_DEFINES.search(told.answer)) and not means


def _one_of_two(told: Told) -> bool:
    """Asks about A and B, and one of them is not in the answer."""
    said = {term.lower() for term in ascii_terms(told.answer)}
    named = [name.lower() for found in _PAIR.findall(told.question) for name in found]
    return any(name not in said for name in named)


def _code_missing(told: Told) -> bool:
    asked = re.search(r"(?:写出|给出|列出|核心|用).{0,12}代码", told.question)
    return bool(asked) and not code_of(told.answer)


def _half_code(told: Told) -> bool:
    return bool(code_of(told.answer)) and told.answer.count("{") != told.answer.count("}")


def _asks_back(told: Told) -> bool:
    return bool(re.search("[？?]", prose_of(told.answer)))


def _stray(told: Told) -> bool:
    prose = prose_of(told.answer)
    return bool(_STRAY.search(prose)) or points_elsewhere(prose)


def _dangles(told: Told) -> bool:
    last = told.answer.rstrip().split("\n")[-1]
    end = not looks(last, Look.SIGNS) and _DANGLING_END.search(last)
    return bool(_DANGLES.search(told.answer) or end)


# In the order in which they are looked for; a pair is counted under the first.
FAULTS: dict[str, tuple[Callable[[Told], bool], str]] = {
    "two_questions": (_two_questions, either("一次问了两个问题", "asks two questions at once")),
    "numbering": (_numbering, either("问的是章节编号", "asks about a heading's number")),
    "heading": (
        _heading,
        either("拿标题当主语，原文没有说", "the subject is a heading that the text does not name"),
    ),
    "copied": (_copied, either("把原文的一句话改成问句", "a statement of the book as a question")),
    "repeats": (_repeats, either("问题里同样的话说了两遍", "the question repeats itself")),
    "unknown_words": (
        _unknown_words,
        either("问题用了书里没有的说法", "the question uses words that the book does not"),
    ),
    "why": (_why_without_cause, either("问为什么，没有答原因", "asks why, no cause is given")),
    "formula": (
        _formula_without_equation,
        either("问公式，没有答公式", "asks for a formula, none is given"),
    ),
    "how": (_how_without_means, either("问怎样做，答的是定义", "asks how, a definition is given")),
    "one_of_two": (_one_of_two, either("问两样，只答了一样", "asks about two, one is missing")),
    "code": (_code_missing, either("要代码，没有代码", "asks for code, none is given")),
    "half_code": (_half_code, either("代码不完整", "its code is cut")),
    "asks_back": (_asks_back, either("答案里有问句", "the answer asks a question")),
    "stray": (_stray, either("答案提到别处", "the answer points elsewhere")),
    "dangles": (
        _dangles,
        either("答案从半句开始，或停在半句", "the answer begins or ends inside a thought"),
    ),
}


# Those of the question alone. A question that is answered anew may take its subject from the
# headings: it is answered from the section that they head.
OF_QUESTIONS = ("two_questions", "numbering", "copied", "repeats", "unknown_words")


def fault_of(told: Told, among: Sequence[str] = tuple(FAULTS)) -> str:
    """The name of the first fault of a pair, or "" where none is found."""
    return next((name for name in among if FAULTS[name][0](told)), "")


def reason(name: str) -> str:
    """What a fault is called in a report."""
    return FAULTS[name][1]
