"""Streaming clients against an OpenAI server: time to the first token and between tokens.

    python -m bench.chat http://127.0.0.1:7860 --model model/demo --clients 50
    python -m bench.chat http://127.0.0.1:7860 --bare http://127.0.0.1:8001 --rounds 5 …

`--bare`: a `vllm serve` of the same model on the same machine. The two are asked in turn, so that
what else the machine does falls on both; figures are medians of the rounds, and `ratio` is that of
their tokens a second, round by round. The exit code is 1 when an answer was lost.
"""

import asyncio
import json
import time
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Annotated, Any

import httpx
import numpy as np
import typer
from rich.console import Console
from rich.table import Table

from common.prompting import messages_for
from serving.warmup import warm_up_questions

console = Console(width=120)


@dataclass
class Stream:
    """One answer: when each piece came, seconds from its question; error: why it is not whole."""

    times: list[float] = field(default_factory=list)
    tokens: int = 0
    seconds: float = 0.0
    error: str = ""


def main(
    url: Annotated[str, typer.Argument(help="the server")],
    model: Annotated[str, typer.Option(help="its name there")],
    clients: Annotated[
        list[int] | None, typer.Option(help="at once; several times: 1, 5, 50")
    ] = None,
    requests: Annotated[int, typer.Option(min=1, help="questions of each client")] = 4,
    max_tokens: Annotated[int, typer.Option(min=1)] = 128,
    bare: Annotated[str, typer.Option(help="a bare vLLM server, to compare with")] = "",
    rounds: Annotated[int, typer.Option(min=1, help="of all this")] = 1,
    bare_model: Annotated[str, typer.Option(help="the model's name there; default: --model")] = "",
    token: Annotated[str, typer.Option(envvar="CHAT_TOKEN")] = "",
    json_out: Annotated[Path | None, typer.Option(help="write the figures here too")] = None,
) -> None:
    """Load a server with streaming clients."""
    servers = [(url, model), *([(bare, bare_model or model)] if bare else [])]
    rows = []
    for count in clients or [1, 5, 50]:
        told: list[list[dict[str, Any]]] = [[] for _ in servers]
        for number in range(rounds):
            for place in range(len(servers)):
                which = (place + number) % len(servers)  # each begins as often
                streams, seconds = asyncio.run(
                    load(*servers[which], count, requests, max_tokens, token)
                )
                told[which].append(figures(streams, seconds))
        for (address, _), runs in zip(servers, told, strict=True):
            rows.append({"server": address, "clients": count} | medians(runs))
        if bare:
            rows[-2]["ratio"] = median(
                ours["tokens_per_s"] / theirs["tokens_per_s"]
                for ours, theirs in zip(*told, strict=True)
            )
    columns = [key for key in rows[0] if key not in ("all_tokens_per_s", "errors")]
    table = Table(*columns)
    for row in rows:
        cells = [row.get(key, "") for key in columns]
        table.add_row(*(f"{v:.3g}" if isinstance(v, float) else str(v) for v in cells))
    console.print(table)
    if json_out:
        json_out.write_text(json.dumps(rows, indent=2) + "\n", "utf-8")
    for error in {error for row in rows for error in row["errors"]}:
        console.print(f"lost: {error}")
    if any(row["lost"] for row in rows):
        raise typer.Exit(1)


async def load(
    url: str, model: str, clients: int, requests: int, max_tokens: int, token: str = ""
) -> tuple[list[Stream], float]:
    """All clients' answers, one after another in each client, and the seconds of it all."""
    questions = warm_up_questions(clients * requests)
    limits = httpx.Limits(max_connections=clients + 1)
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    streams: list[Stream] = []
    async with httpx.AsyncClient(
        base_url=url, timeout=600, trust_env=False, limits=limits, headers=headers
    ) as client:

        async def one(asked: list[str]) -> None:
            for question in asked:
                streams.append(await stream(client, model, question, max_tokens))

        await stream(client, model, questions[0], 2)  # a first answer pays for what is made once
        began = time.perf_counter()
        await asyncio.gather(*(one(questions[i::clients]) for i in range(clients)))
        return streams, time.perf_counter() - began


async def stream(client: httpx.AsyncClient, model: str, question: str, max_tokens: int) -> Stream:
    """One streamed answer; never raises for what the server does."""
    body = {
        "model": model,
        # With a system prompt: where there is none the chat adds the model's own, and a bare server
        # would be asked something shorter.
        "messages": messages_for(question, "Answer questions about a textbook."),
        "temperature": 0,
        "max_tokens": max_tokens,
        "stream": True,
        "stream_options": {"include_usage": True},
    }
    told, began, ended = Stream(), time.perf_counter(), False
    try:
        async with client.stream("POST", "/v1/chat/completions", json=body) as answer:
            if answer.status_code != 200:
                return Stream(error=f"HTTP {answer.status_code}: {(await answer.aread())[:200]!r}")
            async for line in answer.aiter_lines():
                if line == "data: [DONE]":
                    ended = True
                elif line.startswith("data: "):
                    event = json.loads(line.removeprefix("data: "))
                    if "error" in event:
                        told.error = str(event["error"])
                        continue
                    if any(choice["delta"].get("content") for choice in event["choices"]):
                        told.times.append(time.perf_counter() - began)
                    if event.get("usage"):
                        told.tokens = event["usage"]["completion_tokens"]
    except httpx.HTTPError as error:
        told.error = f"{type(error).__name__} {error}"
    told.seconds = time.perf_counter() - began
    if not ended and not told.error:
        told.error = "the stream ended without [DONE]"
    return told


def figures(streams: list[Stream], seconds: float) -> dict[str, Any]:
    """Answers, lost ones, tokens a second of all, TTFT and inter-token p50 and p95 in seconds."""
    whole = [s for s in streams if not s.error]
    first = [s.times[0] for s in whole if s.times]
    between = [b - a for s in whole for a, b in zip(s.times, s.times[1:], strict=False)]
    return {
        "answers": len(whole),
        "lost": len(streams) - len(whole),
        "errors": [s.error for s in streams if s.error],
        "tokens_per_s": sum(s.tokens for s in whole) / seconds,
        "ttft_p50": _percentile(first, 50),
        "ttft_p95": _percentile(first, 95),
        "between_p50": _percentile(between, 50),
        "between_p95": _percentile(between, 95),
    }


def medians(runs: list[dict[str, Any]]) -> dict[str, Any]:
    """The figures of several runs as one row: sums of answers, medians of the rest."""
    row: dict[str, Any] = {
        key: median(run[key] for run in runs) for key in runs[0] if key != "errors"
    }
    row |= {key: sum(run[key] for run in runs) for key in ("answers", "lost")}
    row["errors"] = [error for run in runs for error in run["errors"]]
    return row | {"all_tokens_per_s": [round(run["tokens_per_s"], 1) for run in runs]}


def _percentile(values: list[float], percent: float) -> float:
    return float(np.percentile(values, percent)) if values else float("nan")


if __name__ == "__main__":
    typer.run(main)
