"""The ways to answer a workload that bench/serve.py compares, each a process of its own.

Every candidate is a context: entering starts it; what it yields answers the workload, timed, as
often as asked. Before that it has answered it once, for what is warm later: the service as its
first call, whose seconds are recorded, since the judge makes no other; the others when entered.
"""

import asyncio
import contextlib
import json
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from bench.processes import CALL_LIMIT_S, script, server
from bench.startup import stages
from bench.workload import Workload
from common.service_process import ServiceProcess

# Of the service, unless a setting says otherwise: what lies in the checkout (a tuned serve.env, an
# index, whose passages make prompts ten times as long) is not what is compared.
ALONE = {"SETTINGS_FILE": "", "RETRIEVAL_PASSAGES": "0"}


@dataclass(frozen=True)
class Ready:
    """A candidate that is loaded.

    once: the seconds of one run, its own (`seconds`) and of what stands beside it (`raw_seconds`).
    facts: its other figures, asked for once, after the runs. runs: no more than so many.
    first: its first call since its start, in turn with the others' and before all runs; its
    figures. None: it was made when the candidate was entered. alone: one run without what stands
    beside it; None: as `once`.
    """

    once: Callable[[], dict[str, float]]
    facts: Callable[[], dict[str, Any]]
    runs: int = sys.maxsize
    first: Callable[[], dict[str, float]] | None = None
    alone: Callable[[], object] | None = None


class Candidates:
    """The candidates of one model, workload and machine.

    given: the options that name the workload. share: of the device's memory for each, when
    several are loaded at once; None: what vLLM takes by itself. kv_cache_gb: the KV cache of each
    then, since vLLM cannot measure what is free while others load.
    """

    def __init__(
        self,
        model: Path,
        work: Workload,
        given: list[str],
        runs: int,
        dummy: bool,
        settings: dict[str, str],
        share: float | None = None,
        kv_cache_gb: float = 0.0,
    ):
        self.model, self.work, self.given, self.runs, self.dummy = model, work, given, runs, dummy
        self.settings = settings
        self.memory: dict[str, Any] = {}
        if share is not None:
            cache = int(kv_cache_gb * 1e9)
            self.memory = {"gpu_memory_utilization": share, "kv_cache_memory_bytes": cache}

    @contextlib.contextmanager
    def service(
        self,
        settings: dict[str, str],
        beside: bool = False,
        serial: int = 0,
        then: Callable[[httpx.Client], None] | None = None,
    ) -> Iterator[Ready]:
        """`POST /predict` with all questions; beside: in turn with `LLM.generate` in its process;
        serial: so many questions one by one, too; then: whatever else is asked of it.

        No run finds a question in the prefix cache, as the judge's only call does not.
        """
        with self.fixed_service(settings) as (client, service):
            prompts = client.post("/bench/fix").raise_for_status().json()
            body = {"prompt": list(self.work.questions)}

            def predict() -> tuple[float, int]:
                client.post("/bench/fresh").raise_for_status()
                began = time.monotonic()
                answers = client.post("/predict", json=body).raise_for_status().json()["response"]
                return time.monotonic() - began, sum(map(len, answers))

            def generate() -> float:
                client.post("/bench/fresh").raise_for_status()
                return client.post("/bench/generate").raise_for_status().json()["seconds"]

            characters = 0

            def first() -> dict[str, float]:
                nonlocal characters
                seconds, characters = predict()
                if beside:
                    generate()
                return {"first_call_seconds": round(seconds, 4)}

            def once() -> dict[str, float]:
                seconds = {"seconds": round(predict()[0], 4)}
                return seconds | ({"raw_seconds": round(generate(), 4)} if beside else {})

            def facts() -> dict[str, Any]:
                info = client.get("/info").json()
                figures = {
                    "characters": characters,
                    "start_seconds": round(service.ready_seconds, 1),
                    "start_stages": stages(service.log),
                    "startup": info["startup"],
                    "engine": info["engine"],
                    "settings": {**self.settings, **settings},
                    **prompts,
                }
                if serial:
                    figures["serial"] = self._one_by_one(client, serial)
                if then:
                    then(client)
                return figures

            yield Ready(once, facts, first=first, alone=predict)

    def _one_by_one(self, client: httpx.Client, count: int) -> dict[str, Any]:
        began = time.monotonic()
        for question in self.work.questions[:count]:
            client.post("/predict", json={"prompt": question}).raise_for_status()
        seconds = time.monotonic() - began
        tokens = sum(self.work.tokens[:count])
        return {"seconds": [round(seconds, 4)], "questions": count, "answer_tokens": tokens}

    def raw_defaults(
        self, memory: dict[str, Any] | None = None
    ) -> contextlib.AbstractContextManager[Ready]:
        """vLLM as it comes: only model, context length and what memory it may take are given."""
        memory = memory or self.memory
        more = ["--engine-args", json.dumps(memory)] if memory else []
        return self._script("bench.raw_vllm", more)

    def transformers(self, first: int = 0) -> contextlib.AbstractContextManager[Ready]:
        """Batches of 64 rows of similar length, one run; first: so many questions only."""
        return self._script("bench.raw_transformers", ["--first", str(first)], runs=1)

    @contextlib.contextmanager
    def openai(self) -> Iterator[Ready]:
        """`vllm serve`, every question a request of its own, all at once."""
        command = [sys.executable, "-m", "vllm.entrypoints.openai.api_server", "--model"]
        command += [str(self.model), "--port", "{port}", "--max-model-len", "2048"]
        command += ["--served-model-name", "m", "--disable-log-stats"]
        command += ["--load-format", "dummy"] if self.dummy else []
        for name, value in self.memory.items():
            command += [f"--{name.replace('_', '-')}", str(value)]
        if on_cpu():
            command += ["--enforce-eager", "--max-num-seqs", "256"]
        prompts = rendered(self.model, self.work)
        environment = {**_cpu_environment(), "VLLM_SERVER_DEV_MODE": "1"}  # to reset the cache
        with server(command, environment, "/health") as (_, service):

            def once() -> dict[str, float]:
                run = _openai_run(service.url, prompts, self.work.tokens)
                return {"seconds": asyncio.run(run)}

            once()
            yield Ready(once, lambda: {"start_seconds": round(service.ready_seconds, 1)})

    @contextlib.contextmanager
    def fixed_service(
        self, settings: dict[str, str]
    ) -> Iterator[tuple[httpx.Client, ServiceProcess]]:
        """The service with the workload's answer lengths, and a client for it.

        ENGINE_ARGS of `settings` are merged into those of all candidates. The others are asked
        without a book, so this one is too, unless the settings name passages.
        """
        environment = {"MODEL_DIR": str(self.model), **ALONE, **self.settings, **settings}
        arguments: dict[str, Any] = dict(self.memory)
        for given in (self.settings, settings):
            arguments |= json.loads(given.get("ENGINE_ARGS", "{}"))
        if self.dummy:
            arguments["load_format"] = "dummy"
        environment["ENGINE_ARGS"] = json.dumps(arguments)
        command = [sys.executable, "-m", "bench.fixed_service", "--port", "{port}", *self.given]
        with server(command, environment, "/") as running:
            yield running

    @contextlib.contextmanager
    def _script(self, module: str, more: list[str], runs: int = sys.maxsize) -> Iterator[Ready]:
        options = [str(self.model), *self.given, *more, *["--dummy"] * self.dummy]
        with script(module, options, _cpu_environment()) as (told, once):
            yield Ready(once, lambda: told, runs)


async def _openai_run(base: str, prompts: list[list[int]], tokens: Any) -> float:
    limits = httpx.Limits(max_connections=len(prompts), max_keepalive_connections=len(prompts))

    async def one(ids: list[int], count: int) -> None:
        body = {"model": "m", "prompt": ids, "max_tokens": count, "min_tokens": count}
        body |= {"temperature": 0, "ignore_eos": True}
        (await client.post(f"{base}/v1/completions", json=body)).raise_for_status()

    # A client for each run: the server closes connections that were idle for five seconds.
    async with httpx.AsyncClient(limits=limits, timeout=CALL_LIMIT_S, trust_env=False) as client:
        (await client.post(f"{base}/reset_prefix_cache")).raise_for_status()
        began = time.monotonic()
        await asyncio.gather(*map(one, prompts, tokens))
        return round(time.monotonic() - began, 4)


def rendered(model: Path, work: Workload) -> list[list[int]]:
    """The token ids of the workload's prompts."""
    from transformers import AutoTokenizer

    from common.prompting import render_prompts, system_prompt_for, tokenize_prompts

    tokenizer = AutoTokenizer.from_pretrained(model)
    return tokenize_prompts(
        tokenizer, render_prompts(tokenizer, work.questions, system_prompt_for(model))
    )


def _cpu_environment() -> dict[str, str]:
    """On a processor vLLM takes a share of all memory for its cache, which may not be free."""
    return {"VLLM_CPU_KVCACHE_SPACE": "1", "OMP_WAIT_POLICY": "passive"} if on_cpu() else {}


def on_cpu() -> bool:
    """Whether torch sees no GPU."""
    import torch

    return not torch.cuda.is_available()


def give_up(error: Exception) -> dict[str, str]:
    """The figures of a candidate that does not run here: it costs only its own row."""
    return {"failed": str(error)[-1200:]}
