"""The lines of a preflight as a table for people and as JSON."""

import json
import os
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from rich.console import Console
from rich.table import Table

from preflight.check import Found
from preflight.lines import Line, State

COLOURS: dict[State, str] = {
    "ok": "green",
    "fail": "bold red",
    "warn": "bold yellow",
    "unknown": "yellow",
    "note": "dim",
}
LOG_WIDTH = 180  # columns where the output is no terminal, as in a log: enough for every heading


def passed(lines: Sequence[Line]) -> bool:
    """Whether nothing would lose the submission."""
    return not count(lines, "fail")


def count(lines: Sequence[Line], state: State) -> int:
    """How many lines are in this state."""
    return sum(line.state == state for line in lines)


def verdict(lines: Sequence[Line]) -> str:
    """The line under the table."""
    failed, warned = count(lines, "fail"), count(lines, "warn")
    told = f"{failed} would fail" if failed else "nothing seen that would fail"
    if warned:
        told = f"{failed} would fail; {warned} warn: read them before you push"
    return f"{told}; {count(lines, 'unknown')} could not be looked at"


def show(found: Found, device: str) -> None:
    """Print the table, and the verdict under it."""
    lines, model = found.lines, found.model
    console = Console(width=None if os.isatty(1) else LOG_WIDTH)
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
    console.print(verdict(lines), style="bold")


def write(path: Path, found: Found, device: str) -> None:
    """The same as JSON, which `preflight.submissions add` reads."""
    lines = found.lines
    told = {
        "commit": found.commit,
        "model": asdict(found.model) if found.model else None,
        "device": device,
        "passed": passed(lines),
        "warnings": count(lines, "warn"),
        "lines": [line.as_json() for line in lines],
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(told, ensure_ascii=False, indent=2) + "\n", encoding="utf-8")
