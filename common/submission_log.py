"""The log of submissions: one JSON object a line, in the order of the attempts.

It is preflight/submissions.jsonl, committed with the code. preflight/submissions.py has its
commands, judging/runs.py shows it beside the local judgements.
"""

from pathlib import Path

from pydantic import BaseModel, Field, ValidationError

from common.language import BilingualError

LOG = Path(__file__).parents[1] / "preflight" / "submissions.jsonl"
ATTEMPTS = 20  # the contest's rules


class LogError(BilingualError, ValueError):
    """The log, or what is to go into it, cannot be used; the message says what and why."""


class Numbers(BaseModel):
    """Accuracy in [0, 1] and speed in characters a second, each None where nobody said. `low` and
    `high`: the 95 % interval of a predicted accuracy."""

    accuracy: float | None = Field(None, ge=0, le=1)
    low: float | None = Field(None, ge=0, le=1)
    high: float | None = Field(None, ge=0, le=1)
    speed: float | None = Field(None, ge=0)


class Submission(BaseModel):
    """One attempt. `failed` is the judge's reason; `result` and `failed` are None while waiting.
    `report`: the name of the local judgement's folder that the prediction follows from."""

    number: int
    pushed: str
    commit: str
    model: str | None = None
    revision: str | None = None
    settings: dict[str, str] = {}
    predicted: Numbers = Numbers()
    preflight_passed: bool | None = None
    preflight_warnings: int | None = None
    result: Numbers | None = None
    failed: str | None = None
    note: str | None = None
    report: str | None = None


def read_log(path: Path) -> list[Submission]:
    """All attempts in order. Raises LogError naming the line that is wrong."""
    if not path.exists():
        return []
    found = []
    for number, line in enumerate(path.read_text(encoding="utf-8").split("\n"), 1):
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
