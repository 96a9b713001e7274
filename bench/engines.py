"""How many engines on one GPU, beside the peers: one command, one table, one JSON file.

    python -m bench.engines DIR --testset DEV.jsonl --peer PATH/serve.py     real weights
    python -m bench.engines DIR --dummy --form awq --workload FILE           a shape alone, in 4 bit

Equal tokens: every candidate answers the same questions with the same number of tokens each, none
of them in its prefix cache: this service with 1, 2, 3 and 4 engines, each in turn with raw
`LLM.generate` (`raw_seconds`, `ratio_to_raw`: what else runs on a machine changes with time), raw
`LLM.generate` alone, `vllm serve`. Beside it stand the floor (bytes read at the card's memory
speed) and the share of time in which the GPU was busy.
Natural ends (`--testset`): the real services over HTTP, all questions in one call: this one with
each number of engines, and the peer's own serve.py with its own Dockerfile's settings (`--peer-set`
for others); `--no-equal` measures these alone. The judge's accuracy stands beside the speed,
and how many answers are the same as the first candidate's (`--set REPEAT_REDRAWS=0`: redraws are
sampled).
The service is asked without a book, as the others are; `--set RETRIEVAL_DIR=… --set
RETRIEVAL_PASSAGES=2` gives it one, and raw `LLM.generate` in its process the same prompts; the
other peers have no book and are left out. `--vary DRAFT_TOKENS=0,4` measures each number of engines
with each value. Each candidate is loaded alone (but for raw vLLM); medians of `--runs`.
"""

import contextlib
import json
import statistics
import tempfile
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from bench import equal_tokens
from bench.candidates import Candidates, give_up
from bench.natural_ends import ask_all, natural
from bench.options import (
    AnswerTokens,
    Dummy,
    Model,
    Out,
    Questions,
    WorkloadFile,
    settings_of,
    workload_arguments,
)
from bench.processes import BenchError
from bench.random_model import RandomForm, write_random_model
from bench.serve import _device_name
from bench.workload import load_workload
from common.read_pairs import read_pairs
from common.service_process import stop_on_signals

console = Console(width=140)
TOLD = (
    "seconds",
    "raw_seconds",
    "ratio_to_raw",
    "busy_percent",
    "score",
    "ended",
    "same_as_the_first_candidates",
    "failed",
)


def main(
    model: Model,
    engines: Annotated[str, typer.Option(help="numbers of engines")] = "1,2,3,4",
    workload: WorkloadFile = None,
    questions: Questions = 358,
    answer_tokens: AnswerTokens = 192,
    testset: Annotated[Path | None, typer.Option(help="natural ends on these questions")] = None,
    peer: Annotated[Path | None, typer.Option(help="another contestant's serve.py")] = None,
    peer_set: Annotated[list[str] | None, typer.Option("--peer-set", help="KEY=VALUE")] = None,
    set_: Annotated[list[str] | None, typer.Option("--set", help="KEY=VALUE, this service")] = None,
    vary: Annotated[list[str] | None, typer.Option(help="KEY=V1,V2: one candidate each")] = None,
    runs: Annotated[int, typer.Option(help="timed runs of each")] = 3,
    dummy: Dummy = False,
    form: Annotated[RandomForm, typer.Option(help="of --dummy's weights")] = "bf16",
    peers: Annotated[bool, typer.Option(help="raw LLM.generate and vllm serve, too")] = True,
    no_equal: Annotated[bool, typer.Option("--no-equal", help="natural ends alone")] = False,
    out: Out = Path("report/bench_engines.json"),
) -> None:
    """Time several engines and their peers."""
    stop_on_signals()
    settings = settings_of(set_)
    candidates = equal_tokens.every(sorted(map(int, engines.split(","))), vary or [])
    work = load_workload(workload, questions, answer_tokens)
    given = workload_arguments(workload, questions, answer_tokens)
    device = _device_name()
    figures: dict[str, Any] = {
        "model": model.name,
        "form": form if dummy else "as in its files",
        "random_weights": dummy,
        "device": device,
        "workload": work.name,
        "answer_tokens": work.answer_tokens,
        "equal_tokens": {},
        "natural_ends": {},
    }
    out.parent.mkdir(parents=True, exist_ok=True)

    def keep(part: str, name: str, row: dict[str, Any]) -> None:
        figures[part][name] = row = to_record(row)
        told = {key: row[key] for key in TOLD if key in row}
        console.print(f"{part}, {name}: {told}", highlight=False)
        text = json.dumps(figures, ensure_ascii=False, indent=1)
        out.write_text(text + "\n", encoding="utf-8")

    with contextlib.ExitStack() as stack:
        if dummy:
            made = Path(stack.enter_context(tempfile.TemporaryDirectory())) / model.name
            write_random_model(model, made, form)
            model = made
        if not no_equal:
            these = Candidates(model, work, given, runs, False, settings)
            for name, row in equal_tokens.measure(these, candidates, peers, device):
                keep("equal_tokens", name, row)
        if testset is not None and not dummy:
            pairs, answers = read_pairs(testset).pairs, None
            for name, command, variables in natural(
                model, candidates, settings, peer, peer_set or []
            ):
                try:
                    row, told = ask_all(command, variables, pairs, runs, answers)
                    answers = told if answers is None else answers
                except BenchError as error:
                    row = give_up(error)
                keep("natural_ends", name, row)
    show(figures)
    rows = [row for part in ("equal_tokens", "natural_ends") for row in figures[part].values()]
    if all("failed" in row for row in rows):
        raise typer.Exit(1)


def to_record(row: dict[str, Any]) -> dict[str, Any]:
    """Without a path of this machine, and without what is told once elsewhere."""
    row = dict(row)
    for name in ("prompt_tokens", "shared_tokens"):  # of each question: hundreds of numbers
        if isinstance(row.get(name), list):
            row[name] = sum(row[name])
    if folder := row.get("settings", {}).get("RETRIEVAL_DIR"):
        row["settings"] = row["settings"] | {"RETRIEVAL_DIR": Path(folder).name}
    if isinstance(engine := row.get("engine"), dict):
        arguments = engine.get("arguments", {})
        told = {key: value for key, value in arguments.items() if key != "model"}
        row["engine"] = engine | {"arguments": told}
    return row


def show(figures: dict[str, Any]) -> None:
    """Both tables."""
    columns = {
        "÷ raw beside": "ratio_to_raw",
        "floor s": "floor_seconds",
        "GPU busy %": "busy_percent",
        "characters/s": "characters_a_second",
        "score": "score",
        "start s": "start_seconds",
    }
    for part in ("equal_tokens", "natural_ends"):
        rows = figures[part]
        if not rows:
            continue
        table = Table("candidate", "s", "× floor")
        table.title = f"{figures['model']}, {part.replace('_', ' ')}, {figures['device']}"
        told = {name: key for name, key in columns.items() if any(key in r for r in rows.values())}
        for name in told:
            table.add_column(name)
        for name, row in rows.items():
            if "seconds" not in row:
                table.add_row(name, "failed")
                continue
            seconds, floor = statistics.median(row["seconds"]), row.get("floor_seconds")
            above = f"{seconds / floor:.2f}" if floor else ""
            cells = [str(row.get(key, "")) for key in told.values()]
            table.add_row(name, f"{seconds:.3f}", above, *cells)
        console.print(table)


if __name__ == "__main__":
    typer.run(main)
