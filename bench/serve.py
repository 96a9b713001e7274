"""The whole `/predict` call over HTTP, beside other ways to answer the same questions.

    python -m bench.serve model/demo                                   on this machine
    python -m bench.serve DIR --workload FILE --dummy --only service   random weights of a shape

Every candidate answers the same questions with the same number of tokens each:
- service: this kit's service, one batch call; and in the same process, in turn, raw `LLM.generate`;
- raw defaults: vLLM with its own defaults, one `LLM.generate` call;
- openai: `vllm serve`, one request a question, all at once;
- transformers: `generate` in batches of rows of similar length;
- serial: this kit's service, one question a call, the first of the workload only.
`--set KEY=VALUE` (repeatable) are settings of the service; `--variant NAME:KEY=VALUE,…` adds a
service with settings of its own. Prints medians and ratios, writes JSON.
"""

import asyncio
import contextlib
import json
import os
import socket
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import httpx
import typer
from rich.console import Console
from rich.table import Table

from bench.roofline import CHIPS, floor_seconds
from bench.workload import Workload, load_workload

console = Console(width=130)
START_LIMIT_S = 300.0
CALL_LIMIT_S = 900.0
ALL = ("service", "raw defaults", "openai", "transformers", "serial")
# What the formats of a variant's weights leave of 16 bits, for the floor.
WEIGHT_BITS = {"fp8": 8.0, "int8": 8.0, "awq": 4.16}


def main(
    model: Annotated[Path, typer.Argument(help="model directory")],
    workload: Annotated[Path | None, typer.Option(help="JSON rows of question, tokens")] = None,
    questions: Annotated[int, typer.Option(help="without --workload")] = 358,
    answer_tokens: Annotated[int, typer.Option(help="without --workload")] = 64,
    runs: Annotated[int, typer.Option(help="timed runs of each candidate")] = 5,
    serial_questions: Annotated[int, typer.Option(help="questions of the serial client")] = 20,
    only: Annotated[str, typer.Option(help="candidates, separated by ','")] = ",".join(ALL),
    dummy: Annotated[bool, typer.Option(help="random weights: only shape and tokenizer")] = False,
    set_: Annotated[list[str] | None, typer.Option("--set", help="KEY=VALUE setting")] = None,
    variant: Annotated[list[str] | None, typer.Option(help="NAME:KEY=VALUE,…")] = None,
    out: Annotated[Path, typer.Option(help="figures as JSON")] = Path("report/bench_serve.json"),
) -> None:
    """Time the service and its peers."""
    work = load_workload(workload, questions, answer_tokens)
    given = ["--workload", str(workload)] if workload else []
    given = given or ["--questions", str(questions), "--answer-tokens", str(answer_tokens)]
    bench = Bench(model, work, given, runs, dummy, dict(s.split("=", 1) for s in set_ or []))
    wanted = only.split(",")
    if unknown := set(wanted) - set(ALL):
        raise typer.BadParameter(f"--only: unknown {sorted(unknown)}; there are {ALL}")
    jobs: list[tuple[str, Any]] = []
    if "service" in wanted:
        jobs.append(("service", lambda: bench.service({})))
    for text in variant or []:
        name, _, pairs = text.partition(":")
        settings = dict(pair.split("=", 1) for pair in pairs.split(",") if pair)
        jobs.append((name, lambda settings=settings: bench.service(settings)))
    more = {
        "raw defaults": bench.raw_defaults,
        "openai": bench.openai,
        "transformers": bench.transformers,
        "serial": lambda: bench.serial(serial_questions),
    }
    jobs += [(name, job) for name, job in more.items() if name in wanted]
    figures: dict[str, Any] = {
        "model": model.name,
        "workload": work.name,
        "questions": len(work.questions),
        "answer_tokens": work.answer_tokens,
        "candidates": {},
    }
    out.parent.mkdir(parents=True, exist_ok=True)
    for name, job in jobs:
        began = time.monotonic()
        try:
            figures["candidates"][name] = job()
        except BenchError as error:  # one that does not run here costs only its own row
            figures["candidates"][name] = {"failed": str(error)[-600:]}
        told = {k: v for k, v in figures["candidates"][name].items() if k != "prompt_tokens"}
        console.print(f"{name} ({time.monotonic() - began:.0f} s): {told}", highlight=False)
        out.write_text(json.dumps(figures, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")
    _floors(figures, model, work)
    out.write_text(json.dumps(figures, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")
    show(figures)


class BenchError(RuntimeError):
    """A candidate that does not run; the message holds its last words."""


class Bench:
    """The candidates, each a process of its own."""

    def __init__(
        self,
        model: Path,
        work: Workload,
        given: list[str],
        runs: int,
        dummy: bool,
        settings: dict[str, str],
    ):
        self.model, self.work, self.given, self.runs, self.dummy = model, work, given, runs, dummy
        self.settings = settings

    def service(self, settings: dict[str, str]) -> dict[str, Any]:
        """Alternating runs of `/predict` and `LLM.generate` in one process."""
        with self.fixed_service(settings) as (client, start_seconds):
            prompt_tokens = client.post("/bench/fix").json()["prompt_tokens"]
            body = {"prompt": list(self.work.questions)}
            ours, raw, characters = [], [], 0
            for run in range(self.runs + 1):
                began = time.monotonic()
                answers = client.post("/predict", json=body).raise_for_status().json()["response"]
                seconds = time.monotonic() - began
                beside = client.post("/bench/generate").raise_for_status().json()["seconds"]
                if run:  # the first pays for what is warm later
                    ours.append(seconds)
                    raw.append(beside)
                characters = sum(map(len, answers))
            info = client.get("/info").json()
        return {
            "seconds": [round(s, 4) for s in ours],
            "raw_seconds": [round(s, 4) for s in raw],
            "ratio_to_raw": round(
                statistics.median(o / r for o, r in zip(ours, raw, strict=True)), 4
            ),
            "characters": characters,
            "start_seconds": round(start_seconds, 1),
            "startup": info["startup"],
            "engine": info["engine"],
            "settings": {**self.settings, **settings},
            "prompt_tokens": prompt_tokens,
        }

    def serial(self, count: int) -> dict[str, Any]:
        """One question a call, the workload's first ones."""
        with self.fixed_service({"SERVE_MODE": "serial"}) as (client, _):
            client.post("/bench/fix")
            for question in self.work.questions[:2]:
                client.post("/predict", json={"prompt": question}).raise_for_status()
            began = time.monotonic()
            for question in self.work.questions[:count]:
                client.post("/predict", json={"prompt": question}).raise_for_status()
            seconds = time.monotonic() - began
        tokens = sum(self.work.tokens[:count])
        return {"seconds": [round(seconds, 4)], "questions": count, "answer_tokens": tokens}

    def raw_defaults(self) -> dict[str, Any]:
        """vLLM as it comes: only model and context length are given."""
        return self._script("bench.raw_vllm", [])

    def transformers(self) -> dict[str, Any]:
        """Batches of 64 rows of similar length, one run."""
        return self._script("bench.raw_transformers", [])

    def openai(self) -> dict[str, Any]:
        """`vllm serve`, every question a request of its own, all at once."""
        port = free_port()
        command = [sys.executable, "-m", "vllm.entrypoints.openai.api_server", "--model"]
        command += [str(self.model), "--port", str(port), "--max-model-len", "2048"]
        command += ["--served-model-name", "m", "--disable-log-stats"]
        command += ["--load-format", "dummy"] if self.dummy else []
        if _on_cpu():
            command += ["--enforce-eager", "--max-num-seqs", "256"]
        with server(command, _cpu_environment(), port, "/health") as (_, start_seconds):
            prompts = _render(self.model, self.work)
            times = asyncio.run(_openai_runs(port, prompts, self.work.tokens, self.runs))
        return {"seconds": times, "start_seconds": round(start_seconds, 1)}

    @contextlib.contextmanager
    def fixed_service(self, settings: dict[str, str]) -> Iterator[tuple[httpx.Client, float]]:
        """The service with the workload's answer lengths; a client, and seconds to be ready."""
        port = free_port()
        environment = {"MODEL_DIR": str(self.model), **self.settings, **settings}
        if self.dummy:
            extra = json.loads(environment.get("ENGINE_ARGS", "{}")) | {"load_format": "dummy"}
            environment["ENGINE_ARGS"] = json.dumps(extra)
        command = [sys.executable, "-m", "bench.fixed_service", "--port", str(port), *self.given]
        with server(command, environment, port, "/") as (client, seconds):
            yield client, seconds

    def _script(self, module: str, more: list[str]) -> dict[str, Any]:
        command = [sys.executable, "-m", module, str(self.model), *self.given, *more]
        command += ["--runs", str(self.runs), *(["--dummy"] if self.dummy else [])]
        environment = {**os.environ, **_cpu_environment()}
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=CALL_LIMIT_S, env=environment
        )
        for line in done.stdout.splitlines():
            if line.startswith("RESULT "):
                return json.loads(line[7:])
        raise BenchError(f"{module}: {done.stderr[-500:]}")


@contextlib.contextmanager
def server(
    command: list[str], environment: dict[str, str], port: int, path: str
) -> Iterator[tuple[httpx.Client, float]]:
    """A server process, from its start to its end; yields a client, and seconds to be ready."""
    log = Path("report") / f"bench_{port}.log"
    log.parent.mkdir(exist_ok=True)
    began = time.monotonic()
    with log.open("w", encoding="utf-8") as file:
        process = subprocess.Popen(
            command, stdout=file, stderr=subprocess.STDOUT, env={**os.environ, **environment}
        )
        try:
            with httpx.Client(
                base_url=f"http://127.0.0.1:{port}", timeout=CALL_LIMIT_S, trust_env=False
            ) as client:
                while True:
                    if process.poll() is not None or time.monotonic() - began > START_LIMIT_S:
                        raise BenchError(f"did not start: {log.read_text()[-500:]}")
                    with contextlib.suppress(httpx.TransportError):
                        if client.get(path).status_code == 200:
                            break
                    time.sleep(0.1)
                yield client, time.monotonic() - began
        except httpx.HTTPError as error:
            raise BenchError(f"{error}: {log.read_text()[-500:]}") from error
        finally:
            process.terminate()
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                process.kill()


async def _openai_runs(port: int, prompts: list[list[int]], tokens: Any, runs: int) -> list[float]:
    limits = httpx.Limits(max_connections=len(prompts), max_keepalive_connections=len(prompts))
    url = f"http://127.0.0.1:{port}/v1/completions"
    times = []
    async with httpx.AsyncClient(limits=limits, timeout=CALL_LIMIT_S, trust_env=False) as client:

        async def one(ids: list[int], count: int) -> None:
            body = {"model": "m", "prompt": ids, "max_tokens": count, "min_tokens": count}
            body |= {"temperature": 0, "ignore_eos": True}
            (await client.post(url, json=body)).raise_for_status()

        for _ in range(runs + 1):
            began = time.monotonic()
            await asyncio.gather(*map(one, prompts, tokens))
            times.append(round(time.monotonic() - began, 4))
    return times[1:]


def _render(model: Path, work: Workload) -> list[list[int]]:
    from transformers import AutoTokenizer

    from answering.prompting import render_prompts, system_prompt_for, tokenize_prompts

    tokenizer = AutoTokenizer.from_pretrained(model)
    return tokenize_prompts(
        tokenizer, render_prompts(tokenizer, work.questions, system_prompt_for(model))
    )


def _cpu_environment() -> dict[str, str]:
    """On a processor vLLM takes a share of all memory for its cache, which may not be free."""
    return {"VLLM_CPU_KVCACHE_SPACE": "1", "OMP_WAIT_POLICY": "passive"} if _on_cpu() else {}


def _on_cpu() -> bool:
    import torch

    return not torch.cuda.is_available()


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def _floors(figures: dict[str, Any], model: Path, work: Workload) -> None:
    """The floor of every candidate, where the chip's rates are known."""
    rows = figures["candidates"]
    service = next((row for row in rows.values() if "prompt_tokens" in row), None)
    chip = CHIPS.get(_chip_name())
    figures["device"] = _chip_name()
    if service is None or chip is None:
        return
    for name, row in rows.items():
        asked = row.get("settings", {}).get("QUANTIZATION", name)
        bits = next((b for key, b in WEIGHT_BITS.items() if key in asked.lower()), 16.0)
        count = row.get("questions", len(work.tokens))
        if count == len(work.tokens):
            prompts = service["prompt_tokens"]
            row["floor_seconds"] = round(
                floor_seconds(model / "config.json", prompts, work.tokens, chip, bits), 4
            )


def _chip_name() -> str:
    if _on_cpu():
        return "cpu"
    import torch

    return torch.cuda.get_device_name()


def show(figures: dict[str, Any]) -> None:
    """One table: medians and ratios."""
    rows = figures["candidates"]
    title = f"{figures['questions']} questions, {figures['answer_tokens']:,} answer tokens"
    table = Table(title=f"{title} ({figures['workload']}), {figures.get('device', '')}")
    for column in ("candidate", "s", "tokens/s", "÷ LLM.generate beside it", "÷ raw defaults"):
        table.add_column(column)
    for column in ("floor s", "× floor", "start s"):
        table.add_column(column)
    plain = statistics.median(rows.get("raw defaults", {}).get("seconds", [0]))
    for name, row in rows.items():
        if "seconds" not in row:
            table.add_row(name, "failed")
            continue
        seconds = statistics.median(row["seconds"])
        tokens = row.get("answer_tokens", figures["answer_tokens"])
        whole = tokens == figures["answer_tokens"]
        floor = row.get("floor_seconds")
        table.add_row(
            name if whole else f"{name} ({row['questions']} questions)",
            f"{seconds:.3f}",
            f"{tokens / seconds:,.0f}",
            f"{row['ratio_to_raw']:.3f}" if "ratio_to_raw" in row else "",
            f"{seconds / plain:.3f}" if plain and whole else "",
            f"{floor:.3f}" if floor else "",
            f"{seconds / floor:.2f}" if floor else "",
            f"{row['start_seconds']:.0f}" if "start_seconds" in row else "",
        )
    console.print(table)


if __name__ == "__main__":
    typer.run(main)
