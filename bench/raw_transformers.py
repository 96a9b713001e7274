"""Transformers' `generate` on a workload, in batches of rows of similar length.

Started by bench/serve.py. A batch runs until its longest answer is done; answers that are shorter
count with their own length only, as they would be cut.
"""

import time
from typing import Annotated

import typer

from bench.options import AnswerTokens, Dummy, Model, Questions, WorkloadFile

BATCH = 64


def main(
    model: Model,
    workload: WorkloadFile = None,
    questions: Questions = 358,
    answer_tokens: AnswerTokens = 64,
    first: Annotated[int, typer.Option(help="so many questions only; 0: all")] = 0,
    dummy: Dummy = False,
) -> None:
    """Measure once for every line of the input."""
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer

    from bench.processes import measure_on_request
    from bench.workload import load_workload
    from common.prompting import render_prompts, system_prompt_for, tokenize_prompts

    work = load_workload(workload, questions, answer_tokens)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    dtype = torch.bfloat16 if device == "cuda" else torch.float32
    tokenizer = AutoTokenizer.from_pretrained(model, padding_side="left")
    rendered = render_prompts(tokenizer, work.questions, system_prompt_for(model))
    prompts = tokenize_prompts(tokenizer, rendered)[: first or None]
    began = time.monotonic()
    if dummy:
        with torch.device(device):
            config = AutoConfig.from_pretrained(model)
            network = AutoModelForCausalLM.from_config(config, dtype=dtype)
    else:
        network = AutoModelForCausalLM.from_pretrained(model, dtype=dtype).to(device)
    network.eval()
    start = time.monotonic() - began
    order = sorted(range(len(prompts)), key=lambda i: work.tokens[i])

    def once() -> dict[str, float]:
        began = time.monotonic()
        for begin in range(0, len(order), BATCH):
            rows = order[begin : begin + BATCH]
            batch = tokenizer.pad({"input_ids": [prompts[i] for i in rows]}, return_tensors="pt")
            count = max(work.tokens[i] for i in rows)
            with torch.inference_mode():
                network.generate(
                    **batch.to(device), max_new_tokens=count, min_new_tokens=count, do_sample=False
                )
        if device == "cuda":
            torch.cuda.synchronize()
        return {"seconds": round(time.monotonic() - began, 4)}

    facts = {"start_seconds": round(start, 1)}
    if first:
        facts |= {"questions": len(prompts), "answer_tokens": sum(work.tokens[: len(prompts)])}
    measure_on_request(facts, once)


if __name__ == "__main__":
    typer.run(main)
