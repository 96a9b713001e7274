"""The lines of a preflight as a table for people and as JSON."""

import json
import os
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from rich.console import Console
from rich.table import Table

from common.language import either
from preflight.check import Found
from preflight.lines import Line, State

COLOURS: dict[State, str] = {
    "ok": "green",
    "fail": "bold red",
    "warn": "bold yellow",
    "unknown": "yellow",
    "note": "dim",
}
STATES: dict[State, str] = {
    "ok": "通过",
    "fail": "失败",
    "warn": "警告",
    "unknown": "未知",
    "note": "说明",
}
AREAS = {
    "repository": "仓库",
    "model": "模型",
    "build": "构建",
    "device": "设备",
    "health": "启动",
    "predict": "答题",
    "memory": "显存",
    "rehearsal": "彩排",
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
    unknown = count(lines, "unknown")
    zh = f"{failed} 项会失败" if failed else "没有看到会失败的地方"
    en = f"{failed} would fail" if failed else "nothing seen that would fail"
    if warned:
        zh = f"{failed} 项会失败；{warned} 项警告：推送之前先看"
        en = f"{failed} would fail; {warned} warn: read them before you push"
    return either(f"{zh}；{unknown} 项没能检查", f"{en}; {unknown} could not be looked at")


def show(found: Found, device: str) -> None:
    """Print the table, and the verdict under it."""
    lines, model = found.lines, found.model
    console = Console(width=None if os.isatty(1) else LOG_WIDTH)
    name = f"{model.name}, {model.source}" if model else either("未知", "unknown")
    title = either(
        f"提交前检查：模型 {name}；设备 {device}", f"Preflight: model {name}; device {device}"
    )
    table = Table(title=title, title_justify="left")
    en = ("", "what", "figure", "limit", "margin", "why")
    for heading in either(("", "项目", "数值", "限额", "余量", "说明"), en):
        table.add_column(heading, overflow="fold")
    area = ""
    for line in lines:
        if line.area != area:
            table.add_section()
            area = line.area
        colour = COLOURS[line.state]
        area_name = either(AREAS.get(line.area, line.area), line.area)
        cells = (f"{area_name}: {line.what}", line.figure, line.limit, line.margin, line.why)
        state = either(STATES[line.state], line.state)
        table.add_row(f"[{colour}]{state}[/]", *(cell.replace("[", "\\[") for cell in cells))
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
