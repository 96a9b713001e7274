"""One judgement: wait for the service, ask every test set, score the answers.

Each test set is judged on its own, with its own POST calls and its own time limit, as the contest
judges its basic and its bonus questions.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import partial
from typing import Any, Literal

from common.facts import HEALTH_LIMIT_S, PREDICT_LIMIT_S
from common.language import either
from common.pairs import Pair, PairFile
from judging import protocol, scoring
from judging.known_testsets import plain
from judging.protocol import Health, Mode, Replies
from judging.scoring import Scores


@dataclass(frozen=True)
class Conditions:
    """How to judge; the defaults are the judge's own. Times are seconds.

    mode "auto" takes the mode from `GET /`; `limit` takes the first questions of each set only;
    `wait_for_port`: see protocol.wait_for_service.
    """

    mode: Literal["auto", "batch", "serial"] = "auto"
    timeout: float = PREDICT_LIMIT_S
    health_timeout: float = HEALTH_LIMIT_S
    limit: int | None = None
    wait_for_port: bool = True


@dataclass(frozen=True)
class Result:
    """One test set judged: what was asked, what came back, what it scored. `passages`: of a book,
    that stood before each question (protocol.fetch_passages); None: the service has none."""

    testset: PairFile
    questions: list[Pair]
    replies: Replies
    scores: Scores
    passages: list[list[dict[str, Any]]] | None = None

    @property
    def characters(self) -> int:
        """Characters of all answers, as the judge's speed counts them."""
        return sum(map(len, self.replies.answers))


@dataclass(frozen=True)
class Judgement:
    """All test sets judged, and the service that answered. `info` is its `GET /info`, if any."""

    url: str
    started: datetime
    conditions: Conditions
    health: Health
    mode: Mode
    info: dict[str, Any] | None
    results: list[Result] = field(default_factory=list)

    @property
    def failures(self) -> list[str]:
        """Why the judge would fail the submission: one line per test set that fails it."""
        return [
            f"{result.testset.name}: {result.replies.failure}"
            for result in self.results
            if result.replies.failure
        ]

    @property
    def deviations(self) -> list[str]:
        """The options that differ from the judge's conditions, to be shown beside the score."""
        given, judges = self.conditions, Conditions()
        found = [f"--mode {self.mode}"] if self.mode != self.health.mode else []
        for option, name in (("--timeout", "timeout"), ("--health-timeout", "health_timeout")):
            if getattr(given, name) != getattr(judges, name):
                found.append(f"{option} {getattr(given, name):g}")
        return found + ([f"--limit {given.limit}"] if given.limit is not None else []) + self.leaks

    @property
    def leaks(self) -> list[str]:
        """Test questions that the service shows the model with their answers, among its worked
        examples or as a book of its index (`GET /info`): one line per test set that has one."""
        retrieval = (self.info or {}).get("retrieval")
        told = retrieval.get("examples") if isinstance(retrieval, dict) else ()
        shown = {plain(str(question)) for question in told or ()}
        books = str(retrieval.get("books")).split(", ") if isinstance(retrieval, dict) else []
        found = []
        for result in self.results:
            if (file := result.testset.path.name) in books:
                found.append(
                    either(
                        f"索引里有测试集 {file}（题和答案）：用教材重建索引",
                        f"the index holds the test set {file}, answers and all: build it of the "
                        "book again",
                    )
                )
            asked = [q.question for q in result.questions if plain(q.question) in shown]
            if asked:
                name = result.testset.name
                found.append(
                    either(
                        f"RETRIEVAL_EXAMPLES 的示例里有 {name} 的题：{asked[0]}",
                        f"RETRIEVAL_EXAMPLES holds a question of {name}: {asked[0]}",
                    )
                )
        return found


def judge(
    url: str,
    testsets: Sequence[PairFile],
    conditions: Conditions | None = None,
    on_progress: Callable[[str, int, int], None] | None = None,
) -> Judgement:
    """Judge a service. `on_progress` gets test set name, questions done, questions in all.

    Raises ServiceNotReadyError when `GET /` does not answer in time, or nothing listens.
    """
    conditions = conditions or Conditions()
    report = on_progress or (lambda name, done, total: None)
    started = datetime.now().astimezone()
    report("GET /", 0, 1)
    health = protocol.wait_for_service(url, conditions.health_timeout, conditions.wait_for_port)
    report("GET /", 1, 1)
    mode = health.mode if conditions.mode == "auto" else conditions.mode
    results = []
    for testset in testsets:
        questions = testset.pairs[: conditions.limit]
        report(testset.name, 0, len(questions))
        replies = protocol.ask(
            url,
            [question.question for question in questions],
            mode,
            conditions.timeout,
            partial(_report_done, report, testset.name, len(questions)),
        )
        results.append(Result(testset, questions, replies, score(questions, replies.answers)))
    # After the questions: the judge makes no such call, so nothing may be warm because of it.
    info = protocol.fetch_info(url)
    if (info or {}).get("retrieval"):
        results = [
            replace(
                result,
                passages=protocol.fetch_passages(url, [pair.question for pair in result.questions]),
            )
            for result in results
        ]
    return Judgement(url, started, conditions, health, mode, info, results)


def _report_done(report: Callable[[str, int, int], None], name: str, total: int, done: int) -> None:
    report(name, done, total)


def score(questions: Sequence[Pair], answers: Sequence[str]) -> Scores:
    """Scores of answers to a test set's questions."""
    return scoring.score_answers(
        [question.answer for question in questions],
        answers,
        [question.question for question in questions],
    )
