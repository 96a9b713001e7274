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


@pytest.mark.parametrize("engines", [1, 2])
@pytest.mark.parametrize("budget", [0.2, 1.0, 5.0, 20.0, 60.0])
def test_a_batch_is_whole_and_in_time_with_what_was_written(
    tiny_model: Path, tmp_path: Path, budget: float, engines: int
) -> None:
    variables = {"PREDICT_BUDGET_S": str(budget), "MAX_TOKENS": "1500"}
    variables["ENGINES_PER_GPU"] = str(engines)
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
        f"\n{engines} engines, budget {budget:g} s: {late:+.3f} s late, "
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
