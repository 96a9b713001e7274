"""The lines of a preflight as a table for people and as JSON."""

import json
import os
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from rich.console import Console
from rich.table import Table

from preflight.lines import Line, State
from preflight.model import Model

COLOURS: dict[State, str] = {"ok": "green", "fail": "bold red", "unknown": "yellow", "note": "dim"}
LOG_WIDTH = 180  # columns where the output is no terminal, as in a log: enough for every heading


def passed(lines: Sequence[Line]) -> bool:
    """Whether nothing would lose the submission."""
    return not any(line.state == "fail" for line in lines)


def show(lines: Sequence[Line], model: Model | None, device: str) -> None:
    """Print the table, and the verdict under it."""
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
    failed = sum(line.state == "fail" for line in lines)
    unknown = sum(line.state == "unknown" for line in lines)
    verdict = f"{failed} would fail" if failed else "nothing seen that would fail"
    console.print(f"{verdict}; {unknown} could not be looked at", style="bold")


def write(path: Path, lines: Sequence[Line], model: Model | None, device: str) -> None:
    """The same as JSON, which `preflight.submissions add --preflight` reads."""
    told = {
        "model": asdict(model) if model else None,
        "device": device,
        "passed": passed(lines),
        "lines": [line.as_json() for line in lines],
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(told, ensure_ascii=False, indent=2) + "\n", encoding="utf-8")
