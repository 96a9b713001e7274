"""Before the push: would this repository, with this model, pass the judge, and what would it score?

python -m preflight                                 the commit, the Dockerfile's model
python -m preflight --model-dir model/demo          and a dress rehearsal with that model
python -m preflight --config config.json --weights awq --device rtx-4090-laptop

Looks at the last commit as the judge would clone it. Exit code: 0 when nothing would fail (what
could not be looked at is `unknown`), 1 when something would, 2 for wrong usage.
"""

import json
import os
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated, Literal

import typer
from rich.console import Console
from rich.table import Table

from common.model_files import model_files_problems
from judging.questions import TestSetError, read_testset
from preflight import budgets
from preflight.lines import FACTS, Line, State
from preflight.model import Model, ModelError, from_config, from_directory, from_hub
from preflight.packages import package_lines
from preflight.rehearsal import rehearse
from preflight.repository import Checkout, RepositoryError, repository_lines, unpack

DeviceKey = Literal["metax-c500", "h100", "rtx-4090-laptop", "cpu"]
COLOURS: dict[State, str] = {"ok": "green", "fail": "bold red", "unknown": "yellow", "note": "dim"}
app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@app.command()
def main(
    testsets: Annotated[
        list[Path] | None, typer.Argument(help="Test sets for times and rehearsal: docx or jsonl")
    ] = None,
    repository: Annotated[Path, typer.Option(help="Repository to submit")] = Path(),
    commit: Annotated[str, typer.Option(help="Commit to submit")] = "HEAD",
    model_dir: Annotated[
        Path | None, typer.Option(help="Model directory: its bytes, its shape, the rehearsal")
    ] = None,
    config: Annotated[Path | None, typer.Option(help="config.json alone, with --weights")] = None,
    weights: Annotated[Literal["bf16", "awq"], typer.Option(help="For --config")] = "bf16",
    device: Annotated[DeviceKey, typer.Option(help="Whose speed and memory")] = "metax-c500",
    startup_s: Annotated[
        float | None, typer.Option(min=0, help="A measured start, instead of the estimate")
    ] = None,
    rehearsal: Annotated[
        bool, typer.Option(help="Run and judge it here (needs --model-dir)")
    ] = True,
    offline: Annotated[bool, typer.Option(help="Ask no hub and no package index")] = False,
    out: Annotated[Path | None, typer.Option(help="Also write the lines as JSON here")] = None,
) -> None:
    """Check a submission before it costs an attempt."""
    told = Console(stderr=True)
    try:
        sets = [read_testset(path) for path in testsets or []]
        with tempfile.TemporaryDirectory(prefix="preflight_") as scratch, told.status("preflight"):
            checkout = unpack(repository, commit, _folder(scratch, "checkout"))
            lines = repository_lines(repository, commit, checkout)
            packages, wheels = package_lines(checkout.directory, Path(scratch), offline)
            lines += packages
            model, found = _model(checkout, model_dir, config, weights, offline)
            lines += found
            lines += budgets.build_lines(model, wheels, checkout.clone_bytes)
            target = budgets.device(device)
            lines += budgets.format_lines(model, target, checkout.environment)
            if model:
                works = [budgets.workload_of(s) for s in sets] or budgets.recorded_workloads()
                lines += _run_lines(model, checkout, target, works, startup_s)
            if rehearsal and model_dir and model:
                files = list(testsets or [])
                lines += _rehearsal(checkout, model_dir, files, repository)
    except (RepositoryError, ModelError, TestSetError, OSError) as error:
        told.print(str(error), markup=False, highlight=False, style="red")
        raise typer.Exit(2) from None
    _show(lines, model, device)
    if out:
        _write(out, lines, model, device)
    raise typer.Exit(1 if any(line.state == "fail" for line in lines) else 0)


def _folder(scratch: str, name: str) -> Path:
    folder = Path(scratch) / name
    folder.mkdir()
    return folder


def _model(
    checkout: Checkout,
    directory: Path | None,
    config: Path | None,
    weights: Literal["bf16", "awq"],
    offline: bool,
) -> tuple[Model | None, list[Line]]:
    """The model to reckon with: a directory, a config, or what the Dockerfile fetches."""
    if directory:
        if problems := model_files_problems(directory):
            why = "; ".join(problems)
            return None, [Line("model", str(directory), "fail", "cannot be served", why=why)]
        return from_directory(directory), []
    if config:
        return from_config(config, weights), []
    model_id = checkout.arguments.get("MODEL_ID", "")
    if offline or not model_id:
        why = "--offline" if model_id else "the Dockerfile names no MODEL_ID"
        return None, [Line("model", model_id or "none", "unknown", "not looked up", why=why)]
    hub, revision = (
        checkout.arguments.get(name, value)
        for name, value in (("MODEL_HUB", "modelscope"), ("MODEL_REVISION", "master"))
    )
    try:
        return from_hub(model_id, hub, revision, checkout.directory), []
    except ModelError as error:
        # A hub that is away now says nothing of the submission; a refusal or a missing model does.
        certain = ("no such model", "access token", "manifest", "cannot be served")
        lost = any(words in str(error) for words in certain)
        state: State = "fail" if lost else "unknown"
        return None, [Line("model", model_id, state, "not fetched", why=str(error))]


def _run_lines(
    model: Model,
    checkout: Checkout,
    target: budgets.Device,
    works: Sequence[budgets.Workload],
    startup_s: float | None,
) -> Iterator[Line]:
    """The device, and health, predict and memory on it."""
    environment = checkout.environment
    eager = environment.get("ENFORCE_EAGER", "").lower() in ("1", "true")
    serial = environment.get("SERVE_MODE") == "serial"
    yield budgets.device_line(target)
    yield from budgets.health_lines(model, target, startup_s, eager, environment)
    for work in works:
        yield from budgets.predict_lines(model, target, work, serial)
    share = environment.get("GPU_MEMORY_UTILIZATION", FACTS["assumed"]["memory_share"]["value"])
    yield budgets.memory_line(model, target, works, float(share))


def _rehearsal(
    checkout: Checkout, model_dir: Path, testsets: list[Path], repository: Path
) -> list[Line]:
    chosen = testsets or sorted((repository / "data" / "sample").glob("testset_*.docx"))
    if not chosen:
        why = "no test set given, and none in data/sample"
        return [Line("rehearsal", "test sets", "unknown", "none", why=why)]
    return rehearse(checkout.directory, model_dir, chosen, checkout.environment)


def _show(lines: Sequence[Line], model: Model | None, device: str) -> None:
    # Wide enough for its columns where the output is no terminal, as in a log.
    width = None if os.isatty(1) else 180
    console = Console(width=width)
    name = f"{model.name}, {model.source}" if model else "unknown"
    table = Table(title=f"Preflight: model {name}; device {device}", title_justify="left")
    for heading in ("", "what", "figure", "limit", "margin", "why"):
        table.add_column(heading, overflow="fold")
    area = ""
    for line in lines:
        if line.area != area:
            table.add_section()
            area = line.area
        colour = COLOURS[line.state]
        cells = (f"{line.area}: {line.what}", line.figure, line.limit, line.margin, line.why)
        table.add_row(f"[{colour}]{line.state}[/]", *(cell.replace("[", "\\[") for cell in cells))
    console.print(table)
    failed = [line for line in lines if line.state == "fail"]
    unknown = sum(line.state == "unknown" for line in lines)
    verdict = f"{len(failed)} would fail" if failed else "nothing seen that would fail"
    console.print(f"{verdict}; {unknown} could not be looked at", style="bold")


def _write(path: Path, lines: Sequence[Line], model: Model | None, device: str) -> None:
    told = {
        "model": vars(model) if model else None,
        "device": device,
        "passed": not any(line.state == "fail" for line in lines),
        "lines": [line.as_json() for line in lines],
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(told, ensure_ascii=False, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    app()
