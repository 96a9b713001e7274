"""The breakdown of a batch: clocks around a stand-in for vLLM, and the rows made of them."""

import json
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from bench.breakdown import breakdown
from bench.timers import PARTS, Timers
from tests.conftest import ROOT


def step(seconds: float, running: int, prompt: int = 0, **parts: float) -> dict[str, Any]:
    return {"seconds": seconds, "running": running, "prompt_tokens": prompt, "parts": parts}


def clocks(*steps: dict[str, Any], missing: list[str] | None = None) -> dict[str, Any]:
    seconds = {"answer": 9.0, "render_prompts": 0.5, "clean": 0.25}
    return {"seconds": seconds, "steps": list(steps), "missing": missing or []}


def test_rows_add_up_to_the_call_and_steps_find_their_phase() -> None:
    rows = breakdown(
        10.0,
        clocks(
            step(0.5, 0),  # delivers nothing: with asynchronous scheduling, the queue fills
            step(1.0, 100, prompt=5, execute=0.75),
            step(1.0, 90),
            step(1.0, 50),
            step(1.0, 10),
            step(1.0, 1),
        ),
        slots=100,
    )
    stages = {row["stage"]: row for row in rows}
    assert sum(row["seconds"] or 0 for row in rows[:-1]) == pytest.approx(10.0)
    assert stages["HTTP and JSON"]["seconds"] == 1.0
    assert stages["prefill"]["steps"] == 2 and stages["prefill"]["seconds"] == 1.5
    assert stages["prefill"]["waiting"] == 0.75
    names = ("decode, full", "decode, between", "decode, tail")
    assert [stages[name]["steps"] for name in names] == [1, 1, 2]
    assert stages["decode, tail"]["mean_step_ms"] == 1000.0
    assert rows[-1]["steps"] == 6 and rows[-1]["seconds"] == 5.5


def test_what_a_version_lacks_stays_empty() -> None:
    rows = breakdown(10.0, clocks(step(1.0, 1), missing=["update: no such thing"]), slots=1)
    assert rows[-1]["update"] is None and rows[-1]["schedule"] == 0.0


class FakeScheduler:
    """Two prompts of 4 tokens, 3 computed a step, then one token a step."""

    def __init__(self) -> None:
        new = [SimpleNamespace(req_id=r, prompt_token_ids=[0] * 4, num_computed_tokens=0)
               for r in "ab"]  # fmt: skip
        cached = SimpleNamespace(req_ids=["a", "b"], num_computed_tokens=[3, 3])
        later = SimpleNamespace(req_ids=["a"], num_computed_tokens=[4])
        none = SimpleNamespace(req_ids=[], num_computed_tokens=[])
        self.made = [
            SimpleNamespace(num_scheduled_tokens=n, scheduled_new_reqs=w, scheduled_cached_reqs=c)
            for n, w, c in (
                ({"a": 3, "b": 3}, new, none),
                ({"a": 1, "b": 1}, [], cached),
                ({"a": 1}, [], later),
            )
        ]
        self.next = 0

    def schedule(self) -> Any:
        self.next += 1
        return self.made[self.next - 1]

    def update_from_output(self, scheduled: Any, output: Any) -> None: ...


def fake_llm(asynchronous: bool) -> Any:
    scheduler = FakeScheduler()
    queue: list[Any] = []

    def step() -> None:
        if scheduler.next < 3:
            queue.append(scheduler.schedule())
            if asynchronous and len(queue) < 2 and scheduler.next < 3:
                return
        scheduler.update_from_output(queue.pop(0), None)

    core = SimpleNamespace(scheduler=scheduler, batch_queue=queue if asynchronous else None)
    engine = SimpleNamespace(
        engine_core=SimpleNamespace(engine_core=core), add_request=lambda: None, step=step
    )
    return SimpleNamespace(llm_engine=engine)


@pytest.mark.parametrize("asynchronous", [False, True])
def test_a_step_is_told_by_the_batch_that_it_delivers(asynchronous: bool) -> None:
    llm, timers = fake_llm(asynchronous), Timers()
    timers.wrap_llm(llm)
    timers.start()
    for _ in range(4 if asynchronous else 3):
        llm.llm_engine.step()
    told = timers.stop()
    shapes = [(s["running"], s["prompt_tokens"]) for s in told["steps"]]
    assert shapes == ([(0, 0)] if asynchronous else []) + [(2, 6), (2, 2), (1, 0)]
    assert told["async_scheduling"] is asynchronous
    assert sorted(line.split(":")[0] for line in told["missing"]) == ["execute", "output"]


def test_a_core_in_its_own_process_is_refused() -> None:
    llm = SimpleNamespace(llm_engine=SimpleNamespace(engine_core=SimpleNamespace()))
    with pytest.raises(ValueError, match="ENGINE_IN_PROCESS"):
        Timers().wrap_llm(llm)


@pytest.mark.slow
@pytest.mark.vllm
@pytest.mark.timeout(300)
def test_a_batch_of_the_real_service(tiny_model: Path, tmp_path: Path) -> None:
    out = tmp_path / "breakdown.json"
    options = ["--questions", "12", "--answer-tokens", "10", "--runs", "1", "--out", str(out)]
    command = [sys.executable, "-m", "bench.breakdown", str(tiny_model), *options]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    told = json.loads(out.read_text("utf-8"))
    rows = {row["stage"]: row for row in told["rows"]}
    assert told["missing"] == [] and told["async_scheduling"] is False
    whole = sum(row["seconds"] for row in told["rows"][:-1])
    assert whole == pytest.approx(told["seconds_with_clocks"][0], abs=1e-3)
    # The prefill gives the first tokens, steps with all 12 (or nearly) the others.
    assert rows["prefill"]["steps"] >= 1 and rows["decode, full"]["mean_running"] >= 11
    assert all(step["parts"].keys() == set(PARTS) for step in told["steps"])
    assert 0 <= rows["step loop and threads"]["seconds"] < whole / 2
