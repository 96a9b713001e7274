"""What a question costs in calls of 10 to 20,000 questions, and how much memory the service takes.

    python -m bench.scale model/demo                          on this machine, 10 to 20,000
    python -m bench.scale DIR --sizes 1000,100000 --dummy     random weights of a shape

Every question is asked once, so that no call profits from one before it; every answer has the same
few tokens. Small calls are repeated (median). Peak memory is the service's own high-water mark
(with its children), read after each size, the smallest first; "MB a 1,000" is what it grew by since
the size before. "÷ before" are the seconds a question, against the size before: flat is 1.
"""

import json
import re
import statistics
import time
from pathlib import Path
from typing import Annotated, Any

import httpx
import typer
from rich.console import Console
from rich.table import Table

from bench.candidates import Candidates
from bench.options import Dummy, Model, Out, SettingsOption, settings_of, workload_arguments
from bench.processes import BenchError
from bench.workload import load_workload
from common.service_process import stop_on_signals
from serving.warmup import warm_up_questions

console = Console(width=110)
SIZES = "10,100,1000,5000,20000"
# Calls of one size: no more than RUNS, and none once this many seconds have been spent on it.
RUNS = 5
ENOUGH_S = 10.0
WARM_UP = 256
# All answers have the same length, so whatever did not end by it was other work than told.
OTHER = re.compile(r'^serving_answers_total\{reason="(?!length")[^"]*"\} (\S+)', re.MULTILINE)
# Neither the deadline nor the size of the body is what is measured.
SETTINGS = {"PREDICT_BUDGET_S": "3600", "MAX_BODY_BYTES": str(1 << 28)}


def main(
    model: Model,
    sizes: Annotated[str, typer.Option(help="questions of a call, ascending")] = SIZES,
    answer_tokens: Annotated[int, typer.Option(help="tokens of each answer")] = 16,
    dummy: Dummy = False,
    set_: SettingsOption = None,
    out: Out = Path("report/bench_scale.json"),
) -> None:
    """Time calls of growing size."""
    counts = [int(size) for size in sizes.split(",")]
    if counts != sorted(set(counts)) or counts[0] < 1:
        raise typer.BadParameter("--sizes must ascend: peak memory never falls")
    stop_on_signals()
    settings = SETTINGS | settings_of(set_)
    # The service knows the lengths of a workload; a question of none has the same.
    given = workload_arguments(None, 1, answer_tokens)
    these = Candidates(model, load_workload(None, 1, answer_tokens), given, RUNS, dummy, settings)
    try:
        figures = measure(these, counts, answer_tokens)
    except BenchError as error:
        console.print(f"[red]not measured:[/] {error}", highlight=False)
        raise typer.Exit(1) from None
    figures = {"model": model.name, **figures}
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(json.dumps(figures, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")
    show(figures)


def measure(these: Candidates, counts: list[int], answer_tokens: int) -> dict[str, Any]:
    """One row a size. Raises BenchError when the service does not start or answer."""
    questions = iter(warm_up_questions(WARM_UP + sum(counts) * RUNS))
    rows = []
    with these.fixed_service({}) as (client, _):
        client.post("/bench/fix").raise_for_status()
        ask(client, [next(questions) for _ in range(WARM_UP)])  # pays for what is warm later
        before = memory(client)
        for count in counts:
            times: list[float] = []
            while len(times) < RUNS and sum(times) < ENOUGH_S:
                times.append(ask(client, [next(questions) for _ in range(count)]))
            rows.append(
                {
                    "questions": count,
                    "seconds": [round(each, 4) for each in times],
                    "peak_bytes": memory(client),
                }
            )
            console.print(rows[-1], highlight=False)
        engine = client.get("/info").json()["engine"]
    for row in rows:
        row["seconds_a_question"] = statistics.median(row["seconds"]) / row["questions"]
    return {
        "answer_tokens": answer_tokens,
        "at_once": engine.get("slots"),
        "start_bytes": before,
        "rows": rows,
        "engine": engine,
    }


def ask(client: httpx.Client, questions: list[str]) -> float:
    """Seconds of one call. Raises BenchError when not every question has a whole answer."""
    began = time.monotonic()
    reply = client.post("/predict", json={"prompt": questions}, timeout=3600)
    seconds = time.monotonic() - began
    answers = reply.raise_for_status().json()["response"]
    other = OTHER.findall(client.get("/metrics").text)
    if len(answers) != len(questions) or any(map(float, other)):
        raise BenchError(
            f"{len(answers)} answers to {len(questions)} questions; of another length: {other}"
        )
    return seconds


def memory(client: httpx.Client) -> int:
    """The most memory that the service held so far, in bytes."""
    return client.get("/info").json()["memory"]["host_peak_bytes"]


def show(figures: dict[str, Any]) -> None:
    """One table."""
    title = f"{figures['answer_tokens']} tokens an answer, {figures['at_once']} at once"
    table = Table(title=f"{title}; {figures['model']}")
    for column in ("questions", "s", "ms a question", "÷ before", "peak MB", "MB a 1,000"):
        table.add_column(column, justify="right")
    cost, peak, count = None, figures["start_bytes"], 0
    for row in figures["rows"]:
        each, more = row["seconds_a_question"], row["questions"] - count
        table.add_row(
            f"{row['questions']:,}",
            f"{statistics.median(row['seconds']):.2f}",
            f"{1000 * each:.2f}",
            f"{each / cost:.2f}" if cost else "",
            f"{row['peak_bytes'] / 2**20:,.0f}",
            f"{(row['peak_bytes'] - peak) / 2**20 / more * 1000:.1f}",
        )
        cost, peak, count = each, row["peak_bytes"], row["questions"]
    console.print(table)


if __name__ == "__main__":
    typer.run(main)
