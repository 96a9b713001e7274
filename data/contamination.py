"""Does a training set hold test questions? The check that most public training sets fail."""

import html
import re
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from rapidfuzz import fuzz, process

from common.pairs import Pair
from common.simplified import simplified
from data import records
from data.text import normalise, tidy

QUESTION_SIMILARITY = 0.85
ANSWER_SIMILARITY = 0.80
MIN_ANSWER_CHARS = 15  # shorter answers are alike by accident
SHORTEST_CONTAINED = 8  # a test question this long inside another question counts as asked
SHORTEST_SPELLED = 4  # this long, and a sentence of its own, it counts anywhere in a row
SHORTEST_INSIDE = 20  # a test answer this long counts inside a longer one
_PIECE = 8  # characters that both must share somewhere, to be compared at all
_BLOCK = 4096
_END_MARKS = "?!.。;:…"
_HTML = re.compile(
    r"</?(?:p|br|hr|b|i|u|s|em|strong|span|div|code|pre|li|ul|ol|h[1-6]|font|sub|sup|a|mark|small"
    r"|table|tbody|thead|tr|th|td|img|blockquote)(?:\s[^<>]*)?/?>",
    re.IGNORECASE,
)


@dataclass(frozen=True)
class Match:
    """A training row and the test pair it is closest to; similarity is 0 to 1.

    `text` is the question of the row, or of its talk, that is the closest or has that answer.
    """

    row: int
    test: int
    similarity: float
    part: str  # "question" or "answer"
    text: str


# What a row holds, each a question with its answer: its wordings, and the turns before it.
Texts = Sequence[tuple[str, str]]


def texts_of(pair: Pair) -> list[tuple[str, str]]:
    """All that training on a pair shows a model: every wording, earlier turns, system message; not
    the passages before a question, which are the book's."""
    pair = pair.alone
    texts = [(wording, pair.answer) for wording in pair.wordings] + list(pair.history)
    return texts + ([(pair.system, "")] if pair.system else [])


def shown(pair: records.Pair) -> list[tuple[str, str]]:
    """All that one row of a build shows a model: question, earlier turns, system message."""
    texts = [(pair.question, pair.answer), *pair.history]
    return texts + ([(pair.system, "")] if pair.system else [])


def closest(rows: Sequence[Texts], tests: Texts) -> Iterator[tuple[Match, Match, set[int]]]:
    """For each row: its closest test question and answer, and the test questions that it asks.

    Similarity of questions: InDel ratio on normalised text, or how much of the whole test
    question stands inside the row's question (prompts like "简答：…" hide nothing). One that is
    spelled as a sentence of its own counts in an answer, too: there it is learned with what
    follows. Of answers: the same ratio, or how much of the whole test answer stands inside the
    row's longer text, its question among it ("… What is this about?"). Streams in blocks: memory
    does not grow with the training set.
    """
    if not tests:
        return
    asked = [_plain(question) for question, _ in tests]
    answered = [_plain(answer) for _, answer in tests]
    long_enough = np.array([len(q) >= SHORTEST_CONTAINED for q in asked])
    answer_counts = np.array([len(a) >= MIN_ANSWER_CHARS for a in answered])
    for start in range(0, len(rows), _BLOCK):
        # Talks and wordings repeat one another; each text is compared once.
        held = [(start + n, t) for n, row in enumerate(rows[start : start + _BLOCK]) for t in row]
        block = list(dict.fromkeys(text for _, text in held))
        questions = [_plain(question) for question, _ in block]
        answers = [_plain(answer) for _, answer in block]
        whole = _table(questions, asked, fuzz.ratio)
        part = _table(questions, asked, fuzz.partial_ratio, cutoff=85) * long_enough
        # Only the test question inside a longer row counts, not a short row inside the test's.
        longer = np.array([len(q) for q in questions])[:, None] >= np.array([len(q) for q in asked])
        spelled = _spelled(block, tests)
        question_scores = np.maximum(np.maximum(whole, part * longer), 100 * spelled)
        answer_scores = _table(answers, answered, fuzz.ratio) * answer_counts
        answer_scores *= np.array([len(a) >= MIN_ANSWER_CHARS for a in answers])[:, None]
        both = [f"{q}\n{a}" for q, a in zip(questions, answers, strict=True)]
        answer_scores = np.maximum(answer_scores, _inside(both, answered))
        number_of = {text: number for number, text in enumerate(block)}
        members: dict[int, list[int]] = {}
        for row, text in held:
            members.setdefault(row, []).append(number_of[text])
        for row, numbers in members.items():
            question = _best(row, numbers, question_scores, "question", block)
            answer = _best(row, numbers, answer_scores, "answer", block)
            nearest = [(number, int(question_scores[number].argmax())) for number in numbers]
            least = 100 * QUESTION_SIMILARITY
            asked_here = {t for n, t in nearest if question_scores[n][t] >= least}
            yield question, answer, asked_here | set(np.flatnonzero(spelled[numbers].any(axis=0)))


def _best(row: int, numbers: list[int], scores: np.ndarray, part: str, block: Texts) -> Match:
    """The closest test pair to any of a row's texts."""
    text, test = divmod(int(scores[numbers].argmax()), scores.shape[1])
    number = numbers[text]
    return Match(row, test, float(scores[number][test]) / 100, part, block[number][0])


def _inside(texts: list[str], answered: list[str]) -> np.ndarray:
    """How much of a test answer stands inside a longer text, 0 to 100, from 90 on; else 0."""
    pieces: dict[str, set[int]] = {}
    for test, text in enumerate(answered):
        if len(text) >= SHORTEST_INSIDE:
            for at in range(0, len(text) - _PIECE + 1, _PIECE):
                pieces.setdefault(text[at : at + _PIECE], set()).add(test)
    scores = np.zeros((len(texts), len(answered)), dtype=np.float32)
    for row, text in enumerate(texts):
        found = (pieces.get(text[at : at + _PIECE], ()) for at in range(len(text) - _PIECE + 1))
        for test in set().union(*found):
            if len(text) > len(answered[test]):
                scores[row, test] = fuzz.partial_ratio(answered[test], text, score_cutoff=90)
    return scores


def _spelled(block: Texts, tests: Texts) -> np.ndarray:
    """Whether a text (question and answer) spells a test question as a sentence of its own.

    No letter stands directly before or after it: 什么是 warp 调度器？ does not ask 什么是 warp？.
    """
    wanted = [_squashed(question).strip(_END_MARKS) for question, _ in tests]
    found = np.zeros((len(block), len(tests)), dtype=bool)
    for row, text in enumerate(map(_squashed, map("\n".join, block))):
        for test, question in enumerate(wanted):
            if len(question) < SHORTEST_SPELLED:
                continue
            start = text.find(question)
            while start >= 0 and not found[row, test]:
                around = text[max(0, start - 1) : start] + text[start + len(question) :][:1]
                found[row, test] = not any(map(str.isalnum, around))
                start = text.find(question, start + 1)
    return found


def _plain(text: str) -> str:
    """Normalised, in Simplified Chinese, without the HTML of rows taken from web pages."""
    return simplified(normalise(_without_html(text)))


def _without_html(text: str) -> str:
    return html.unescape(_HTML.sub("\n", text)) if "<" in text or "&" in text else text


def _squashed(text: str) -> str:
    """As it reads without spaces and what is not seen; lines stay apart."""
    text = unicodedata.normalize("NFKC", tidy(_without_html(text)))
    return simplified(re.sub(r"[^\S\n]+", "", text).casefold())


def _table(left: list[str], right: list[str], scorer, cutoff: int = 0) -> np.ndarray:  # noqa: ANN001
    return process.cdist(
        left, right, scorer=scorer, score_cutoff=cutoff, dtype=np.float32, workers=-1
    )


def leaking(question: Match, answer: Match) -> Match | None:
    """The match that makes a row a leak, or None: the closer of the two over its threshold."""
    hits = []
    if question.similarity >= QUESTION_SIMILARITY:
        hits.append(question)
    if answer.similarity >= ANSWER_SIMILARITY:
        hits.append(answer)
    return max(hits, key=lambda hit: hit.similarity, default=None)


@dataclass(frozen=True)
class LeakCheck:
    """Outcome of checking a training set: which rows leak, which test questions are found.

    `best` maps each test pair's number to the row closest to its question.
    """

    rows: int
    tests: int
    leaks: list[Match]
    survivors: list[Match]
    found: set[int]


def check(rows: Sequence[Texts], tests: Texts, keep_survivors: int = 10) -> LeakCheck:
    """Compare every row, in all that it holds, with every test pair.

    `found` holds the test questions that some row asks (question over the threshold); `leaks`
    every row to remove, with the reason; `survivors` the closest rows that stay.
    """
    leaks: list[Match] = []
    survivors: list[Match] = []
    found: set[int] = set()
    for question, answer, asked in closest(rows, tests):
        found |= asked
        if hit := leaking(question, answer):
            leaks.append(hit)
            continue
        survivors.append(max(question, answer, key=lambda match: match.similarity))
        if len(survivors) > 50 * keep_survivors:
            survivors = _top(survivors, keep_survivors)
    return LeakCheck(len(rows), len(tests), leaks, _top(survivors, keep_survivors), found)


def _top(matches: list[Match], count: int) -> list[Match]:
    return sorted(matches, key=lambda match: (-match.similarity, match.row))[:count]
