"""The judge's accuracy, bit for bit, and honest companions beside it.

Accuracy is the mean over the questions of

    RougeScorer(["rougeL"], use_stemmer=False)
        .score(" ".join(jieba.lcut(reference)), " ".join(jieba.lcut(answer)))["rougeL"].fmeasure

where a missing answer counts as "", and an empty answer or reference scores 0. ROUGE-L compares
token sequences: with L the length of their longest common subsequence, precision = L / tokens of
the answer, recall = L / tokens of the reference, F1 = 2 * precision * recall / (precision + recall)
(Lin 2004; rouge-score 0.1.2).

What it really counts: rouge-score's own tokenizer lower-cases the text and keeps only runs of
[a-z0-9]. Chinese characters are no tokens, however jieba cut them. So **an all-Chinese answer that
equals its reference word for word scores 0**, and the score of any other pair depends on its Latin
words and numbers alone. The judge's number is therefore shown with

- the ceiling: the score when every answer is its reference. Below 1 by the share of references
  without a single counted token; no answers whatever score more;
- the echo baseline: the score when every answer repeats its question;
- Chinese-aware ROUGE-L: the same formula over tokens that are single Chinese characters and runs of
  [a-z0-9], so that Chinese text counts as well.

jieba and rouge-score load at the first score, not at import.
"""

import functools
import logging
import re
import statistics
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from types import ModuleType
from typing import Any

# Answers are called over-long or cut by these rules; they are for reading, not for judging.
OVER_LONG_RATIO = 2.0
OVER_LONG_EXTRA = 50
REPEATS_FROM = 0.75
CUT_MIN_CHARACTERS = 20
_ENDINGS = "。！？；…!?.;)）]】}」』》>”’\"'`"

_CHINESE_TOKEN = re.compile(r"[a-z0-9]+|[\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff]")


@dataclass(frozen=True)
class ItemScore:
    """One answer against its reference. Scores are in [0, 1].

    `score`, `precision` and `recall` are the judge's; `missed` and `stray` are the tokens it counts
    that only the reference, or only the answer, has, in order. `echo` is None without a question.
    """

    score: float
    precision: float
    recall: float
    ceiling: float
    echo: float | None
    chinese: float
    missed: tuple[str, ...]
    stray: tuple[str, ...]
    empty: bool
    looks_cut: bool
    over_long: bool
    repeats: bool


@dataclass(frozen=True)
class Scores:
    """Means over a test set's questions, and the items they come from.

    `stderr` is the standard error of `accuracy` (0 for a single question): two runs that differ by
    less than twice that may well be equally good on another test set of this kind.
    """

    accuracy: float
    stderr: float
    ceiling: float
    echo: float | None
    chinese: float
    precision: float
    recall: float
    empty: int
    looks_cut: int
    over_long: int
    repeats: int
    items: tuple[ItemScore, ...]


def rouge_l(reference: str, answer: str) -> float:
    """The judge's score of one answer, in [0, 1]."""
    return float(_judge_score(reference, answer).fmeasure)


def accuracy(references: Sequence[str], answers: Sequence[str]) -> float:
    """The judge's accuracy: the mean of `rouge_l`, in [0, 1].

    Missing answers count as "", further ones are ignored. Raises ValueError without references.
    """
    if not references:
        raise ValueError("accuracy of no question at all: give at least one reference")
    pairs = zip(references, padded(answers, len(references)), strict=True)
    return _mean([rouge_l(reference, answer) for reference, answer in pairs])


def padded(answers: Sequence[str], count: int) -> list[str]:
    """Exactly `count` answers: "" for each missing one, further ones left out."""
    return [*answers[:count], *[""] * (count - len(answers))]


def score_answers(
    references: Sequence[str], answers: Sequence[str], questions: Sequence[str] | None = None
) -> Scores:
    """Every number of this module for one test set; `questions` are for the echo baseline.

    Missing answers count as "", further ones are ignored. Raises ValueError without references or
    when there are not as many questions.
    """
    if questions is not None and len(questions) != len(references):
        raise ValueError(f"{len(questions)} questions for {len(references)} references")
    if not references:
        raise ValueError("scores of no question at all: give at least one reference")
    asked: Sequence[str | None] = questions if questions is not None else [None] * len(references)
    items = tuple(
        score_item(reference, answer, question)
        for reference, answer, question in zip(
            references, padded(answers, len(references)), asked, strict=True
        )
    )
    return combine(items)


def combine(items: Sequence[ItemScore]) -> Scores:
    """The means and counts over items of one test set or of several together."""
    scores = [item.score for item in items]
    echoes = [item.echo for item in items if item.echo is not None]
    return Scores(
        accuracy=_mean(scores),
        stderr=statistics.stdev(scores) / len(scores) ** 0.5 if len(scores) > 1 else 0.0,
        ceiling=_mean([item.ceiling for item in items]),
        echo=_mean(echoes) if len(echoes) == len(items) else None,
        chinese=_mean([item.chinese for item in items]),
        precision=_mean([item.precision for item in items]),
        recall=_mean([item.recall for item in items]),
        empty=sum(item.empty for item in items),
        looks_cut=sum(item.looks_cut for item in items),
        over_long=sum(item.over_long for item in items),
        repeats=sum(item.repeats for item in items),
        items=tuple(items),
    )


def score_item(reference: str, answer: str, question: str | None = None) -> ItemScore:
    """All scores of one answer."""
    judged = _judge_score(reference, answer)
    missed, stray = missed_and_stray(reference, answer)
    return ItemScore(
        score=float(judged.fmeasure),
        precision=float(judged.precision),
        recall=float(judged.recall),
        # Equal to rouge_l(reference, reference): a sequence's longest common subsequence with
        # itself is itself, so precision and recall are both 1 unless there is no token.
        ceiling=1.0 if judge_tokens(reference) else 0.0,
        echo=None if question is None else rouge_l(reference, question),
        chinese=chinese_rouge_l(reference, answer),
        missed=tuple(missed),
        stray=tuple(stray),
        empty=not answer.strip(),
        looks_cut=looks_cut(reference, answer),
        over_long=over_long(reference, answer),
        repeats=question is not None and repeats_question(question, reference, answer),
    )


def chinese_rouge_l(reference: str, answer: str) -> float:
    """ROUGE-L F1 over single Chinese characters and runs of [a-z0-9], in [0, 1].

    Characters rather than words, so that no dictionary decides what matches. Not the judge's.
    """
    return float(_chinese_scorer().score(reference, answer)["rougeL"].fmeasure)


def judge_tokens(text: str) -> list[str]:
    """The tokens that the judge counts in a text: lower-case runs of [a-z0-9]."""
    return [token for word in judge_words(text) for token in word[1]]


def judge_words(text: str) -> list[tuple[str, list[str]]]:
    """jieba's words of a text, each with the tokens that the judge counts in it.

    Joined, the words are the text; the tokens are those of the words joined by spaces.
    """
    tokenize = _judge_tokenizer().tokenize
    return [(word, tokenize(word)) for word in _cut(text)]


def missed_and_stray(reference: str, answer: str) -> tuple[list[str], list[str]]:
    """Counted tokens that only the reference (missed) or only the answer (stray) has, in order."""
    wanted, given = judge_tokens(reference), judge_tokens(answer)
    kept_wanted, kept_given = common_subsequence(wanted, given)
    return (
        [token for index, token in enumerate(wanted) if index not in kept_wanted],
        [token for index, token in enumerate(given) if index not in kept_given],
    )


def common_subsequence(left: Sequence[str], right: Sequence[str]) -> tuple[set[int], set[int]]:
    """Where one longest common subsequence lies, as indices into `left` and into `right`."""
    from rouge_score.rouge_scorer import lcs_ind

    if not left or not right:
        return set(), set()
    in_left = lcs_ind(left, right)
    in_right: list[int] = []
    # A subsequence of `right` is found in it greedily, from the left.
    for index in in_left:
        in_right.append(right.index(left[index], in_right[-1] + 1 if in_right else 0))
    return set(in_left), set(in_right)


def looks_cut(reference: str, answer: str) -> bool:
    """Whether an answer seems to stop in the middle of a sentence.

    A guess from the text, as a service does not say: CUT_MIN_CHARACTERS or more, not ending in a
    closing mark while the reference does, or a code fence left open.
    """
    answer, reference = answer.rstrip(), reference.rstrip()
    if len(answer) < CUT_MIN_CHARACTERS:
        return False
    open_end = answer[-1] not in _ENDINGS and reference[-1:] in tuple(_ENDINGS)
    return open_end or answer.count("```") % 2 == 1


def over_long(reference: str, answer: str) -> bool:
    """Whether an answer rambles.

    More than OVER_LONG_RATIO times its reference's characters and OVER_LONG_EXTRA more.
    """
    size = len(reference)
    return len(answer) > OVER_LONG_RATIO * size and len(answer) > size + OVER_LONG_EXTRA


def repeats_question(question: str, reference: str, answer: str) -> bool:
    """Whether an answer does little but say its question again, which the judge pays for.

    A guess: REPEATS_FROM or more of Chinese-aware ROUGE-L with the question, no counted token that
    the question has not, and less like the reference than like the question. The service, which has
    no reference, asks serving.question_repeats.only_repeats, and that allows it no word of its own.
    """
    if not answer.strip() or set(judge_tokens(answer)) - set(judge_tokens(question)):
        return False
    alike = chinese_rouge_l(question, answer)
    return alike >= REPEATS_FROM and alike > chinese_rouge_l(reference, answer)


def speed(characters: int, seconds: float) -> float:
    """The judge's speed: characters of all answers by seconds of all POST calls; 0 without time."""
    return characters / seconds if seconds > 0 else 0.0


@functools.cache
def jieba() -> ModuleType:
    """jieba with its default dictionary, as the judge has it, and without its chatter."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # pkg_resources, and escapes that newer Pythons dislike
        import jieba as module
    module.setLogLevel(logging.WARNING)
    module.initialize()
    return module


def _judge_score(reference: str, answer: str) -> Any:
    """rouge-score's Score (precision, recall, fmeasure) of one answer, as the judge calls it."""
    return _judge_scorer().score(" ".join(_cut(reference)), " ".join(_cut(answer)))["rougeL"]


@functools.lru_cache(maxsize=4096)
def _cut(text: str) -> tuple[str, ...]:
    """jieba's words; kept, since every text is cut for several scores."""
    return tuple(jieba().lcut(text))


@functools.cache
def _judge_scorer() -> Any:
    from rouge_score.rouge_scorer import RougeScorer

    return RougeScorer(["rougeL"], use_stemmer=False)


@functools.cache
def _judge_tokenizer() -> Any:
    """What RougeScorer uses when it is given no tokenizer and no stemmer."""
    from rouge_score.tokenizers import DefaultTokenizer

    return DefaultTokenizer(use_stemmer=False)


@functools.cache
def _chinese_scorer() -> Any:
    from rouge_score.rouge_scorer import RougeScorer
    from rouge_score.tokenizers import Tokenizer

    class ChineseTokenizer(Tokenizer):
        """Single Chinese characters and runs of [a-z0-9], lower-case."""

        def tokenize(self, text: str) -> list[str]:
            return _CHINESE_TOKEN.findall(text.lower())

    return RougeScorer(["rougeL"], tokenizer=ChineseTokenizer())


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values) if values else 0.0
