"""Streaming clients against an OpenAI server: time to the first token and between tokens.

    python -m bench.chat http://127.0.0.1:7860 --model model/demo --clients 50
    python -m bench.chat http://127.0.0.1:7860 --model model/demo --direct --rounds 3
    python -m bench.chat http://127.0.0.1:7860 --bare http://127.0.0.1:8001 --rounds 5 …

`--direct` asks the chat's own engine too, past the gateway: what differs is the gateway and nothing
else. `--bare`: a `vllm serve` of the same model on the same machine. The two are asked in turn, so
that what else the machine does falls on both; figures are medians of the rounds, and `ratio` is
that of their tokens a second, round by round. The exit code is 1 when an answer was lost.
"""

import asyncio
import json
import secrets
import time
from dataclasses import dataclass, field
from statistics import median
from typing import Annotated, Any
from urllib.parse import urlsplit

import aiohttp
import numpy as np
import psutil
import typer
from rich.console import Console
from rich.table import Table

from bench.options import JsonOut
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
    direct: Annotated[bool, typer.Option(help="compare with the chat's engine itself")] = False,
    bare: Annotated[str, typer.Option(help="a bare vLLM server, to compare with")] = "",
    rounds: Annotated[int, typer.Option(min=1, help="of all this")] = 1,
    bare_model: Annotated[str, typer.Option(help="the model's name there; default: --model")] = "",
    token: Annotated[str, typer.Option(envvar="CHAT_TOKEN")] = "",
    json_out: JsonOut = None,
) -> None:
    """Load a server with streaming clients."""
    servers = [(url, model, token)]
    if direct:
        address, key = engine_behind(url, model)
        servers.append((address, model, key))
    elif bare:
        servers.append((bare, bare_model or model, token))
    rows = []
    for count in clients or [1, 5, 50]:
        told: list[list[dict[str, Any]]] = [[] for _ in servers]
        for number in range(rounds):
            for place in range(len(servers)):
                which = (place + number) % len(servers)  # each begins as often
                address, name, key = servers[which]
                streams, seconds = asyncio.run(
                    load(address, name, count, requests, max_tokens, key)
                )
                told[which].append(figures(streams, seconds))
        for (address, *_), runs in zip(servers, told, strict=True):
            rows.append({"server": address, "clients": count} | medians(runs))
        if len(servers) > 1:
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


def engine_behind(url: str, model: str) -> tuple[str, str]:
    """Address and key of the engine of a chat that runs on this machine. Raises LookupError."""
    port = urlsplit(url).port
    for each in psutil.net_connections("tcp"):
        if each.status == psutil.CONN_LISTEN and each.laddr.port == port and each.pid:
            for child in psutil.Process(each.pid).children(recursive=True):
                words = child.cmdline()
                if model in words and "--served-model-name" in words:
                    address = f"http://127.0.0.1:{words[words.index('--port') + 1]}"
                    return address, child.environ()["VLLM_API_KEY"]
    raise LookupError(f"no engine of {model} among the processes of the chat at {url}")


async def load(
    url: str, model: str, clients: int, requests: int, max_tokens: int, token: str = ""
) -> tuple[list[Stream], float]:
    """All clients' answers, one after another in each client, and the seconds of it all."""
    questions = warm_up_questions(clients * requests)
    # A prompt that is cached from the round before would favour whoever is asked later.
    salt = secrets.token_hex(8)
    streams: list[Stream] = []
    async with session(url, token) as client:

        async def one(asked: list[str]) -> None:
            for question in asked:
                streams.append(await stream(client, model, question, max_tokens, salt))

        # A first answer pays for what is made once.
        await stream(client, model, questions[0], 2, salt)
        began = time.perf_counter()
        await asyncio.gather(*(one(questions[i::clients]) for i in range(clients)))
        return streams, time.perf_counter() - began


def session(url: str, token: str = "") -> aiohttp.ClientSession:
    """A client that keeps its connections. Not httpx: at 50 streams it spends five times the CPU
    on a token (measured), and what is measured would be the client."""
    return aiohttp.ClientSession(
        url,
        headers={"Authorization": f"Bearer {token}"} if token else {},
        connector=aiohttp.TCPConnector(limit=0),
        timeout=aiohttp.ClientTimeout(total=600),
    )


async def stream(
    client: aiohttp.ClientSession, model: str, question: str, max_tokens: int, salt: str = ""
) -> Stream:
    """One streamed answer; never raises for what the server does."""
    body = {
        "model": model,
        # What the chat adds where it is missing, a bare server would not be asked.
        "messages": messages_for(question, "Answer questions about a textbook."),
        "chat_template_kwargs": {"enable_thinking": False},
        "ignore_eos": True,  # answers of one length
        "temperature": 0,
        "max_tokens": max_tokens,
        "stream": True,
        "stream_options": {"include_usage": True},
    } | ({"cache_salt": salt} if salt else {})
    told, began, ended = Stream(), time.perf_counter(), False
    try:
        async with client.post("/v1/chat/completions", json=body) as answer:
            if answer.status != 200:
                return Stream(error=f"HTTP {answer.status}: {(await answer.read())[:200]!r}")
            async for line in answer.content:
                if line.startswith(b"data: [DONE]"):
                    ended = True
                elif line.startswith(b"data: "):
                    event = json.loads(line[len(b"data: ") :])
                    if "error" in event:
                        told.error = str(event["error"])
                        continue
                    if any(choice["delta"].get("content") for choice in event["choices"]):
                        told.times.append(time.perf_counter() - began)
                    if event.get("usage"):
                        told.tokens = event["usage"]["completion_tokens"]
    except (aiohttp.ClientError, TimeoutError) as error:
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
