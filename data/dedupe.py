"""Near-duplicates among questions and answers, by rapidfuzz's similarity.

Up to `COMPARE_ALL` texts are compared each with each; beyond, MinHash (datasketch) proposes the
candidates to compare with.
"""

import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import replace
from typing import Any

from rapidfuzz import fuzz, process

from common.simplified import character_table
from data.dropped import Dropped
from data.records import CODE, Pair
from data.sources.rules.overlap import held_by_fuller
from data.text import ascii_terms
from data.text import normalise as bare_text

QUESTION_RATIO = 0.9
ANSWER_RATIO = 0.9
SAME_ANSWER = 80  # percent similarity above which two answers say the same
ANSWERS_SHARED = 2  # so many questions may share (nearly) one answer
AS_WORDING = "kept as a wording"
SHORTEST_SHARED = 8  # characters; "正确" may answer many questions that are no wordings of one
_PERMUTATIONS = 64
COMPARE_ALL = 500  # texts; up to here MinHash would cost more than it saves


def normalise(text: str) -> str:
    """`data.text.normalise`, Traditional characters as Simplified ones."""
    return bare_text(text).translate(character_table())


class NearIndex:
    """Texts that are at least `ratio` alike.

    Two texts with different identifiers or numbers are never alike (threadIdx.x, threadIdx.y),
    however close their letters.
    """

    def __init__(self, ratio: float) -> None:
        """`ratio` is rapidfuzz's normalised InDel similarity, 0 to 1, on normalised text."""
        self.ratio = ratio
        self._texts: dict[int, str] = {}
        self._terms: dict[int, tuple[str, ...]] = {}
        self._lsh: Any = None

    def near(self, text: str) -> list[int]:
        """Numbers of the texts added so far that are near `text`, the most alike first."""
        bare, terms = normalise(text), _terms(text)
        close = self._texts
        if self._lsh is not None:
            close = {key: self._texts[key] for key in self._lsh.query(_signature(bare))}
        alike = process.extract(
            bare, close, scorer=fuzz.ratio, score_cutoff=100 * self.ratio, limit=None
        )
        found = [(-score, key) for _, score, key in alike if self._terms[key] == terms]
        return [key for _, key in sorted(found)]

    def add(self, key: int, text: str) -> None:
        """Remember `text` under the number `key`."""
        bare = normalise(text)
        self._texts[key], self._terms[key] = bare, _terms(text)
        if self._lsh is not None:
            self._lsh.insert(key, _signature(bare))
        elif len(self._texts) > COMPARE_ALL:
            from datasketch import MinHashLSH

            # Two texts of InDel ratio 0.9 share well over half of their character pairs.
            self._lsh = MinHashLSH(threshold=0.5, num_perm=_PERMUTATIONS)
            for number, known in self._texts.items():
                self._lsh.insert(number, _signature(known))


def _signature(text: str) -> Any:
    from datasketch import MinHash

    grams = {text[i : i + 2].encode() for i in range(max(len(text) - 1, 1))}
    signature = MinHash(num_perm=_PERMUTATIONS)
    signature.update_batch(list(grams))
    return signature


def _terms(text: str) -> tuple[str, ...]:
    return tuple(sorted(term.lower() for term in ascii_terms(text)))


def drop_duplicates(pairs: Iterable[Pair]) -> tuple[list[Pair], Dropped]:
    """Pairs in order without those whose question or answer came earlier.

    Also how many went for which reason: `same_question` (nearly the same question and answer),
    `conflict` (the very same question with another answer: a model cannot learn both),
    `same_answer` (an answer that enough questions have already), `held_by_fuller` (of the rules'
    pairs on one thing, an answer with which a fuller one begins), `kept as a wording` (see below).
    Nearly the same question with another answer asks for another fact (尾数位, 指数位) and stays.

    Pairs that somebody chose (`--merge`) lose nothing but repeated questions: a question with
    the answer of an earlier one becomes a wording of it, and one with nearly its answer stays, in
    its group, so that both get into one split.
    """
    questions, answers = NearIndex(QUESTION_RATIO), NearIndex(ANSWER_RATIO)
    exact: dict[str, int] = {}
    uses: Counter[int] = Counter()
    dropped = Dropped()
    facts: dict[str, int] = {}
    kept: list[Pair] = []
    for pair in pairs:
        asked = normalise(pair.asked)
        if asked in exact:
            first_said = kept[exact[asked]]
            reason = "same_question" if _alike(first_said, pair) else "conflict"
            if reason == "conflict" and _introduces(pair) and not _introduces(first_said):
                kept[exact[asked]], pair = pair, first_said
            dropped.note(reason, pair, kept[exact[asked]].answer)
            continue
        # A question within a talk is no wording of one that stands alone.
        chosen = pair.source.startswith("merged:")
        fact = facts.get(normalise(pair.answer)) if chosen and not pair.history else None
        if fact is not None:
            exact[asked] = fact
            kept[fact].wordings += (pair.question, *pair.wordings)
            dropped.note(AS_WORDING, pair, kept[fact].question)
            continue
        near = () if chosen else questions.near(pair.asked)
        if twin := next((kept[n] for n in near if _alike(kept[n], pair)), None):
            dropped.note("same_question", pair, twin.question)
            continue
        same = answers.near(pair.answer)
        first = same[0] if same else None
        shared = first is not None and (uses[first] >= ANSWERS_SHARED or pair.kind == CODE)
        if shared and not chosen:
            dropped.note("same_answer", pair, kept[first].question)
            continue
        if first is not None and chosen:
            pair.group = kept[first].group or kept[first].id
        number = len(kept)
        if first is None:
            answers.add(number, pair.answer)
            first = number
        uses[first] += 1
        exact[asked] = number
        if chosen:
            said = (replace(pair, question=wording).asked for wording in pair.wordings)
            exact.update((normalise(wording), number) for wording in said)
            if len(normalise(pair.answer)) >= SHORTEST_SHARED and not pair.history:
                facts.setdefault(normalise(pair.answer), number)
        questions.add(number, pair.asked)
        kept.append(pair)
    held = list(held_by_fuller(kept))
    for pair, fuller in held:
        dropped.note("held_by_fuller", pair, fuller.answer)
    gone = {id(pair) for pair, _ in held}
    return [pair for pair in kept if id(pair) not in gone], dropped


def _introduces(pair: Pair) -> bool:
    """ "X（Foreign Name）是…": of two answers of a book the one that introduces the term."""
    made = pair.source == "rules" and pair.kind == "definition"
    return made and bool(re.match(r"[^，。（(]{2,24}[（(]\s*[A-Za-z]{2,}", pair.answer))


def _alike(first: Pair, second: Pair) -> bool:
    return fuzz.ratio(normalise(first.answer), normalise(second.answer)) >= SAME_ANSWER
