"""The service itself, with the answer lengths of a workload, and raw vLLM beside it.

    MODEL_DIR=model/demo python -m bench.fixed_service --port 8000 [--workload FILE]

Started by bench/serve.py. `POST /predict` is the service's own route; `POST /bench/generate`
answers the same token ids, passages of the book included, with the same lengths by one
`LLM.generate` call on the same engine, so that both sides meet the same machine. `POST
/bench/fresh` brings the prefix cache back to where the warm-up left it: the judge's only call finds
no question there. `POST /bench/clocks` puts clocks around the stages of a batch
(bench/breakdown.py), `/bench/clock` starts them, and `/bench/clocked` returns what they show.
"""

import functools
import logging
import threading
import time
from collections.abc import Callable
from typing import Annotated, Any

import typer
import uvicorn
from fastapi.responses import JSONResponse

from bench.measured_engine import MeasuredAnswerer, build_measured, generate_seconds
from bench.options import AnswerTokens, Questions, WorkloadFile
from bench.random_weights import use_random_weights
from bench.timers import Timers
from bench.workload import load_workload, shared
from serving.engine import vllm_engine
from serving.engine.arguments import read_config
from serving.http.app import create_app
from serving.settings import Settings, load_settings
from serving.startup import start_answerer

log = logging.getLogger("bench.fixed_service")

# A question of no workload: it fills the cache with the system prompt and nothing else.
NEITHER = "请写一个字。"


def main(
    port: Annotated[int, typer.Option()] = 8000,
    workload: WorkloadFile = None,
    questions: Questions = 358,
    answer_tokens: AnswerTokens = 64,
) -> None:
    """Serve with fixed answer lengths."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    work = load_workload(workload, questions, answer_tokens)
    settings = load_settings()
    weights_missing = _made_up_when_loaded(settings)
    app = create_app(settings, start=functools.partial(start_answerer, build=build_measured))
    table = dict(zip(work.questions, work.tokens, strict=True))

    @app.post("/bench/fix", response_model=None)
    def fix() -> dict[str, Any] | JSONResponse:
        """From now on the workload's lengths, for other questions `answer_tokens`; warm-up had its
        own."""
        if weights_missing():
            log.error(
                "ENGINE_ARGS load_format=dummy: an engine in other processes leaves the weights of "
                "a quantized shape unwritten; measure this one with real weights"
            )
            return JSONResponse({"error": "no weights"}, status_code=409)
        answerer: MeasuredAnswerer = app.state.service.answerer
        answerer.tokens_of = lambda question: table.get(question, answer_tokens)
        prompts = answerer.prompts(work.questions)
        return {"prompt_tokens": [len(ids) for ids in prompts], "shared_tokens": shared(prompts)}

    @app.post("/bench/fresh")
    async def fresh() -> None:
        """As after the warm-up: the system prompt in the cache, and no question."""
        await _fresh(app.state.service.answerer)

    @app.post("/bench/generate")
    def generate() -> dict[str, float]:
        """Seconds of one LLM.generate call."""
        answerer: MeasuredAnswerer = app.state.service.answerer
        ids = answerer.prompts(work.questions)
        run = functools.partial(generate_seconds, ids=ids, tokens=work.tokens)
        return {"seconds": answerer.engine.call(run)}

    _add_clocks(app)
    uvicorn.run(app, host="127.0.0.1", port=port, log_level="warning")


def _made_up_when_loaded(settings: Settings) -> Callable[[], bool]:
    """Let a quantized shape's weights be made up, but not before the engine has set its environment
    and imported vLLM itself. Returns whether they are missing all the same."""
    if settings.engine_args.get("load_format") != "dummy":
        return lambda: False
    load_class, filled = vllm_engine.import_model_class, threading.Event()

    def then(names: list[str]) -> None:
        nonlocal filled
        filled = use_random_weights()
        load_class(names)

    vllm_engine.import_model_class = then
    return lambda: "quantization_config" in read_config(settings) and not filled.is_set()


def _add_clocks(app: Any) -> None:
    clocks = Timers()

    @app.post("/bench/clocks")
    def wrap() -> JSONResponse:
        """Put the clocks in place, once."""
        answerer: MeasuredAnswerer = app.state.service.answerer
        try:
            answerer.engine.call(clocks.wrap_llm)
        except ValueError as error:
            return JSONResponse({"error": str(error)}, status_code=409)
        clocks.wrap_answerer(answerer)
        return JSONResponse({})

    @app.post("/bench/clock")
    async def start(on: bool = True, kernels: bool = False, slots: int = 1) -> None:
        """As after the warm-up; then `on`."""
        await _fresh(app.state.service.answerer)
        if on:
            clocks.start(kernels, slots)

    @app.post("/bench/clocked")
    def stop() -> dict[str, Any]:
        """What the clocks show since they were started."""
        return clocks.stop()


async def _fresh(answerer: Any) -> None:
    answerer.engine.reset_prefix_cache()
    await answerer.answer([NEITHER], time.monotonic() + 60, lambda question: 2)


if __name__ == "__main__":
    typer.run(main)
