"""Many clients with a question each, for minutes: errors, latency, memory.

    python -m bench.load http://127.0.0.1:8000 --minutes 10            200 clients, the load test
    python -m bench.load http://127.0.0.1:8000 --minutes 60            the soak
    python -m bench.load URL --batch 50                                a batch among them, in turn

Memory is read from the service's `GET /metrics` (API_TOKEN is sent when --token is given). The
exit code is 1 when a call failed or memory grew by 5 % or more after the first minute.
"""

import asyncio
import json
import re
import statistics
import time
from typing import Annotated, Any

import httpx
import typer
from rich.console import Console
from rich.table import Table

from bench.options import JsonOut
from serving.warmup import warm_up_questions

console = Console(width=120)
MEMORY = re.compile(r"^serving_memory_bytes (\S+)", re.MULTILINE)
GROWTH_LIMIT = 0.05
SAMPLE_EVERY_S = 5.0


def main(
    url: Annotated[str, typer.Argument(help="the running service")],
    minutes: Annotated[float, typer.Option(help="how long")] = 10.0,
    clients: Annotated[int, typer.Option(help="clients at once, one question each")] = 200,
    batch: Annotated[int, typer.Option(help="one more client sends batches of this many")] = 0,
    token: Annotated[str, typer.Option(envvar="API_TOKEN", help="for GET /metrics")] = "",
    json_out: JsonOut = None,
) -> None:
    """Load a running service."""
    figures = asyncio.run(_load(url, minutes * 60, clients, batch, token))
    table = Table("figure", "value", title=f"{clients} clients, {minutes:g} minutes")
    for name, value in figures.items():
        table.add_row(name, json.dumps(value))
    console.print(table)
    if json_out:
        json_out.write_text(json.dumps(figures, indent=2) + "\n", "utf-8")
    if figures["errors"] or figures["memory_growth_after_minute_1"] >= GROWTH_LIMIT:
        raise typer.Exit(1)


async def _load(url: str, seconds: float, clients: int, batch: int, token: str) -> dict[str, Any]:
    questions = warm_up_questions(1000)
    times: list[float] = []
    batch_times: list[float] = []
    errors: list[str] = []
    memory: list[tuple[float, float]] = []
    began = time.monotonic()
    end = began + seconds
    limits = httpx.Limits(max_connections=clients + 8, max_keepalive_connections=clients + 8)
    headers = {"Authorization": f"Bearer {token}"} if token else {}

    async def ask(client: httpx.AsyncClient, prompt: str | list[str], took: list[float]) -> None:
        start = time.monotonic()
        try:
            reply = await client.post("/predict", json={"prompt": prompt})
            answer = reply.json()["response"] if reply.status_code == 200 else None
        except (httpx.HTTPError, ValueError) as error:
            errors.append(f"{type(error).__name__}: {error}")
            return
        whole = isinstance(answer, type(prompt)) and (
            isinstance(answer, str) or len(answer) == len(prompt)
        )
        if whole:
            took.append(time.monotonic() - start)
        else:
            errors.append(f"HTTP {reply.status_code}: {reply.text[:100]}")

    async def one(client: httpx.AsyncClient, number: int) -> None:
        while time.monotonic() < end:
            await ask(client, questions[number % len(questions)], times)
            number += clients

    async def batches(client: httpx.AsyncClient) -> None:
        while time.monotonic() < end:
            await ask(client, questions[:batch], batch_times)

    async def watch(client: httpx.AsyncClient) -> None:
        while time.monotonic() < end:
            page = (await client.get("/metrics", headers=headers)).text
            if found := MEMORY.search(page):
                memory.append((time.monotonic() - began, float(found[1])))
            await asyncio.sleep(SAMPLE_EVERY_S)

    async with httpx.AsyncClient(
        base_url=url, timeout=400, limits=limits, trust_env=False
    ) as client:
        jobs = [one(client, number) for number in range(clients)]
        await asyncio.gather(*jobs, watch(client), *([batches(client)] if batch else []))

    after = [size for at, size in memory if at >= 60] or [size for _, size in memory[-1:]]
    growth = after[-1] / after[0] - 1 if after else 0.0
    return {
        "calls": len(times),
        "calls_per_second": round(len(times) / (time.monotonic() - began), 1),
        "errors": len(errors),
        "first_errors": errors[:5],
        "p50_s": _percentile(times, 50),
        "p99_s": _percentile(times, 99),
        "max_s": round(max(times, default=0.0), 3),
        "batches": len(batch_times),
        "batch_p50_s": _percentile(batch_times, 50),
        "memory_mb": [round(size / 2**20) for _, size in memory[:: max(1, len(memory) // 12)]],
        "memory_growth_after_minute_1": round(growth, 4),
    }


def _percentile(values: list[float], percent: int) -> float | None:
    if len(values) < 2:
        return None
    return round(statistics.quantiles(values, n=100, method="inclusive")[percent - 1], 3)


if __name__ == "__main__":
    typer.run(main)
