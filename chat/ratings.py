"""Answers rated by people: blind, in each rater's own random order, resumed where one stopped.

`report/chat/ratings.csv` (UTF-8, comma, a header) has one row a rating; a later row of the same
rater and answer replaces an earlier one. Columns:

    time        UTC, ISO 8601
    rater       the person's name
    testset     name of the test set
    question    the question
    reference   the reference answer
    answer_id   first 16 hex digits of the sha256 of question, NUL, answer
    answer      the answer that was rated
    source      which reports hold this answer, separated by ";" (hidden from the rater)
    helpful, relevant, concise, coherent   1 (bad) to 5 (good)

Each row stands alone: a model can be asked to judge the same answers from this file only.
"""

import csv
import hashlib
import itertools
import math
import random
import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from chat.csv_file import append, now
from common.agreement import cohens_kappa
from common.language import BilingualError

CRITERIA = ("helpful", "relevant", "concise", "coherent")
COLUMNS = (
    *("time", "rater", "testset", "question", "reference", "answer_id", "answer", "source"),
    *CRITERIA,
)
RATINGS_NAME = "ratings.csv"
LOWEST, HIGHEST = 1, 5


class RatingsError(BilingualError, ValueError):
    """A ratings file or a rating that cannot be used; the message says where and why."""


@dataclass(frozen=True)
class Answer:
    """An answer to be rated."""

    testset: str
    question: str
    reference: str
    answer: str
    source: str

    @property
    def id(self) -> str:
        """The same question and answer have the same one, whoever gave it."""
        return hashlib.sha256(f"{self.question}\0{self.answer}".encode()).hexdigest()[:16]


@dataclass(frozen=True)
class Rating:
    """A rater's marks for an answer, by criterion."""

    rater: str
    answer: Answer
    marks: Mapping[str, int]


@dataclass(frozen=True)
class Agreement:
    """How well raters agree on one criterion, over answers that more than one of them rated.

    kappa: Cohen's, quadratic weights (Cohen 1968), the mean over pairs of raters; None where it is
    not defined (nothing in common, or no variation). same: share of pairs of marks that are equal.
    """

    criterion: str
    answers: int
    kappa: float | None
    same: float | None


def distinct(answers: Iterable[Answer]) -> list[Answer]:
    """Each answer once; its source names all that gave it."""
    found: dict[str, Answer] = {}
    for answer in answers:
        first = found.get(answer.id)
        if first is None:
            found[answer.id] = answer
        elif answer.source not in first.source.split(";"):
            found[answer.id] = replace(first, source=f"{first.source};{answer.source}")
    return list(found.values())


def in_order(answers: Iterable[Answer], rater: str) -> list[Answer]:
    """Each answer once, in an order of the rater's own, the same in every session."""
    return sorted(
        distinct(answers), key=lambda a: hashlib.sha256(f"{rater}\0{a.id}".encode()).digest()
    )


def sample(answers: Sequence[Answer], questions: int) -> list[Answer]:
    """The answers to so many questions, always the same ones, whatever else is in the list."""
    asked = sorted({answer.question for answer in answers})
    chosen = set(random.Random(0).sample(asked, min(questions, len(asked))))
    return [answer for answer in answers if answer.question in chosen]


def save(directory: Path, rating: Rating) -> None:
    """Append one rating. Raises RatingsError for a missing name or mark, OSError."""
    if not rating.rater.strip():
        raise RatingsError("要写评分人的名字", "a rating needs the rater's name")
    for name in CRITERIA:
        mark = rating.marks.get(name)
        if not isinstance(mark, int) or not LOWEST <= mark <= HIGHEST:
            raise RatingsError(f"{name}: {mark!r} is no mark from {LOWEST} to {HIGHEST}")
    told = rating.answer
    row = {
        "time": now(),
        "rater": rating.rater.strip(),
        "testset": told.testset,
        "question": told.question,
        "reference": told.reference,
        "answer_id": told.id,
        "answer": told.answer,
        "source": told.source,
        **{name: rating.marks[name] for name in CRITERIA},
    }
    append(directory / RATINGS_NAME, row)


def read(directory: Path) -> list[Rating]:
    """All ratings, the latest of each rater and answer. None where nobody has rated.

    Raises RatingsError naming the line that cannot be used.
    """
    path = directory / RATINGS_NAME
    if not path.is_file():
        return []
    latest: dict[tuple[str, str], Rating] = {}
    with path.open(encoding="utf-8-sig", newline="") as stream:
        reader = csv.DictReader(stream)
        missing = set(COLUMNS) - set(reader.fieldnames or ())
        if missing:
            raise RatingsError(f"{path}: no column {', '.join(sorted(missing))}")
        for row in reader:
            try:
                marks = {name: int(row[name]) for name in CRITERIA}
            except (TypeError, ValueError) as error:
                raise RatingsError(f"{path}, line {reader.line_num}: {error}") from error
            fields = ("testset", "question", "reference", "answer", "source")
            answer = Answer(*(row[name] or "" for name in fields))
            latest[row["rater"], answer.id] = Rating(row["rater"], answer, marks)
    return list(latest.values())


def agreement(ratings: Iterable[Rating]) -> list[Agreement]:
    """How well the raters agree, one entry a criterion."""
    by_answer: dict[str, dict[str, Mapping[str, int]]] = {}
    for rating in ratings:
        by_answer.setdefault(rating.answer.id, {})[rating.rater] = rating.marks
    shared = [marks for marks in by_answer.values() if len(marks) > 1]
    return [_agreement(name, shared) for name in CRITERIA]


def _agreement(name: str, shared: list[dict[str, Mapping[str, int]]]) -> Agreement:
    raters = sorted({rater for marks in shared for rater in marks})
    kappas, equal, pairs = [], 0, 0
    for first, second in itertools.combinations(raters, 2):
        both = [(m[first][name], m[second][name]) for m in shared if first in m and second in m]
        equal += sum(a == b for a, b in both)
        pairs += len(both)
        if both:
            left, right = zip(*both, strict=True)
            kappas.append(cohens_kappa(left, right, quadratic=True))
    kappas = [kappa for kappa in kappas if not math.isnan(kappa)]  # no variation
    return Agreement(
        name,
        len(shared),
        statistics.mean(kappas) if kappas else None,
        equal / pairs if pairs else None,
    )
