"""vLLM with its own defaults on a workload: one `LLM.generate` call. Started by bench/serve.py."""

import json
import time
from typing import Annotated, Any

import typer

from bench.options import AnswerTokens, Dummy, Model, Questions, WorkloadFile


def main(
    model: Model,
    workload: WorkloadFile = None,
    questions: Questions = 358,
    answer_tokens: AnswerTokens = 64,
    dummy: Dummy = False,
    engine_args: Annotated[str, typer.Option(help="JSON: further arguments of LLM")] = "{}",
) -> None:
    """Measure once for every line of the input."""
    import torch
    from transformers import AutoTokenizer
    from vllm import LLM, SamplingParams

    from bench.processes import measure_on_request
    from bench.workload import load_workload
    from common.prompting import render_prompts, system_prompt_for, tokenize_prompts

    work = load_workload(workload, questions, answer_tokens)
    tokenizer = AutoTokenizer.from_pretrained(model)
    rendered = render_prompts(tokenizer, work.questions, system_prompt_for(model))
    prompts = [{"prompt_token_ids": ids} for ids in tokenize_prompts(tokenizer, rendered)]
    options: dict[str, Any] = json.loads(engine_args)
    options |= {"load_format": "dummy"} if dummy else {}
    if not torch.cuda.is_available():
        options["enforce_eager"] = True  # compiling for a processor takes a minute
    began = time.monotonic()
    llm = LLM(str(model), max_model_len=2048, **options)
    start = time.monotonic() - began
    params = [SamplingParams(temperature=0, max_tokens=n, ignore_eos=True) for n in work.tokens]

    def once() -> dict[str, float]:
        llm.reset_prefix_cache()  # as for the service: a judge asks every question once
        began = time.monotonic()
        llm.generate(prompts, params, use_tqdm=False)
        return {"seconds": round(time.monotonic() - began, 4)}

    once()  # pays for what is warm later
    measure_on_request({"start_seconds": round(start, 1)}, once)


if __name__ == "__main__":
    typer.run(main)
