"""Answers that a small model agrees on with itself: composed from the text, as it will serve.

A 1.5B answers better from passages than any stretch cut from the book does, and better still after
two worked examples; where its draws contradict each other, question or text are at fault. The kept
answer is the one nearest to the other draws (common/minimum_bayes_risk.py) and to the stretch that
it was asked about.
"""

import re
from collections.abc import Sequence

from common.language import either
from common.minimum_bayes_risk import agreements, f1
from common.prompting import SYSTEM_PROMPT, messages_for
from data.filters import Filters
from data.labels import label
from data.records import Chunk, pair_at
from data.sources.asking import ANSWER_TOKENS, Answered, Ask, Asked, Chat
from data.sources.faults import Told, code_of, fault_of, prose_of, reason
from data.sources.prompts import ModelSettings
from data.sources.spans import Span
from data.text import CJK, ascii_terms
from retrieval.examples import examples_of, turns_of
from retrieval.passages import Passage
from retrieval.prompt import with_passages

DRAWS = 8
TEMPERATURE = 0.6
LEAST_AGREEMENT = 0.45  # mean over the other draws: below, they say different things
NEARNESS = 0.5  # weight of the nearness to the stretch, beside the agreement's 1
GROUNDED = 0.6  # of the runs of three that an answer's prose adds to the question: in the text
CODE_LINES = 14  # at most in an answer: the core, not the program
PROSE_CHARS = 12  # at least beside code
UNCLEAR = either("几次回答不一致", "the draws contradict each other")
NOT_IN_BOOK = either("代码不是书里的", "its code is not in the book")
NOT_SAID = either("答案说的不在原文里", "the answer says what the text does not")
BARE = either("只有代码，没有说明", "code without a word")
LONG = either("答案太长", "the answer is too long")
_TOKEN = re.compile(rf"[a-z0-9]+|[{CJK}]")
_MACRO = re.compile(r"^\s*#define (\w+).*(?<!\\)$", re.M)
_FENCE = re.compile(r"^\s*```\w*\s*$")
_SAYS_SOURCE = re.compile(
    r"^直接回答[：:]\s*|^(?:根据|在|从)(?:[^，。\n]{0,6})教材(?:片段)?(?:中|里|的内容|的代码)*[，,：:]\s*"
)


def agreed(
    chunks: Sequence[Chunk], found: Sequence[tuple[int, Asked]], settings: ModelSettings, ask: Ask
) -> list[Answered]:
    """The answer to each first question from the text of its chunk, or why it is dropped.

    Only the chunk itself is shown: its pairs are cached by its text.
    """
    chats = [_chat(chunks[n], asked.questions[0]) for n, asked in found]
    replies = ask(chats, ANSWER_TOKENS, DRAWS, TEMPERATURE)
    longest = 2 * settings.style.chars[1]
    return [
        choose([tidied(text) for text in draws], chunks[n], asked.questions[0], asked.span, longest)
        for (n, asked), draws in zip(found, replies, strict=True)
    ]


def choose(draws: Sequence[str], chunk: Chunk, question: str, span: Span, longest: int) -> Answered:
    """The draw that agrees most with the others and the span, among those without a fault."""
    shares = agreement(draws)
    order = sorted(
        range(len(draws)),
        key=lambda n: (-(shares[n] + NEARNESS * likeness(draws[n], span.text)), n),
    )
    if max(shares) < LEAST_AGREEMENT:
        return Answered(reason=UNCLEAR)
    why = ""
    for number in order:
        if shares[number] < LEAST_AGREEMENT:
            continue
        fault = _fault(draws[number], chunk, question, span, longest)
        if not fault:
            return Answered(with_macros(draws[number], chunk.text))
        why = why or fault
    return Answered(reason=why)


def agreement(draws: Sequence[str]) -> list[float]:
    """The mean likeness of each draw to the others, 0 to 1."""
    return agreements([_tokens(text) for text in draws])


def likeness(first: str, second: str) -> float:
    """judging.scoring.chinese_rouge_l, in a hundredth of its time."""
    return f1(_tokens(first), _tokens(second))


def grounded_share(answer: str, question: str, text: str) -> float:
    """Of the runs of three tokens in an answer and not in its question: the share in the text."""
    asked, given = set(_threes(question)), set(_threes(text))
    added = [three for three in _threes(answer) if three not in asked]
    return sum(three in given for three in added) / len(added) if added else 1.0


def _threes(text: str) -> list[tuple[str, ...]]:
    tokens = _tokens(text)
    return list(zip(tokens, tokens[1:], tokens[2:], strict=False))


def _tokens(text: str) -> list[str]:
    return _TOKEN.findall(text.lower())


def tidied(answer: str) -> str:
    """An answer without fences, bold marks, empty lines and "根据教材片段，"."""
    plain = re.sub(r"\*\*([^*\n]+)\*\*", r"\1", _SAYS_SOURCE.sub("", answer.strip()))
    lines = [line.rstrip() for line in plain.split("\n")]
    return "\n".join(line for line in lines if line.strip() and not _FENCE.match(line)).strip()


def with_macros(answer: str, text: str) -> str:
    """The answer, before its code the one-line `#define`s of the text that this code uses."""
    code = code_of(answer)
    used = set(ascii_terms("\n".join(code)))
    lines = [m for m in _MACRO.finditer(text) if m[1] in used and m[0].strip() not in answer]
    if not code or not lines:
        return answer
    head, first, tail = answer.partition(code[0])
    return head + "\n".join(line[0].strip() for line in lines) + "\n" + first + tail


def is_verbatim(answer: str, text: str) -> bool:
    """Does every line of the answer's code stand in the text, blanks and comments aside?"""
    given = {_bare(line) for line in text.split("\n")}
    return all(_bare(line) in given for line in code_of(answer) if _bare(line))


def _bare(line: str) -> str:
    return re.sub(r"\s+", "", re.sub(r"//.*$", "", line))


def _fault(answer: str, chunk: Chunk, question: str, span: Span, longest: int) -> str:
    code = code_of(answer)
    if code and len(prose_of(answer)) < PROSE_CHARS:
        return BARE
    if len(code) > CODE_LINES or len(prose_of(answer)) > longest:
        return LONG
    if not is_verbatim(answer, chunk.text):
        return NOT_IN_BOOK
    found = fault_of(Told(question, answer, chunk.text, span.text, chunk.path))
    if found:
        return reason(found)
    name = Filters().dropped_by(pair_at(chunk, question, answer, "other", "vllm"), chunk.text)
    if name:
        return label(name)
    share = grounded_share(prose_of(answer), question, chunk.text)
    return NOT_SAID if share < GROUNDED else ""


def _chat(chunk: Chunk, question: str) -> Chat:
    passage = Passage(chunk.id, chunk.book, chunk.path, chunk.start, chunk.end, chunk.text)
    history = turns_of(examples_of(True))
    return messages_for(with_passages(question, [passage]), SYSTEM_PROMPT, history)
