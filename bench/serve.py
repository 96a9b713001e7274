"""The whole `/predict` call over HTTP, beside other ways to answer the same questions.

    python -m bench.serve model/demo                                    on this machine
    python -m bench.serve DIR --workload FILE --dummy --only service    random weights of a shape
    python -m bench.serve DIR --dummy --variants bench/variants_gpu.json --at-once 4

Every candidate answers the same questions with the same number of tokens each, and finds none of
them in its prefix cache, as the judge's only call does not:
- service: this kit's service, one batch call; and in the same process, in turn, raw `LLM.generate`;
- raw defaults: vLLM with its own defaults, one `LLM.generate` call;
- openai: `vllm serve`, one request a question, all at once;
- transformers: `generate` in batches of rows of similar length (`--transformers-questions`: of the
  first of the workload only; it takes minutes on a GPU);
- serial: this kit's service, one question a call, the first of the workload only.
`--set KEY=VALUE` (repeatable) are settings of the service. `--variants` names a JSON list of
services with settings of their own: name, settings, and what was predicted of it before.
`--at-once` loads so many candidates together, which takes most of the time, and measures them in
turn, so that a machine that grows slower does so for all; `--first-alone` starts the first one
alone: a cold start where caches are empty.
`--breakdown FILE` asks the first service for its stages, too (bench/breakdown.py).
Prints medians and ratios, writes JSON.
"""

import contextlib
import functools
import json
import statistics
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Annotated, Any

import httpx
import typer
from rich.console import Console
from rich.table import Table

from bench import breakdown
from bench.candidates import Candidates, Ready, give_up, on_cpu
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
from bench.workload import Workload, load_workload
from common.device_table import device_named
from common.model_shape import Form, ShapeError, read_shape
from common.roofline import floor_seconds
from common.service_process import stop_on_signals

console = Console(width=150)
ALL = ("service", "raw defaults", "openai", "transformers", "serial")
# Weights' forms that the names of candidates tell; the others are in 16 bits.
FORMS: tuple[Form, ...] = ("fp8", "int8", "awq")
Jobs = dict[str, contextlib.AbstractContextManager[Ready]]


def main(
    model: Model,
    workload: WorkloadFile = None,
    questions: Questions = 358,
    answer_tokens: AnswerTokens = 64,
    runs: Annotated[int, typer.Option(help="timed runs of each candidate")] = 5,
    serial_questions: Annotated[int, typer.Option(help="questions of the serial client")] = 20,
    transformers_questions: Annotated[int, typer.Option(help="0: all")] = 0,
    only: Annotated[str, typer.Option(help="candidates, separated by ','")] = ",".join(ALL),
    dummy: Dummy = False,
    set_: SettingsOption = None,
    variants: Annotated[Path | None, typer.Option(help="JSON list of services")] = None,
    at_once: Annotated[int, typer.Option(help="candidates loaded together")] = 1,
    kv_cache_gb: Annotated[float, typer.Option(help="of each, when loaded together")] = 9.5,
    first_alone: Annotated[bool, typer.Option(help="the first one not with others")] = False,
    breakdown_out: Annotated[Path | None, typer.Option("--breakdown", help="JSON")] = None,
    out: Out = Path("report/bench_serve.json"),
) -> None:
    """Time the service and its peers."""
    stop_on_signals()
    work = load_workload(workload, questions, answer_tokens)
    given = workload_arguments(workload, questions, answer_tokens)
    wanted = set(only.split(",")) if only else set()
    if unknown := wanted - set(ALL):
        raise typer.BadParameter(f"--only: unknown {sorted(unknown)}; there are {ALL}")
    settings = settings_of(set_)
    share = round(0.9 / at_once, 3) if at_once > 1 else None
    these = Candidates(model, work, given, runs, dummy, settings, share, kv_cache_gb)
    listed = load_variants(variants, model)
    jobs: Jobs = {}
    if "service" in wanted:
        serial = serial_questions if "serial" in wanted else 0

        def then(client: httpx.Client) -> None:
            if breakdown_out is not None:
                stages = breakdown.measure_in(client, these, timed=True)
                breakdown.write(
                    breakdown_out, {"model": model.name, "workload": work.name} | stages
                )

        jobs["service"] = these.service({}, beside=True, serial=serial, then=then)
    if "raw defaults" in wanted:
        jobs["raw defaults"] = these.raw_defaults()
    if "transformers" in wanted:
        jobs["transformers"] = these.transformers(transformers_questions)
    jobs |= {row["name"]: these.service(row["settings"]) for row in listed}
    # Its start takes longest: beside the variants, which compile for long, it costs the least time.
    if "openai" in wanted:
        jobs["openai"] = these.openai()
    figures: dict[str, Any] = {
        "model": model.name,
        "workload": work.name,
        "questions": len(work.questions),
        "answer_tokens": work.answer_tokens,
        "device": _device_name(),
        "candidates": {},
    }
    out.parent.mkdir(parents=True, exist_ok=True)
    rows = figures["candidates"]
    predictions = {row["name"]: row.get("prediction", "") for row in listed}
    for group in in_groups(list(jobs), at_once, first_alone):
        for name, row in measure_together({name: jobs[name] for name in group}, runs):
            rows[name] = row
            if "serial" in row:
                rows["serial"] = row.pop("serial")
            if predictions.get(name):
                row["prediction"] = predictions[name]
            keys = ("first_call_seconds", "seconds", "start_seconds", "failed")
            told = {key: row[key] for key in keys if key in row}
            console.print(f"{name}: {told}", highlight=False)
            _floors(figures, model, work)
            text = json.dumps(figures, ensure_ascii=False, indent=1)
            out.write_text(text + "\n", encoding="utf-8")
    show(figures)
    if not any("seconds" in row for row in rows.values()):
        raise typer.Exit(1)


def load_variants(path: Path | None, model: Path) -> list[dict[str, Any]]:
    """Rows of name, settings (as texts; `{model}` is the model directory) and prediction."""
    if path is None:
        return []
    rows = json.loads(path.read_text(encoding="utf-8"))
    for row in rows:
        row["settings"] = {
            key: value.replace("{model}", str(model))
            if isinstance(value, str)
            else json.dumps(value)
            for key, value in row["settings"].items()
        }
    return rows


def in_groups(names: list[str], at_once: int, first_alone: bool = False) -> list[list[str]]:
    """Groups of at most that size, in order."""
    cut = 1 if first_alone else 0
    rest = [names[i : i + at_once] for i in range(cut, len(names), at_once)]
    return [names[:1], *rest] if first_alone and names else rest


def measure_together(jobs: Jobs, runs: int) -> list[tuple[str, dict[str, Any]]]:
    """Start all of them side by side, then measure them in turn; name and figures of each.

    Whatever one cannot do stands in its own row.
    """
    rows: dict[str, dict[str, Any]] = {name: {} for name in jobs}
    began = time.monotonic()
    console.print(f"loading {', '.join(jobs)}", highlight=False)
    with contextlib.ExitStack() as stack, ThreadPoolExecutor(len(jobs)) as pool:
        starts = {name: pool.submit(job.__enter__) for name, job in jobs.items()}
        ready: dict[str, Ready] = {}
        for name, start in starts.items():
            try:
                ready[name] = start.result()
                stack.callback(_leave, jobs[name])
            except BenchError as error:
                rows[name] = give_up(error)
        console.print(
            f"{len(ready)} loaded after {time.monotonic() - began:.0f} s", highlight=False
        )

        def each(measure: Callable[[dict[str, Any], Ready], None]) -> None:
            for name, candidate in ready.items():
                if "failed" in rows[name]:
                    continue
                try:
                    measure(rows[name], candidate)
                except (BenchError, httpx.HTTPError) as error:
                    rows[name] = give_up(error)

        each(_first_call)
        for turn in range(runs):
            each(functools.partial(_timed_run, turn))
        each(lambda row, candidate: row.update(candidate.facts()))
    for row in rows.values():
        if "raw_seconds" in row:
            pairs = zip(row["seconds"], row["raw_seconds"], strict=True)
            row["ratio_to_raw"] = round(statistics.median(ours / raw for ours, raw in pairs), 4)
    return list(rows.items())


def _first_call(row: dict[str, Any], candidate: Ready) -> None:
    if candidate.first is not None:
        row |= candidate.first()


def _timed_run(turn: int, row: dict[str, Any], candidate: Ready) -> None:
    if turn < candidate.runs:
        for what, seconds in candidate.once().items():
            row.setdefault(what, []).append(seconds)


def _leave(job: contextlib.AbstractContextManager[Ready]) -> None:
    job.__exit__(None, None, None)


def _floors(figures: dict[str, Any], model: Path, work: Workload) -> None:
    """The floor of every candidate, where the device's rates are known."""
    rows = figures["candidates"]
    service = next((row for row in rows.values() if "prompt_tokens" in row), None)
    device = device_named(figures["device"])
    if service is None or device is None:
        return
    try:
        shape = read_shape(str(model))
    except ShapeError as error:
        console.print(f"no floors: {error}", highlight=False)
        return
    for name, row in rows.items():
        form = next((form for form in FORMS if form in name.lower()), "bf16")
        if row.get("questions", len(work.tokens)) == len(work.tokens):
            # A variant may have another system prompt.
            asked = row if "prompt_tokens" in row else service
            prompts, shared = asked["prompt_tokens"], asked["shared_tokens"]
            weights = shape.weight_bytes(form)
            floor = floor_seconds(shape, weights, prompts, work.tokens, device, shared=shared)
            row["floor_seconds"] = round(floor, 4)


def _device_name() -> str:
    if on_cpu():
        return "cpu"
    import torch

    return torch.cuda.get_device_name()


def show(figures: dict[str, Any]) -> None:
    """One table: medians and ratios."""
    rows = figures["candidates"]
    title = f"{figures['questions']} questions, {figures['answer_tokens']:,} answer tokens"
    table = Table(title=f"{title} ({figures['workload']}), {figures['device']}")
    for column in ("candidate", "s", "tokens/s", "÷ LLM.generate beside it", "÷ raw defaults"):
        table.add_column(column)
    for column in ("floor s", "× floor", "first call s", "start s"):
        table.add_column(column)
    plain = statistics.median(rows.get("raw defaults", {}).get("seconds", [0]))
    for name, row in rows.items():
        if "seconds" not in row:
            table.add_row(name, "failed")
            continue
        seconds = statistics.median(row["seconds"])
        tokens = row.get("answer_tokens", figures["answer_tokens"])
        whole = tokens == figures["answer_tokens"]
        floor = row.get("floor_seconds")
        table.add_row(
            name if whole else f"{name} ({row['questions']} questions)",
            f"{seconds:.3f}",
            f"{tokens / seconds:,.0f}",
            f"{row['ratio_to_raw']:.3f}" if "ratio_to_raw" in row else "",
            f"{seconds / plain:.3f}" if plain and whole else "",
            f"{floor:.3f}" if floor else "",
            f"{seconds / floor:.2f}" if floor else "",
            f"{row['first_call_seconds']:.3f}" if "first_call_seconds" in row else "",
            f"{row['start_seconds']:.0f}" if "start_seconds" in row else "",
        )
    console.print(table)


if __name__ == "__main__":
    typer.run(main)
