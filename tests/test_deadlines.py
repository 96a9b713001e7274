"""Every budget is kept over HTTP, by the real service on the real vLLM: more questions than run at
once, whose answers never end by themselves.

    bash test.sh tests/test_deadlines.py -m slow -s      prints a line a budget
"""

import json
import time
from pathlib import Path

import pytest

from tests.conftest import TINY_PAIRS, running_service

pytestmark = [pytest.mark.vllm, pytest.mark.slow]

ASKED = list(TINY_PAIRS) * 100
LATE_S = 0.5


@pytest.mark.parametrize("draws", [1, 4])
@pytest.mark.parametrize("engines", [1, 2])
@pytest.mark.parametrize("budget", [0.2, 1.0, 5.0, 20.0, 60.0])
def test_a_batch_is_whole_and_in_time_with_what_was_written(
    tiny_model: Path, tmp_path: Path, budget: float, engines: int, draws: int
) -> None:
    variables = {"PREDICT_BUDGET_S": str(budget), "MAX_TOKENS": "1500"}
    variables |= {"ENGINES_PER_GPU": str(engines), "ANSWER_DRAWS": str(draws)}
    with running_service(
        tmp_path, "tests.endless_serve:app", MODEL_DIR=str(tiny_model), **variables
    ) as service:
        service.wait_until_ready()
        service.client.get("/")  # the connection is not part of the call
        began = time.monotonic()
        reply = service.client.post("/predict", json={"prompt": ASKED})
        late = time.monotonic() - began - budget
        slots = service.client.get("/info").json()["engine"]["slots"]
        record = json.loads(service.log().split(" batch ")[-1].splitlines()[0])
    answers = reply.json()["response"]
    written = sum(map(bool, answers))
    print(  # noqa: T201 - the figures of this machine
        f"\n{engines} engines, {draws} draws, budget {budget:g} s: {late:+.3f} s late, "
        f"{len(answers)} answers, {written} with text, "
        f"{record['tokens']} tokens, {record['cut']} cut, {slots} at once"
    )
    assert late <= LATE_S
    assert len(answers) == len(ASKED)
    assert slots < len(ASKED)
    assert record["cut"] > slots, "the answers ended by themselves: no deadline was tested"
    for question, answer in zip(ASKED, answers, strict=True):  # each its own, from its beginning
        known = TINY_PAIRS[question]
        assert known.startswith(answer) or answer.startswith(known)
    # Everyone has had a share long before five seconds are over, on the slowest machine.
    assert written >= {0.2: 0, 1.0: 1}.get(budget, slots)


@pytest.mark.parametrize("engines", [1, 2])
@pytest.mark.parametrize("budget", [0.5, 1.0, 2.0, 4.0, 8.0])
def test_draws_are_in_time_and_take_nothing_from_the_first_answers(
    tiny_model: Path, tmp_path: Path, budget: float, engines: int
) -> None:
    """Answers that end by themselves, so many draws that no budget suffices for all."""
    asked = list(TINY_PAIRS) * 60
    variables = {"PREDICT_BUDGET_S": str(budget), "ANSWER_DRAWS": "64", "DRAW_TEMPERATURE": "0.2"}
    variables |= {"ENGINES_PER_GPU": str(engines), "MODEL_DIR": str(tiny_model)}
    with running_service(tmp_path, **variables) as service:
        service.wait_until_ready()
        service.client.get("/")
        began = time.monotonic()
        reply = service.client.post("/predict", json={"prompt": asked})
        late = time.monotonic() - began - budget
        record = json.loads(service.log().split(" batch ")[-1].splitlines()[0])
        after = time.monotonic()
        alone = service.client.post("/predict", json={"prompt": asked[0]}).json()["response"]
        alone_s = time.monotonic() - after
    print(  # noqa: T201 - the figures of this machine
        f"\n{engines} engines, 64 draws, budget {budget:g} s: {late:+.3f} s late, "
        f"{record['draws']} draws took part, {record['cut']} answers cut, then {alone_s:.2f} s"
    )
    assert late <= LATE_S
    right = [TINY_PAIRS[question] for question in asked]
    written = reply.json()["response"]
    assert all(whole.startswith(answer) for whole, answer in zip(right, written, strict=True))
    if budget >= 4:
        assert written == right and record["cut"] == 0 and record["draws"] > 0
    assert alone == right[0] and alone_s < budget + LATE_S
