"""What n-gram speculative decoding gains or loses: real answers, with and without it.

    python -m bench.speculative model/demo data/sample/testset_{basic,bonus}.jsonl

Services one after the other, all but the first with vLLM's `speculative_config`; all questions of
the test sets in one call, and one a call (as in a batch's tail, where few answers are left).
Answers end by themselves, since made-up ones repeat more, or less, than real ones do. Prints one
table, writes JSON; a greedy service must answer the same with and without.
"""

import json
import statistics
import sys
import time
from pathlib import Path
from typing import Annotated, Any

import httpx
import typer
from rich.console import Console
from rich.table import Table

from bench.options import Model, Out, SettingsOption, settings_of
from bench.processes import BenchError, server
from common.read_pairs import read_pairs
from common.service_process import stop_on_signals

console = Console(width=110)


def main(
    model: Model,
    test_sets: Annotated[list[Path], typer.Argument(help="docx or jsonl")],
    tokens: Annotated[str, typer.Option(help="drafted tokens a step, each a service")] = "3,5",
    longest: Annotated[int, typer.Option(help="longest n-gram looked up")] = 4,
    runs: Annotated[int, typer.Option(help="timed calls of all questions")] = 5,
    alone: Annotated[int, typer.Option(help="questions asked one a call")] = 20,
    set_: SettingsOption = None,
    out: Out = Path("report/bench_speculative.json"),
) -> None:
    """Time a service with n-gram drafts and without."""
    stop_on_signals()
    questions = [q.question for path in test_sets for q in read_pairs(path).pairs]
    settings = {"MODEL_DIR": str(model), **settings_of(set_)}
    drafts: list[dict[str, Any] | None] = [None]
    drafts += [
        {"method": "ngram", "num_speculative_tokens": int(n), "prompt_lookup_max": longest}
        for n in tokens.split(",")
    ]
    rows: dict[str, Any] = {}
    for draft in drafts:
        name = f"ngram, {draft['num_speculative_tokens']} tokens" if draft else "without"
        try:
            rows[name] = measure(settings, draft, questions, runs, alone)
        except BenchError as error:
            rows[name] = {"failed": str(error)[-600:]}
    answers = {name: row.pop("answers", []) for name, row in rows.items()}
    for name, given in answers.items():
        rows[name]["same_answers"] = sum(map(str.__eq__, given, answers["without"]))
    figures = {"model": model.name, "questions": len(questions), "alone": alone, "rows": rows}
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(json.dumps(figures, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")
    show(figures)


def measure(
    settings: dict[str, str],
    draft: dict[str, Any] | None,
    questions: list[str],
    runs: int,
    alone: int,
) -> dict[str, Any]:
    """Seconds of the calls, and the answers. Raises BenchError when it does not start or answer."""
    if draft:
        given = json.loads(settings.get("ENGINE_ARGS", "{}")) | {"speculative_config": draft}
        settings = settings | {"ENGINE_ARGS": json.dumps(given)}
    command = [sys.executable, "-m", "uvicorn", "serve:app", "--port", "{port}"]
    with server(command, settings, "/") as (client, _):
        answers, _ = ask(client, questions)  # pays for what is warm later
        for question in questions[:2]:
            ask(client, question)
        batch = [ask(client, questions)[1] for _ in range(runs)]
        single = [ask(client, question)[1] for question in questions[:alone]]
        engine = client.get("/info").json()["engine"]
    return {
        "seconds": [round(each, 4) for each in batch],
        "alone_seconds": round(sum(single), 4),
        "characters": sum(map(len, answers)),
        "arguments": engine.get("arguments"),
        "version": engine.get("version"),
        "answers": answers,
    }


def ask(client: httpx.Client, prompt: str | list[str]) -> tuple[list[str], float]:
    """The answers, and the call's seconds."""
    began = time.monotonic()
    reply = client.post("/predict", json={"prompt": prompt}).raise_for_status()
    return reply.json()["response"], time.monotonic() - began


def show(figures: dict[str, Any]) -> None:
    """One table."""
    title = f"{figures['questions']} questions of {figures['model']}, real answers"
    table = Table(title=title)
    for column in ("decoding", "s", "÷ without", f"{figures['alone']} alone, s", "÷ without"):
        table.add_column(column)
    table.add_column("same answers")
    plain = figures["rows"]["without"]
    for name, row in figures["rows"].items():
        if "failed" in row:
            table.add_row(name, "failed")
            continue
        seconds, single = statistics.median(row["seconds"]), row["alone_seconds"]
        table.add_row(
            name,
            f"{seconds:.3f}",
            f"{seconds / statistics.median(plain['seconds']):.3f}" if "seconds" in plain else "",
            f"{single:.3f}",
            f"{single / plain['alone_seconds']:.3f}" if "seconds" in plain else "",
            f"{row['same_answers']} of {figures['questions']}",
        )
    console.print(table)


if __name__ == "__main__":
    typer.run(main)
