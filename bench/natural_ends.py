"""The real services over HTTP, all questions in one call, answers as long as the model makes them.

Used by bench/engines.py: this service, and another contestant's own serve.py.
"""

import re
import statistics
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import httpx

from bench.busy import busy_share
from bench.candidates import ALONE
from bench.equal_tokens import named
from bench.processes import server
from common.pairs import Pair
from judging.scoring import rouge_l

# What the prize-winner's own Dockerfile sets; the fallback to Transformers is off.
PEER_SETTINGS = {
    "USE_VLLM": "true",
    "FORCE_VLLM": "1",
    "BATCH_MODE": "1",
    "MAX_NEW_TOKENS": "64",
    "MAX_NEW_TOKENS_CODE": "192",
    "MAX_NEW_TOKENS_CODE_HARD": "192",
    "MAX_NEW_TOKENS_CODE_SOFT": "96",
}
# What is measured is asked for, however long it takes to start: no eager start, no engine left out.
UNHURRIED = {"HEALTH_BUDGET_S": "290"}
# An answer ends in a loop when its end, numbers aside, stood twice before in it.
LOOP_CHARACTERS = 48
ENDED = re.compile(r'serving_answers_total\{reason="(\w+)"\} ([\d.]+)')


def natural(
    model: Path,
    candidates: Sequence[dict[str, str]],
    settings: dict[str, str],
    peer: Path | None,
    given: list[str],
) -> Iterator[tuple[str, list[str], dict[str, str]]]:
    """Name, command and variables of each service that is asked with natural ends."""
    mine = {"MODEL_DIR": str(model), **ALONE, **UNHURRIED, **settings}
    for candidate in candidates:
        command = [sys.executable, "-m", "uvicorn", "serve:app", "--port", "{port}"]
        yield named(candidate), command, mine | candidate
    if peer is not None:
        theirs = PEER_SETTINGS | {"MODEL_DIR": str(model.resolve())}
        theirs |= dict(pair.split("=", 1) for pair in given)
        command = [sys.executable, "-m", "bench.peer", str(peer), "--port", "{port}"]
        yield peer.resolve().parent.name + "/" + peer.name, command, theirs


def ask_all(
    command: list[str],
    variables: dict[str, str],
    pairs: list[Pair],
    runs: int,
    others: list[str] | None = None,
) -> tuple[dict[str, Any], list[str]]:
    """All questions in one call, once for the judge's only call and `runs` times more; figures and
    answers. others: answers of another service, with which these are compared."""
    body = {"prompt": [pair.question for pair in pairs]}
    seconds, answers = [], []
    with server(command, variables, "/") as (client, service):

        def once() -> list[str]:
            return client.post("/predict", json=body).raise_for_status().json()["response"]

        ended: dict[str, int] = {}
        for run in range(runs + 1):
            began = time.monotonic()
            answers.append(once())
            seconds.append(round(time.monotonic() - began, 4))
            if run == 0:
                ended = how_answers_ended(client)
        busy = busy_share(once)
        info = client.get("/info").json()
    characters = sum(map(len, answers[0]))
    scores = [rouge_l(pair.answer, text) for pair, text in zip(pairs, answers[0], strict=True)]
    figures = {
        "first_call_seconds": seconds[0],
        "seconds": seconds[1:],
        "questions": len(pairs),
        "characters": characters,
        "characters_a_second": round(characters / statistics.median(seconds[1:]), 1),
        "score": round(statistics.fmean(scores), 4),
        "question_scores": [round(score, 4) for score in scores],
        "ended": ended,
        "loops_at_the_end": sum(map(ends_in_a_loop, answers[0])),
        "start_seconds": round(service.ready_seconds, 1),
        "same_answers_each_time": all(each == answers[0] for each in answers),
        "engine": info.get("engine") or info.get("backend"),
        **busy,
    }
    if others is not None:
        same = sum(a == b for a, b in zip(answers[0], others, strict=True))
        figures["same_as_the_first_candidates"] = same
    return figures, answers[0]


def how_answers_ended(client: httpx.Client) -> dict[str, int]:
    """Answers so far by how they ended ("length": at MAX_TOKENS, "repeat": cut as a loop), from the
    service's metrics; {} for another's service."""
    reply = client.get("/metrics")
    found = ENDED.findall(reply.text) if reply.status_code == 200 else []
    return {reason: int(float(count)) for reason, count in found if float(count)}


def ends_in_a_loop(answer: str) -> bool:
    """Whether an answer says at its end what it has said twice before, but for numbers."""
    text = re.sub(r"\d+", "0", answer)
    return len(text) >= LOOP_CHARACTERS and text.count(text[-LOOP_CHARACTERS:]) >= 3
