"""Every budget is kept over HTTP, by the real service on the real vLLM: more questions than run at
once, whose answers never end by themselves.

    bash test.sh tests/test_deadlines.py -m slow -s -k two      two engines alone

DEADLINE_TABLE=file.jsonl collects a line a budget.
"""

import json
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import TINY_PAIRS, Service, running_service

pytestmark = [pytest.mark.vllm, pytest.mark.slow]

ASKED = list(TINY_PAIRS) * 100
LATE_S = 0.5


def note(row: dict[str, Any]) -> None:
    """The figures of this machine, and a line for the table."""
    line = json.dumps(row)
    print(f"\n{line}")  # noqa: T201 - the figures of this machine
    if name := os.environ.get("DEADLINE_TABLE"):
        with Path(name).open("a", encoding="utf-8") as out:
            out.write(line + "\n")


def ask(service: Service, prompt: Any, budget: float) -> tuple[Any, float, dict[str, Any]]:
    """Answers, seconds, and what the log says of the call."""
    service.client.post(f"/budget/{budget}").raise_for_status()
    began = time.monotonic()
    reply = service.client.post("/predict", json={"prompt": prompt})
    seconds = time.monotonic() - began
    record = json.loads(service.log().split(" batch ")[-1].splitlines()[0])
    return reply.json()["response"], seconds, record


@pytest.fixture(
    scope="module",
    params=[(1, 1), (1, 4), (2, 1), (2, 4)],
    ids=["one", "one-draws", "two", "two-draws"],
)
def endless(
    request: pytest.FixtureRequest, tiny_model: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Service]:
    engines, draws = request.param
    variables = {"MODEL_DIR": str(tiny_model), "MAX_TOKENS": "1500"}
    variables |= {"ENGINES_PER_GPU": str(engines), "ANSWER_DRAWS": str(draws)}
    folder = tmp_path_factory.mktemp("endless")
    with running_service(folder, "tests.endless_serve:app", **variables) as service:
        service.wait_until_ready()
        service.engines, service.draws = engines, draws
        yield service


@pytest.mark.parametrize("budget", [0.2, 1.0, 5.0, 20.0, 60.0])
def test_a_batch_is_whole_and_in_time_with_what_was_written(
    endless: Service, budget: float
) -> None:
    answers, seconds, record = ask(endless, ASKED, budget)
    slots = endless.client.get("/info").json()["engine"]["slots"]
    written = sum(map(bool, answers))
    note(
        {
            "engines": endless.engines,
            "draws": endless.draws,
            "budget_s": budget,
            "late_s": round(seconds - budget, 3),
            "answers": len(answers),
            "with_text": written,
            "tokens": record["tokens"],
            "at_once": slots,
        }
    )
    assert seconds - budget <= LATE_S
    assert len(answers) == len(ASKED)
    assert slots < len(ASKED)
    assert record["cut"] > slots, "the answers ended by themselves: no deadline was tested"
    for question, answer in zip(ASKED, answers, strict=True):  # each its own, from its beginning
        known = TINY_PAIRS[question]
        assert known.startswith(answer) or answer.startswith(known)
    # Everyone has had a share long before five seconds are over, on the slowest machine.
    assert written >= {0.2: 0, 1.0: 1}.get(budget, slots)


@pytest.fixture(scope="module", params=[1, 2], ids=["one", "two"])
def drawing(
    request: pytest.FixtureRequest, tiny_model: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Service]:
    """Answers that end by themselves, so many draws that no budget suffices for all."""
    variables = {"MODEL_DIR": str(tiny_model), "ENDLESS": "0"}
    variables |= {"ANSWER_DRAWS": "64", "DRAW_TEMPERATURE": "0.2"}
    variables["ENGINES_PER_GPU"] = str(request.param)
    folder = tmp_path_factory.mktemp("drawing")
    with running_service(folder, "tests.endless_serve:app", **variables) as service:
        service.wait_until_ready()
        service.engines = request.param
        yield service


@pytest.mark.parametrize("budget", [0.5, 1.0, 2.0, 4.0, 8.0])
def test_draws_are_in_time_and_take_nothing_from_the_first_answers(
    drawing: Service, budget: float
) -> None:
    asked = list(TINY_PAIRS) * 60
    written, seconds, record = ask(drawing, asked, budget)
    alone, alone_s, _ = ask(drawing, asked[0], budget)
    note(
        {
            "engines": drawing.engines,
            "draws": 64,
            "budget_s": budget,
            "late_s": round(seconds - budget, 3),
            "answers": len(written),
            "with_text": sum(map(bool, written)),
            "tokens": record["tokens"],
            "draws_that_took_part": record["draws"],
            "cut": record["cut"],
            "next_call_s": round(alone_s, 2),
        }
    )
    assert seconds - budget <= LATE_S
    right = [TINY_PAIRS[question] for question in asked]
    assert all(whole.startswith(answer) for whole, answer in zip(right, written, strict=True))
    if budget >= 4:
        assert written == right and record["cut"] == 0 and record["draws"] > 0
    assert alone == right[0] and alone_s < budget + LATE_S


@pytest.fixture(scope="module")
def with_book(tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    pytest.importorskip("bm25s")
    from retrieval.build import IndexSettings, build_index

    folder = tmp_path_factory.mktemp("book")
    text = "\n\n".join(f"## {question}\n\n{answer}" for question, answer in TINY_PAIRS.items())
    (folder / "book.md").write_text(f"# 书\n\n{text}\n", encoding="utf-8")
    build_index([folder / "book.md"], folder / "index", IndexSettings(5, 50))
    variables = {"MODEL_DIR": str(tiny_model), "MAX_TOKENS": "1500"}
    variables |= {"RETRIEVAL_DIR": str(folder / "index")}
    with running_service(folder, "tests.endless_serve:app", **variables) as service:
        service.wait_until_ready()
        yield service


@pytest.mark.parametrize("budget", [0.2, 5.0])
def test_with_a_book_a_batch_is_whole_and_in_time(with_book: Service, budget: float) -> None:
    found = with_book.client.post("/passages", json={"prompt": ASKED[:3]}).json()
    assert all(found["passages"]), "nothing was searched: no book was tested"
    answers, seconds, record = ask(with_book, ASKED, budget)
    assert seconds - budget <= LATE_S
    assert len(answers) == len(ASKED) and record["cut"] > 0
    assert sum(map(bool, answers)) > 0 or budget < 1
