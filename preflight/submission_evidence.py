"""What is known of a commit when it is submitted: model, preflight, what to expect of it."""

import json
from pathlib import Path
from typing import Any

import typer

from common.language import either
from common.submission_log import LogError, Numbers
from judging.forecast import forecast_all
from judging.read_report import ReportError, read_report
from preflight.checkout import RepositoryError, git
from preflight.dockerfile_reader import DockerfileError, decode_dockerfile, read_dockerfile
from preflight.fetched_model import fetched

LAST = Path("report/preflight.json")  # where the preflight writes


def predicted(report: Path | None, accuracy: float | None, speed: float | None) -> Numbers:
    """What was said, else what follows from a local judgement. Raises LogError."""
    if report is None:
        return Numbers(accuracy=accuracy, speed=speed)
    try:
        judged = read_report(report)
        expected = forecast_all(judged)
    except ReportError as error:
        raise LogError(f"--report {error}") from error
    if accuracy is not None:
        raise LogError("--report 和 --accuracy 只能给一个", "give --report or --accuracy, not both")
    told = judged.summary["total"]["speed"] if speed is None else speed
    return Numbers(accuracy=expected.mean, low=expected.low, high=expected.high, speed=told)


def preflight(path: Path | None, commit: str) -> dict[str, Any]:
    """`passed` and `warnings` of a preflight's JSON; of the last one only where it looked at this
    commit, since it says nothing of another. Raises LogError."""
    file = path or LAST
    if path is None and not file.is_file():
        return {}
    try:
        told = json.loads(file.read_text(encoding="utf-8"))
        found = {"passed": bool(told["passed"]), "warnings": told.get("warnings")}
        looked_at = str(told.get("commit"))
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise LogError(
            f"--preflight {file}：不是提交前检查的 JSON（{error!r}）",
            f"--preflight {file}: not a preflight's JSON ({error!r})",
        ) from error
    if looked_at.startswith(commit):
        return found
    other = either(
        f"{file} 检查的是提交 {looked_at[:12]}，不是 {commit}",
        f"{file} looked at commit {looked_at[:12]}, not at {commit}",
    )
    if path:
        raise LogError(f"--preflight {other}")
    told = either(
        f"{other}：没有采用。先运行 bash run.sh preflight",
        f"{other}: not taken. Run bash run.sh preflight first",
    )
    typer.secho(told, err=True, fg="yellow")
    return {}


def model_of(commit: str) -> tuple[str | None, str | None]:
    """Name and revision of the model that the commit's Dockerfile fetches."""
    try:
        text = decode_dockerfile(git(Path(), "show", f"{commit}:Dockerfile"))
        fetch = fetched(read_dockerfile(text))
    except (DockerfileError, RepositoryError) as error:
        told = either(
            f"没有记下模型：Dockerfile：{error}", f"no model recorded: Dockerfile: {error}"
        )
        typer.secho(told, err=True, fg="yellow")
        return None, None
    return fetch.model_id or None, fetch.revision or None


def commit(name: str) -> str:
    """A commit's short hash. Raises LogError for a name that git does not know."""
    try:
        told = git(Path(), "rev-parse", "--short=12", "--verify", f"{name}^{{commit}}")
    except RepositoryError as error:
        raise LogError(f"--commit {name}: {error}") from error
    return told.decode().strip()
