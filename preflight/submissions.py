"""The submission log: what was pushed, what was predicted, what the judge mailed back.

python -m preflight.submissions add --model me/book --revision v1 --accuracy 0.41 --speed 9000
python -m preflight.submissions add --preflight report/preflight.json --settings MAX_NUM_SEQS=256
python -m preflight.submissions result 3 --accuracy 0.38 --speed 7400
python -m preflight.submissions result 4 --failed "health: no answer in 180 s"
python -m preflight.submissions list

One JSON object a line in preflight/submissions.jsonl, committed with the code. `--accuracy` and
`--speed` of `add` are predictions, of `result` the judge's own numbers; both for all questions.
"""

import json
import subprocess
from datetime import datetime, timezone
from pathlib import Path
from typing import Annotated, Any, NoReturn

import typer
from pydantic import BaseModel, Field, ValidationError
from rich.console import Console
from rich.table import Table

LOG = Path(__file__).with_name("submissions.jsonl")
ATTEMPTS = 20  # the contest's rules
app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
LogOption = Annotated[Path, typer.Option("--log", help="The log's file")]


class LogError(ValueError):
    """The log cannot be used; the message names file and line."""


class Numbers(BaseModel):
    """Accuracy in [0, 1] and speed in characters a second, each None where nobody said."""

    accuracy: float | None = Field(None, ge=0, le=1)
    speed: float | None = Field(None, ge=0)


class Submission(BaseModel):
    """One attempt. `failed` is the judge's reason; `result` and `failed` are None while waiting."""

    number: int
    pushed: str
    commit: str
    model: str | None = None
    revision: str | None = None
    settings: dict[str, str] = {}
    predicted: Numbers = Numbers()
    preflight_passed: bool | None = None
    result: Numbers | None = None
    failed: str | None = None
    note: str | None = None


def read_log(path: Path) -> list[Submission]:
    """All attempts in order. Raises LogError naming the line that is wrong."""
    if not path.exists():
        return []
    found = []
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        if not line.strip():
            continue
        try:
            found.append(Submission.model_validate_json(line))
        except ValidationError as error:
            first = error.errors()[0]
            where = ".".join(map(str, first["loc"])) or "the line"
            raise LogError(f"{path}, line {number}: {where}: {first['msg']}") from None
    return found


def write_log(path: Path, submissions: list[Submission]) -> None:
    """Replace the log at once, so that an interruption leaves the old one."""
    text = "".join(item.model_dump_json(exclude_none=True) + "\n" for item in submissions)
    fresh = path.with_suffix(".tmp")
    fresh.write_text(text, encoding="utf-8")
    fresh.replace(path)


@app.callback(invoke_without_command=True)
def main(context: typer.Context) -> None:
    """The log of what was submitted. Without a command: the list."""
    if context.invoked_subcommand is None:
        show(LOG)


@app.command()
def add(
    commit: Annotated[str, typer.Option(help="What was pushed")] = "HEAD",
    model: Annotated[str | None, typer.Option(help="OWNER/NAME on the hub")] = None,
    revision: Annotated[str | None, typer.Option(help="Its tag or branch")] = None,
    settings: Annotated[list[str] | None, typer.Option(help="NAME=VALUE, repeatable")] = None,
    accuracy: Annotated[float | None, typer.Option(min=0, max=1, help="Predicted")] = None,
    speed: Annotated[float | None, typer.Option(min=0, help="Predicted, characters/s")] = None,
    preflight: Annotated[Path | None, typer.Option(help="Its JSON: model and verdict")] = None,
    note: Annotated[str | None, typer.Option()] = None,
    log: LogOption = LOG,
) -> None:
    """Record an attempt, before its result is known: a prediction made later is none."""
    submissions = _read(log)
    if len(submissions) >= ATTEMPTS:
        _stop(f"all {ATTEMPTS} attempts are in {log}")
    verdict = _preflight(preflight)
    pairs = dict(_pair(text) for text in settings or [])
    entry = Submission(
        number=len(submissions) + 1,
        pushed=datetime.now(timezone.utc).isoformat(timespec="seconds"),
        commit=_commit(commit),
        model=model or verdict.get("model"),
        revision=revision,
        settings=pairs,
        predicted=Numbers(accuracy=accuracy, speed=speed),
        preflight_passed=verdict.get("passed"),
        note=note,
    )
    write_log(log, [*submissions, entry])
    typer.echo(f"attempt {entry.number} of {ATTEMPTS}: {entry.commit}")


@app.command()
def result(
    number: Annotated[int, typer.Argument(help="The attempt's number", min=1)],
    accuracy: Annotated[float | None, typer.Option(min=0, max=1, help="The judge's")] = None,
    speed: Annotated[float | None, typer.Option(min=0, help="The judge's, characters/s")] = None,
    failed: Annotated[str | None, typer.Option(help="The judge's reason")] = None,
    log: LogOption = LOG,
) -> None:
    """Record what the judge mailed back for an attempt."""
    submissions = _read(log)
    entry = next((item for item in submissions if item.number == number), None)
    if entry is None:
        _stop(f"no attempt {number} in {log}")
    if failed is None and accuracy is None and speed is None:
        _stop("give --accuracy, --speed or --failed")
    entry.failed = failed
    entry.result = None if failed else Numbers(accuracy=accuracy, speed=speed)
    write_log(log, submissions)
    typer.echo(f"attempt {number}: recorded")


@app.command(name="list")
def show(log: LogOption = LOG) -> None:
    """Prediction against outcome, and the attempts left."""
    submissions = _read(log)
    table = Table()
    for heading in ("#", "pushed", "commit", "model", "settings", "preflight"):
        table.add_column(heading, overflow="fold")
    for heading in ("accuracy: predicted", "judge", "speed: predicted", "judge", "outcome"):
        table.add_column(heading, justify="right", overflow="fold")
    for item in submissions:
        table.add_row(*_cells(item))
    console = Console(width=None if Console().is_terminal else 180)
    console.print(table)
    missed = [
        item.result.accuracy - item.predicted.accuracy
        for item in submissions
        if item.result and item.result.accuracy is not None and item.predicted.accuracy is not None
    ]
    if missed:
        mean = sum(missed) / len(missed)
        console.print(f"judge minus prediction, accuracy: {mean:+.3f} on average of {len(missed)}")
    console.print(f"{ATTEMPTS - len(submissions)} of {ATTEMPTS} attempts left")


def _cells(item: Submission) -> list[str]:
    outcome = "waiting"
    if item.failed:
        outcome = f"failed: {item.failed}"
    elif item.result:
        outcome = "judged"
    got = item.result or Numbers()
    verdict = {None: "not run", True: "passed", False: "had failures"}[item.preflight_passed]
    model = f"{item.model or ''}{'@' + item.revision if item.revision else ''}"
    settings = " ".join(f"{name}={value}" for name, value in item.settings.items())
    return [
        str(item.number), item.pushed[:16], item.commit, model, settings, verdict,
        _number(item.predicted.accuracy, 3), _number(got.accuracy, 3),
        _number(item.predicted.speed, 0), _number(got.speed, 0), outcome,
    ]  # fmt: skip


def _number(value: float | None, digits: int) -> str:
    return "" if value is None else f"{value:,.{digits}f}"


def _pair(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not equals or not name:
        _stop(f"--settings {text!r}: expected NAME=VALUE")
    return name, value


def _preflight(path: Path | None) -> dict[str, Any]:
    if path is None:
        return {}
    try:
        told = json.loads(path.read_text(encoding="utf-8"))
        return {"passed": told["passed"], "model": (told["model"] or {}).get("name")}
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        _stop(f"--preflight {path}: not a preflight's JSON ({error!r})")


def _commit(name: str) -> str:
    command = ["git", "rev-parse", "--short=12", "--verify", f"{name}^{{commit}}"]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        _stop(f"--commit {name}: {done.stderr.strip()}")
    return done.stdout.strip()


def _read(log: Path) -> list[Submission]:
    try:
        return read_log(log)
    except (LogError, OSError) as error:
        _stop(str(error))


def _stop(message: str) -> NoReturn:
    typer.secho(message, err=True, fg="red")
    raise typer.Exit(2)


if __name__ == "__main__":
    app()
