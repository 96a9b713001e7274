"""The service itself, with the answer lengths of a workload, and raw vLLM beside it.

    MODEL_DIR=model/demo python -m bench.fixed_service --port 8000 [--workload FILE]

Started by bench/serve.py. `POST /predict` is the service's own route; `POST /bench/generate`
answers the same token ids with the same lengths by one `LLM.generate` call on the same engine, so
that both sides meet the same machine.
"""

import logging
import time
from pathlib import Path
from typing import Annotated, Any

import typer
import uvicorn

from answering.app import create_app
from answering.settings import load_settings
from answering.vllm_engine import VllmEngine
from bench.workload import Workload, load_workload


def main(
    port: Annotated[int, typer.Option()] = 8000,
    workload: Annotated[Path | None, typer.Option(help="JSON rows of question, tokens")] = None,
    questions: Annotated[int, typer.Option(help="without --workload")] = 358,
    answer_tokens: Annotated[int, typer.Option(help="without --workload")] = 64,
) -> None:
    """Serve with fixed answer lengths."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    work = load_workload(workload, questions, answer_tokens)
    VllmEngine.ignore_eos = True
    app = create_app(load_settings())
    table = dict(zip(work.questions, work.tokens, strict=True))

    @app.post("/bench/fix")
    def fix() -> dict[str, Any]:
        """From now on the workload's lengths; warm-up had its own."""
        answerer = app.state.answerer
        answerer.tokens_of = lambda question: table.get(question, 16)
        return {"prompt_tokens": [len(ids) for ids in _prompts(answerer, work)]}

    @app.post("/bench/generate")
    def generate() -> dict[str, float]:
        """Seconds of one LLM.generate call."""
        answerer = app.state.answerer
        ids = _prompts(answerer, work)
        return {"seconds": answerer.engine.call(lambda llm: _generate(llm, ids, work.tokens))}

    uvicorn.run(app, host="127.0.0.1", port=port, log_level="warning")


def _prompts(answerer: Any, work: Workload) -> list[list[int]]:
    from answering.prompting import render_prompts, tokenize_prompts

    tokenizer = answerer.tokenizer()
    rendered = render_prompts(tokenizer, work.questions, answerer.system_prompt)
    return tokenize_prompts(tokenizer, rendered)


def _generate(llm: Any, ids: list[list[int]], tokens: Any) -> float:
    from vllm import SamplingParams

    params = [SamplingParams(temperature=0, max_tokens=n, ignore_eos=True) for n in tokens]
    began = time.monotonic()
    llm.generate([{"prompt_token_ids": prompt} for prompt in ids], params, use_tqdm=False)
    return time.monotonic() - began


if __name__ == "__main__":
    typer.run(main)
