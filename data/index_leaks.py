"""Does an index hold a test set? It must hold the book, never questions or answers of a test set.

A book says much of what reference answers say, often word for word, so that alone proves nothing.
What gives a test set away is a passage that asks a test question, or one that is little else but
reference answers.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from rapidfuzz import fuzz

from common.simplified import simplified, traditional
from data.contamination import MIN_ANSWER_CHARS, QUESTION_SIMILARITY, SHORTEST_CONTAINED
from data.text import normalise

# Passages that are compared with a text: whoever holds it is found first by its own words.
COMPARED = 20
# How alike an answer and a stretch of a passage are that say the same word for word.
ANSWER_SIMILARITY = 0.9
# Share of a passage's characters that are reference answers, above which it is no book's. The
# sample's test sets quote their book, and make up to 0.67 of a passage; the real tutorial's 0.14.
MOSTLY_ANSWERS = 0.8


@dataclass(frozen=True)
class IndexLeak:
    """A passage that holds a test question, or little but reference answers.

    tests: the numbers of the test pairs concerned; share: what makes it a leak, 0 to 1.
    """

    place: str
    part: str  # "question" or "answers"
    share: float
    text: str
    tests: tuple[int, ...]


@dataclass(frozen=True)
class IndexCheck:
    """passages: how many the index has. verbatim: reference answers that stand in it word for
    word, which a book may well do."""

    passages: int
    leaks: list[IndexLeak]
    verbatim: int


def check_index(directory: Path, tests: Sequence[tuple[str, str]]) -> IndexCheck:
    """Compare the passages of an index with the questions and answers of a test set.

    Raises ValueError or OSError when there is no index.
    """
    from retrieval.search import Retriever

    retriever = Retriever.load(directory)
    texts = [simplified(normalise(passage.text)) for passage in retriever.passages]
    asked = _held([question for question, _ in tests], retriever, texts, QUESTION_SIMILARITY)
    answered = _held([answer for _, answer in tests], retriever, texts, ANSWER_SIMILARITY)
    leaks = []
    for number, passage in enumerate(retriever.passages):
        questions = [(test, share) for test, place, share, _ in asked if place == number]
        answers = [(test, size) for test, place, _, size in answered if place == number]
        covered = sum(size for _, size in answers) / max(1, len(texts[number]))
        place = f"{passage.book} › {passage.heading} [{passage.start}]"
        if questions:
            share = max(share for _, share in questions)
            numbers = tuple(test for test, _ in questions)
            leaks.append(IndexLeak(place, "question", share, passage.text, numbers))
        elif covered >= MOSTLY_ANSWERS:
            numbers = tuple(test for test, _ in answers)
            leaks.append(IndexLeak(place, "answers", min(1.0, covered), passage.text, numbers))
    return IndexCheck(len(texts), leaks, len({test for test, *_ in answered}))


def _held(
    wanted: Sequence[str],
    retriever,  # noqa: ANN001  retrieval.search.Retriever, loaded only where an index is checked
    texts: Sequence[str],
    least: float,
) -> list[tuple[int, int, float, int]]:
    """(number, place, similarity, characters) of each text that a passage holds. texts: the
    passages, normalised. Short texts stand in any book by accident and are left out."""
    shortest = SHORTEST_CONTAINED if least == QUESTION_SIMILARITY else MIN_ANSWER_CHARS
    found = []
    written = [wanted, [simplified(text) for text in wanted], [traditional(t) for t in wanted]]
    ranked_each = zip(*(retriever.rank(texts, COMPARED) for texts in written), strict=True)
    for number, rankings in enumerate(ranked_each):
        text = simplified(normalise(wanted[number]))
        if len(text) < shortest:
            continue
        for place in {place for ranked in rankings for place, _ in ranked}:
            if len(texts[place]) < len(text):
                # A long answer may be cut into several passages.
                similarity = fuzz.partial_ratio(texts[place], text, score_cutoff=100 * least)
                size = len(texts[place])
            else:
                similarity = fuzz.partial_ratio(text, texts[place], score_cutoff=100 * least)
                size = len(text)
            if similarity:
                found.append((number, place, similarity / 100, size))
    return found
