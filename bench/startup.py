"""From the process's start to its first answer, stage by stage.

    python -m bench.startup model/demo [--cold] [--set KEY=VALUE] [--out FILE]

Starts the real service (`uvicorn serve:app`), asks it one question, and reads the times of the
stages from its log and from `GET /info`. `--cold` gives it empty compile caches of its own, as the
judge's fresh container has. What vLLM does not tell on this device stays empty.
"""

import json
import os
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from bench.options import Model, Out, SettingsOption, settings_of
from bench.processes import BenchError, server
from common.service_process import stop_on_signals

console = Console()
# Lines of vLLM's own log, from 0.10.0 to the newest, and the stage whose seconds they tell.
STAGES = {
    "weights": r"Loading weights took ([0-9.]+) s",
    "model with its memory": r"Model loading took .*?([0-9.]+) s",
    "compile": r"torch\.compile (?:takes|took) ([0-9.]+) s in total",
    "profile, cache and graphs": r"init engine .* took ([0-9.]+) s",
    "graph capture": r"Graph capturing finished in ([0-9.]+) s",
}
CACHES = ("VLLM_CACHE_ROOT", "TORCHINDUCTOR_CACHE_DIR", "TRITON_CACHE_DIR", "XDG_CACHE_HOME")


def main(
    model: Model,
    cold: Annotated[bool, typer.Option(help="empty compile caches")] = False,
    set_: SettingsOption = None,
    out: Out = Path("report/bench_startup.json"),
) -> None:
    """Time one start."""
    stop_on_signals()
    with tempfile.TemporaryDirectory() as caches:
        environment = {"MODEL_DIR": str(model), **settings_of(set_)}
        if cold:
            environment |= {name: f"{caches}/{name.lower()}" for name in CACHES}
        figures = {"cold": cold, **measure(environment)}
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(json.dumps(figures, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")
    table = Table("stage", "s", title=f"start of the service ({'cold' if cold else 'warm'})")
    for name, value in figures["seconds"].items():
        table.add_row(name, f"{value:.2f}")
    console.print(table)
    if why := figures["startup"].get("why"):
        console.print(f"the tuned start was aborted, this is the eager fallback: {why}")


def measure(environment: dict[str, str]) -> dict[str, Any]:
    """Seconds of each stage of one start of the service with these variables.

    Raises BenchError with the service's last words when it does not start.
    """
    began = time.monotonic()
    subprocess.run(
        [sys.executable, "-c", "import vllm"], check=True, capture_output=True, env=os.environ
    )
    seconds = {"import vllm (a process of its own)": round(time.monotonic() - began, 2)}
    command = [sys.executable, "-m", "uvicorn", "serve:app", "--port", "{port}"]
    with server(command, environment, "/") as (client, service):
        began = time.monotonic()
        answer = client.post("/predict", json={"prompt": "什么是线程？"})
        first = time.monotonic() - began
        if answer.status_code != 200:
            raise BenchError(f"the first question: {answer.status_code} {answer.text[:300]}")
        info = client.get("/info").json()
    seconds |= stages(service.log)
    startup = info["startup"]
    for name in ("load_seconds", "warmup_seconds"):
        if name in startup:
            seconds[name.removesuffix("_seconds")] = startup[name]
    seconds |= {"port open": round(service.ready_seconds, 2), "first answer": round(first, 2)}
    return {"seconds": seconds, "startup": startup, "engine": info["engine"]}


def stages(log: Path) -> dict[str, float]:
    """Seconds of the stages that vLLM tells in its log."""
    text = log.read_text(encoding="utf-8", errors="replace")
    found = {stage: re.findall(pattern, text) for stage, pattern in STAGES.items()}
    return {stage: round(sum(map(float, times)), 2) for stage, times in found.items() if times}


if __name__ == "__main__":
    typer.run(main)
