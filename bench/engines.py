"""How many engines on one GPU, beside the peers: one command, one table, one JSON file.

    python -m bench.engines DIR --testset DEV.jsonl --peer PATH/serve.py     real weights
    python -m bench.engines DIR --dummy --workload FILE --engines 1,2        a shape alone

Equal tokens: every candidate answers the same questions with the same number of tokens each, none
of them in its prefix cache: this service with 1, 2, 3 and 4 engines, raw `LLM.generate` (one
engine, vLLM's defaults), `vllm serve`. What else runs on a machine changes between candidates that
run one after another, so the service with one engine is also measured in turn with `LLM.generate`
in its own process (`raw_seconds`, `ratio_to_raw`), and each row has the load of its time.
Natural ends (`--testset`): the real services over HTTP, all questions in one call: this one with
each number of engines, and the peer's own serve.py with its own Dockerfile's settings (`--peer-set`
for others); `--no-equal` measures these alone. The judge's accuracy stands beside the speed.
The service is asked without a book, as the others are; `--set RETRIEVAL_DIR=… --set
RETRIEVAL_PASSAGES=2` gives it one. Each candidate is loaded alone; medians of `--runs`. On an
NVIDIA GPU the share of time in which it was busy is sampled.
"""

import contextlib
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from bench.candidates import ALONE, Candidates, give_up
from bench.processes import BenchError, server
from bench.serve import _device_name, measure_together
from bench.workload import load_workload
from common.pairs import Pair
from common.read_pairs import read_pairs
from common.service_process import stop_on_signals
from judging.scoring import rouge_l

console = Console(width=120)
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


def main(
    model: Annotated[Path, typer.Argument(help="model directory")],
    engines: Annotated[str, typer.Option(help="numbers of engines")] = "1,2,3,4",
    workload: Annotated[Path | None, typer.Option(help="JSON rows of question, tokens")] = None,
    questions: Annotated[int, typer.Option(help="without --workload")] = 358,
    answer_tokens: Annotated[int, typer.Option(help="without --workload")] = 192,
    testset: Annotated[Path | None, typer.Option(help="natural ends on these questions")] = None,
    peer: Annotated[Path | None, typer.Option(help="another contestant's serve.py")] = None,
    peer_set: Annotated[list[str] | None, typer.Option("--peer-set", help="KEY=VALUE")] = None,
    set_: Annotated[list[str] | None, typer.Option("--set", help="KEY=VALUE, this service")] = None,
    runs: Annotated[int, typer.Option(help="timed runs of each")] = 3,
    dummy: Annotated[bool, typer.Option(help="random weights: only shape and tokenizer")] = False,
    peers: Annotated[bool, typer.Option(help="raw LLM.generate and vllm serve, too")] = True,
    equal: Annotated[bool, typer.Option(help="equal tokens; off: natural ends alone")] = True,
    out: Annotated[Path, typer.Option(help="figures as JSON")] = Path("report/bench_engines.json"),
) -> None:
    """Time several engines and their peers."""
    stop_on_signals()
    counts = [int(count) for count in engines.split(",")]
    settings = dict(pair.split("=", 1) for pair in set_ or [])
    work = load_workload(workload, questions, answer_tokens)
    given = ["--workload", str(workload)] if workload else []
    given = given or ["--questions", str(questions), "--answer-tokens", str(answer_tokens)]
    these = Candidates(model, work, given, runs, dummy, settings)
    figures: dict[str, Any] = {
        "model": model.name,
        "device": _device_name(),
        "workload": work.name,
        "answer_tokens": work.answer_tokens,
        "equal_tokens": {},
        "natural_ends": {},
    }
    out.parent.mkdir(parents=True, exist_ok=True)

    def keep(part: str, name: str, row: dict[str, Any]) -> None:
        figures[part][name] = row
        told = {
            key: row[key] for key in ("seconds", "ratio_to_raw", "score", "failed") if key in row
        }
        console.print(f"{part}, {name}: {told}", highlight=False)
        text = json.dumps(figures, ensure_ascii=False, indent=1)
        out.write_text(text + "\n", encoding="utf-8")

    jobs = {named(n): these.service({"ENGINES_PER_GPU": str(n)}, beside=n == 1) for n in counts}
    if peers:
        jobs |= {"LLM.generate": these.raw_defaults(), "vllm serve": these.openai()}
    for name, job in jobs.items() if equal else ():
        with busy_share() as busy:
            ((_, row),) = measure_together({name: job}, runs)
        keep("equal_tokens", name, row | busy | {"load": round(os.getloadavg()[0], 1)})
    if testset is not None and not dummy:
        pairs = read_pairs(testset).pairs
        for name, command, variables in natural(model, counts, settings, peer, peer_set or []):
            try:
                row = ask_all(command, variables, pairs, runs)
            except BenchError as error:
                row = give_up(error)
            keep("natural_ends", name, row)
    show(figures)
    failed = [row for part in ("equal_tokens", "natural_ends") for row in figures[part].values()]
    if all("failed" in row for row in failed):
        raise typer.Exit(1)


def named(count: int) -> str:
    """The name of this service with so many engines."""
    return f"this service, {count} engine{'s' if count > 1 else ''}"


def natural(
    model: Path, counts: list[int], settings: dict[str, str], peer: Path | None, given: list[str]
) -> Iterator[tuple[str, list[str], dict[str, str]]]:
    """Name, command and variables of each service that is asked with natural ends."""
    mine = {"MODEL_DIR": str(model), **ALONE, **settings}
    for count in counts:
        command = [sys.executable, "-m", "uvicorn", "serve:app", "--port", "{port}"]
        yield named(count), command, mine | {"ENGINES_PER_GPU": str(count)}
    if peer is not None:
        theirs = PEER_SETTINGS | {"MODEL_DIR": str(model.resolve())}
        theirs |= dict(pair.split("=", 1) for pair in given)
        command = [sys.executable, "-m", "bench.peer", str(peer), "--port", "{port}"]
        yield peer.resolve().parent.name + "/" + peer.name, command, theirs


def ask_all(
    command: list[str], variables: dict[str, str], pairs: list[Pair], runs: int
) -> dict[str, Any]:
    """All questions in one call, once for the judge's only call and `runs` times more."""
    body = {"prompt": [pair.question for pair in pairs]}
    seconds, answers = [], []
    with server(command, variables, "/") as (client, service), busy_share() as busy:
        for _ in range(runs + 1):
            began = time.monotonic()
            reply = client.post("/predict", json=body).raise_for_status().json()
            seconds.append(round(time.monotonic() - began, 4))
            answers.append(reply["response"])
        info = client.get("/info").json()
    characters = sum(map(len, answers[0]))
    scores = [rouge_l(pair.answer, text) for pair, text in zip(pairs, answers[0], strict=True)]
    return {
        "first_call_seconds": seconds[0],
        "seconds": seconds[1:],
        "characters": characters,
        "characters_a_second": round(characters / statistics.median(seconds[1:]), 1),
        "score": round(statistics.fmean(scores), 4),
        "start_seconds": round(service.ready_seconds, 1),
        "same_answers_each_time": all(each == answers[0] for each in answers),
        "engine": info.get("engine") or info.get("backend"),
        **busy,
    }


@contextlib.contextmanager
def busy_share() -> Iterator[dict[str, float]]:
    """Filled at the end: the mean utilisation of the GPU (percent) in samples of 0.1 s in which it
    was used at all; empty without `nvidia-smi`."""
    query = ["nvidia-smi", "--query-gpu=utilization.gpu", "--format=csv,noheader,nounits"]
    # Of several GPUs, those that the candidate sees.
    query += [f"--id={ids}" for ids in (os.environ.get("CUDA_VISIBLE_DEVICES"),) if ids]
    told: dict[str, float] = {}
    try:
        sampler = subprocess.Popen(
            [*query, "-lms", "100"], stdout=subprocess.PIPE, text=True, env=os.environ
        )
    except OSError:
        yield told
        return
    try:
        yield told
    finally:
        sampler.terminate()
        lines = sampler.communicate()[0].split()
        used = [int(line) for line in lines if line.isdigit() and int(line) > 0]
        if used:
            told["busy_percent"] = round(statistics.fmean(used), 1)


def show(figures: dict[str, Any]) -> None:
    """Both tables."""
    for part in ("equal_tokens", "natural_ends"):
        if not figures[part]:
            continue
        table = Table(title=f"{figures['model']}, {part.replace('_', ' ')}, {figures['device']}")
        for column in (
            "candidate",
            "s",
            "characters/s",
            "score",
            "GPU busy %",
            "start s",
            "÷ raw beside",
        ):
            table.add_column(column)
        for name, row in figures[part].items():
            if "seconds" not in row:
                table.add_row(name, "failed")
                continue
            cells = (
                "characters_a_second",
                "score",
                "busy_percent",
                "start_seconds",
                "ratio_to_raw",
            )
            told = [str(row.get(cell, "")) for cell in cells]
            table.add_row(name, f"{statistics.median(row['seconds']):.3f}", *told)
        console.print(table)


if __name__ == "__main__":
    typer.run(main)
