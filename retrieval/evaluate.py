"""How well the right passages are found: recall@k, MRR and nDCG@10, each with its interval.

recall@k: share of questions with a right passage among the first k. MRR: mean of 1 / place of the
first right one. nDCG@10: Järvelin and Kekäläinen 2002, with a passage right or not. A
difference of two methods is taken question by question.

A passage is right when it holds the question's `evidence`, a quotation of the book. Where a test
set names none, the passage that shares most of the reference answer's terms is taken for right:
good enough to compare two indexes, not to say how good one is.
"""

import math
import time
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from common.intervals import VERDICTS, Interval, interval
from common.language import either
from common.read_pairs import read_pairs
from common.simplified import character_table
from data.text import normalise
from retrieval.passages import Passage
from retrieval.search import Method, Retriever
from retrieval.terms import OVERLAP, index_terms, shares_of_terms

CUTS = (1, 3, 5, 10)
DEPTH = 100
# Characters at either end of a quotation that a passage must hold.
QUOTED = 24


@dataclass(frozen=True)
class Asked:
    """A question and the places of its right passages; none: the index does not hold them."""

    question: str
    right: frozenset[int]
    how: Literal["evidence", "overlap"]
    split: bool = False


Reason = Literal["not in the index", "unknown", "split", "ranked low"]


@dataclass(frozen=True)
class Outcome:
    """One method: recall at CUTS, MRR, nDCG@10, milliseconds a question, and a line a miss.

    columns: the same measures question by question; places: of the first right passage.
    """

    method: Method
    values: list[Interval]
    milliseconds: float
    missed: list[str]
    columns: list[list[float]]
    places: list[int | None]


MEASURES = (*(f"recall@{cut}" for cut in CUTS), "MRR", "nDCG@10")


def read_evaluation_set(path: Path, passages: Sequence[Passage]) -> list[Asked]:
    """The questions of a test set with their right passages, whether one is written in Traditional
    characters and the other in Simplified ones. Raises PairsError."""
    table = character_table()
    plain = [passage.text.translate(table) for passage in passages]
    texts = [normalise(text) for text in plain]
    terms = [set(index_terms(text)) for text in plain]
    return [
        by_evidence(pair.question, str(pair.extra["evidence"]).translate(table), texts)
        if pair.extra.get("evidence")
        else by_overlap(pair.question, pair.answer.translate(table), terms)
        for pair in read_pairs(path).pairs
    ]


def by_evidence(question: str, evidence: str, texts: Sequence[str]) -> Asked:
    """Right passages by a quotation. texts: the passages, normalised."""
    quote = normalise(evidence)
    head, tail = quote[:QUOTED], quote[-QUOTED:]
    with_head = {i for i, text in enumerate(texts) if head in text}
    with_tail = {i for i, text in enumerate(texts) if tail in text}
    return Asked(question, frozenset(with_head | with_tail), "evidence", not with_head & with_tail)


def by_overlap(question: str, reference: str, terms: Sequence[set[str]]) -> Asked:
    """Right passages by the reference answer. terms: of each passage."""
    shares = shares_of_terms(reference, terms)
    best = max(shares, default=0.0)
    right = frozenset(i for i, share in enumerate(shares) if share == best and best >= OVERLAP)
    return Asked(question, right, "overlap")


def evaluate_methods(retriever: Retriever, asked: Sequence[Asked]) -> list[Outcome]:
    """Every method that the retriever has, BM25 first. Questions whose right passage is not in
    the index count as missed."""
    methods: list[Method] = ["bm25"]
    if retriever.method in ("fused", "reranked"):
        methods += ["dense", "fused"] if retriever.has_encoder else []
    if retriever.method == "reranked":
        methods.append("reranked")
    return [evaluate_method(retriever, asked, method) for method in methods]


def evaluate_method(retriever: Retriever, asked: Sequence[Asked], method: Method) -> Outcome:
    """One method; what is read or compiled at its first question is not counted as time."""
    questions = [item.question for item in asked]
    retriever.rank(questions[:1], DEPTH, method)
    began = time.perf_counter()
    ranked = retriever.rank(questions, DEPTH, method)
    milliseconds = 1000 * (time.perf_counter() - began) / max(1, len(questions))
    places = [
        next((n for n, (p, _) in enumerate(row, 1) if p in item.right), None)
        for row, item in zip(ranked, asked, strict=True)
    ]
    columns = [[float(place is not None and place <= cut) for place in places] for cut in CUTS]
    columns.append([1 / place if place else 0.0 for place in places])
    orders = ([place for place, _ in row] for row in ranked)
    columns.append([ndcg(row, item.right) for row, item in zip(orders, asked, strict=True)])
    missed = [
        f"{either(f'前 {CUTS[1]} 个里没有', f'missed at {CUTS[1]}')}: {item.question} — "
        + _why(item, place)
        for item, place in zip(asked, places, strict=True)
        if reason(item, place)
    ]
    values = [interval(column) for column in columns]
    return Outcome(method, values, milliseconds, missed, columns, places)


def difference(base: Outcome, other: Outcome) -> Interval:
    """nDCG@10 of `other` minus that of `base`, over the same questions."""
    return interval([b - a for a, b in zip(base.columns[-1], other.columns[-1], strict=True)])


def in_words(change: Interval) -> str:
    """Whether a difference is more than chance, for people."""
    return either(*VERDICTS[(change.low > 0) - (change.high < 0)])


def ndcg(places: Sequence[int], right: Collection[int]) -> float:
    """nDCG at 10 of places in the order in which they were found."""
    gain = sum(1 / math.log2(n + 1) for n, place in enumerate(places[:10], 1) if place in right)
    ideal = sum(1 / math.log2(n + 1) for n in range(1, min(len(right), 10) + 1))
    return gain / ideal if ideal else 0.0


def reason(item: Asked, place: int | None) -> Reason | None:
    """Why a question's right passage is not among the first three; None: it is.

    place: of its first right passage. "unknown": no evidence is named, and no passage holds half
    of the reference answer's terms.
    """
    if place and place <= CUTS[1]:
        return None
    if not item.right:
        return "not in the index" if item.how == "evidence" else "unknown"
    return "split" if item.split else "ranked low"


def reason_in_words(why: Reason) -> str:
    """For people."""
    return {
        "not in the index": either("索引里没有", "not in the index"),
        "unknown": either("不知道哪个片段对", "right passage unknown"),
        "split": either("被切成两段", "split"),
        "ranked low": either("排得低", "ranked low"),
    }[why]


def _why(item: Asked, place: int | None) -> str:
    why = reason(item, place)
    if why == "not in the index":
        return either("没有一个片段有它的出处", "no passage of the index holds its evidence")
    if why == "unknown":
        return either(
            "测试集没有写出处，也没有片段含参考答案一半的用词",
            "no evidence is named, and no passage holds half of the reference answer's terms",
        )
    told = (
        either(f"排在第 {place}", f"ranked {place}")
        if place
        else either(f"前 {DEPTH} 个里没有", f"not among the first {DEPTH}")
    )
    return told + (
        either("；出处被切在两个片段里", "; its text is split between two passages")
        if why == "split"
        else ""
    )
