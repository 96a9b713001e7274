"""Where the time of one batch goes, from the client's POST to its answers.

    python -m bench.breakdown model/demo                                   on this machine
    python -m bench.breakdown DIR --workload FILE --dummy --set KEY=VALUE  random weights of a shape

Starts the service with the answer lengths of a workload, the engine core in its process, and
clocks around its stages (bench/timers.py). The rows add up to the whole call. Of the steps of vLLM:
- prefill: steps that compute prompt tokens (with decoding of others in the same step);
- decode, full: >= 90 % of the answers that can run at once (MAX_NUM_SEQS) do; tail: <= 10 %.

What the columns of a step mean depends on the device. On a processor, `execute` is the model's own
computing. On a GPU `execute` only launches it, and the wait for the device is in `waiting`; with
asynchronous scheduling (the default of newer versions) a step schedules and launches the batch
after the one it delivers, so that the device computes during schedule, update, output and whatever
the service does between two steps: then `waiting` is what is left of the device's time once the
host has done its part, and near 0 the host is what sets the pace.

Runs with and without the clocks take turns; the run of the median time is shown. On a GPU one more
run tells what the device does in a step of each phase (bench/kernels.py).
"""

import json
import statistics
import time
from pathlib import Path
from typing import Annotated, Any

import httpx
import typer
from rich.console import Console
from rich.table import Table

from bench.candidates import Candidates, on_cpu
from bench.options import (
    AnswerTokens,
    Dummy,
    Model,
    Out,
    Questions,
    SettingsOption,
    WorkloadFile,
    settings_of,
    workload_arguments,
)
from bench.processes import BenchError
from bench.startup import stages
from bench.timers import PARTS, PHASES, phase_of
from bench.workload import load_workload
from common.service_process import stop_on_signals

console = Console(width=140)
# Rows before and after the steps: what is shown, and the clock that it is.
STAGES = {
    "rendering": "render_prompts",
    "tokenising": "tokenize_prompts",
    "looking for control tokens": "literal_prompts",
    "adding requests": "add_request",
}


def main(
    model: Model,
    workload: WorkloadFile = None,
    questions: Questions = 358,
    answer_tokens: AnswerTokens = 64,
    runs: Annotated[int, typer.Option(help="runs with clocks, and as many without")] = 3,
    dummy: Dummy = False,
    set_: SettingsOption = None,
    out: Out = Path("report/bench_breakdown.json"),
) -> None:
    """Time the stages of one batch."""
    stop_on_signals()
    work = load_workload(workload, questions, answer_tokens)
    given = workload_arguments(workload, questions, answer_tokens)
    settings = settings_of(set_) | {"ENGINE_IN_PROCESS": "1"}
    bench = Candidates(model, work, given, runs, dummy, settings)
    try:
        figures = measure(bench)
    except BenchError as error:
        console.print(f"[red]not measured:[/] {error}", highlight=False)
        raise typer.Exit(1) from None
    write(out, {"model": model.name, "workload": work.name, **figures})


def write(out: Path, figures: dict[str, Any]) -> None:
    """The figures as JSON, and on the screen."""
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(json.dumps(figures, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")
    show(figures)


def measure(bench: Candidates) -> dict[str, Any]:
    """The breakdown of a batch. Raises BenchError when the service does not start or answer."""
    with bench.fixed_service({}) as (client, service):
        client.post("/bench/fix").raise_for_status()
        figures = measure_in(client, bench)
        started = round(service.ready_seconds, 1)
        told = {"start_seconds": started, "start_stages": stages(service.log)}
    return {**figures, **told}


def measure_in(client: httpx.Client, bench: Candidates, timed: bool = False) -> dict[str, Any]:
    """The breakdown of a batch in a service (bench/fixed_service.py) that has the workload's
    lengths. It keeps the clocks. timed: it has been measured without clocks already. Raises
    BenchError when its core is in another process."""
    body = {"prompt": list(bench.work.questions)}
    reply = client.post("/bench/clocks")
    if reply.status_code == 409:
        raise BenchError(reply.json()["error"])
    reply.raise_for_status()

    def run(clocks: bool, **more: Any) -> tuple[float, dict[str, Any]]:
        client.post("/bench/clock", params={"on": clocks, **more}).raise_for_status()
        began = time.perf_counter()
        client.post("/predict", json=body).raise_for_status().json()
        wall = time.perf_counter() - began
        return wall, client.post("/bench/clocked").json()

    if not timed:
        run(False)  # pays for what is warm later
    pairs = [(run(True), None if timed else run(False)[0]) for _ in range(bench.runs)]
    engine = client.get("/info").json()["engine"]
    slots = min(len(body["prompt"]), engine.get("slots") or len(body["prompt"]))
    kernels = {} if on_cpu() else run(True, kernels=True, slots=slots)[1]["kernels"]
    clocked = sorted((pair[0] for pair in pairs), key=lambda run: run[0])
    wall, clocks = clocked[(len(clocked) - 1) // 2]
    return {
        "questions": len(body["prompt"]),
        "answer_tokens": bench.work.answer_tokens,
        "at_once": slots,
        "async_scheduling": clocks["async_scheduling"],
        "missing": clocks["missing"],
        "seconds_with_clocks": [round(each, 4) for each, _ in clocked],
        "seconds_without": [round(each, 4) for _, each in pairs if each is not None],
        "rows": breakdown(wall, clocks, slots),
        "kernels": kernels,
        "steps": clocks["steps"],
        "engine": engine,
    }


def breakdown(wall: float, clocks: dict[str, Any], slots: int) -> list[dict[str, Any]]:
    """Rows that add up to `wall`, the seconds of the whole call; clocks: Timers.stop's."""
    seconds = clocks["seconds"]
    answer = seconds.get("answer", wall)
    rows = [{"stage": "HTTP and JSON", "seconds": wall - answer}]
    rows += [{"stage": stage, "seconds": seconds.get(name)} for stage, name in STAGES.items()]
    phases: dict[str, list[dict[str, Any]]] = {phase: [] for phase in PHASES}
    waiting: list[dict[str, Any]] = []
    for step in clocks["steps"]:
        # A step that delivers nothing belongs to the batch that it lets begin.
        waiting.append(step)
        if step["running"]:
            phases[phase_of(step["running"], step["prompt_tokens"], slots)] += waiting
            waiting = []
    rows += [_steps(phase, steps, clocks) for phase, steps in phases.items()]
    if waiting:
        rows.append(_steps("steps without tokens", waiting, clocks))
    rows.append({"stage": "post-processing", "seconds": seconds.get("clean")})
    named = sum(row["seconds"] or 0.0 for row in rows)
    # Threads handing over to one another, and the step loop between two steps.
    rows.append({"stage": "step loop and threads", "seconds": wall - named})
    rows.append(_steps("all steps together", clocks["steps"], clocks))
    return rows


def _steps(stage: str, steps: list[dict[str, Any]], clocks: dict[str, Any]) -> dict[str, Any]:
    total = sum(step["seconds"] for step in steps)
    lacking = {line.split(":")[0] for line in clocks["missing"]}
    parts = {
        part: None if part in lacking else sum(step["parts"].get(part, 0.0) for step in steps)
        for part in PARTS
    }
    delivering = [step for step in steps if step["running"]]
    return {
        "stage": stage,
        "seconds": total,
        "steps": len(steps),
        "mean_step_ms": 1000 * total / len(steps) if steps else None,
        "mean_running": statistics.mean(s["running"] for s in delivering) if delivering else None,
        "prompt_tokens": sum(step["prompt_tokens"] for step in steps),
        **parts,
        "waiting": total - sum(value or 0.0 for value in parts.values()),
    }


def show(figures: dict[str, Any]) -> None:
    """One table, and what its columns mean here."""
    with_clocks, without = figures["seconds_with_clocks"], figures["seconds_without"]
    title = f"{figures['questions']} questions, {figures['answer_tokens']:,} answer tokens"
    table = Table(title=f"{title} ({figures['workload']}), {figures['at_once']} at once; seconds")
    table.add_column("stage")
    for column in ("s", "share", "steps", "ms a step", "running", *PARTS, "waiting"):
        table.add_column(column, justify="right")
    wall = sum(row["seconds"] or 0.0 for row in figures["rows"][:-1])
    for row in figures["rows"]:
        if row is figures["rows"][-1]:
            table.add_section()
        taken = row["seconds"]
        table.add_row(
            row["stage"],
            *(("", "") if taken is None else (f"{taken:.4f}", f"{taken / wall:.1%}")),
            _number(row, "steps", "d"),
            _number(row, "mean_step_ms", ".2f"),
            _number(row, "mean_running", ".0f"),
            *(_number(row, part, ".4f") for part in (*PARTS, "waiting")),
        )
    console.print(table)
    if figures["kernels"]:
        show_kernels(figures["kernels"])
    beside = f", {statistics.median(without):.4f} s without" if without else ""
    console.print(
        f"whole call, median of {len(with_clocks)}: {statistics.median(with_clocks):.4f} s with "
        f"the clocks{beside}",
        highlight=False,
    )
    for line in figures["missing"]:
        console.print(f"not in this version of vLLM, so its column is empty: {line}")
    if figures["engine"].get("device", {}).get("kind") == "cpu":
        console.print("execute is the model's computing; waiting is vLLM's own code between")
    elif figures["async_scheduling"]:
        console.print(
            "asynchronous scheduling: execute only launches, for the batch after the one a step "
            "delivers; waiting is what is left of the device's time when the host has done its part"
        )
    else:
        console.print("execute launches; the wait for the device may be in execute or in waiting")


def show_kernels(kernels: dict[str, dict[str, Any]]) -> None:
    """What the device does in a step of each phase."""
    table = Table(title="the device in a step, milliseconds (torch's profiler, other runs)")
    table.add_column("phase")
    kinds = {kind: None for found in kernels.values() for kind in found["kinds_ms"]}
    for column in ("kernels", "busy", *kinds):
        table.add_column(column, justify="right")
    for phase, found in kernels.items():
        each = [f"{found['kinds_ms'].get(kind, 0.0):.3f}" for kind in kinds]
        table.add_row(phase, f"{found['kernels']:.0f}", f"{found['busy_ms']:.3f}", *each)
    console.print(table)


def _number(row: dict[str, Any], name: str, form: str) -> str:
    value = row.get(name)
    return "" if value is None else f"{value:{form}}"


if __name__ == "__main__":
    typer.run(main)
