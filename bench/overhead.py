"""What the service's scheduler costs beside one `LLM.generate` call.

    python -m bench.overhead model/demo                       358 questions, five alternating runs
    python -m bench.overhead MODEL --lengths workload.json    answer lengths of a given workload

Both sides get the same token ids and the same answer lengths (`ignore_eos`), in the same process
on the same engine, in turn, so that the machine's drift hits both. Prints each run, the median
seconds, the ratio loop ÷ generate, tokens a second, and how late a deadline is.
"""

import json
import statistics
import time
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from bench.measured_engine import MeasuredEngine, build_measured, generate_seconds
from bench.options import JsonOut, Model
from common.prompting import render_prompts, tokenize_prompts
from serving.engine.base import Batch, generate, wait
from serving.settings import load_settings
from serving.warmup import warm_up_questions

console = Console()


def main(
    model: Model,
    runs: Annotated[int, typer.Option(help="runs of each side, in turn")] = 5,
    questions: Annotated[int, typer.Option(help="questions, without --lengths")] = 358,
    answer_tokens: Annotated[int, typer.Option(help="tokens an answer, without --lengths")] = 64,
    lengths: Annotated[
        Path | None, typer.Option(help='JSON list of {"question", "answer_tokens"}')
    ] = None,
    json_out: JsonOut = None,
) -> None:
    """Time the scheduler against LLM.generate."""
    rows = json.loads(lengths.read_text("utf-8")) if lengths else None
    asked = [row["question"] for row in rows] if rows else warm_up_questions(questions)
    tokens = [row["answer_tokens"] for row in rows] if rows else [answer_tokens] * questions

    answerer = build_measured("vllm", load_settings(model_dir=model))
    engine = answerer.engine
    began = time.monotonic()
    answerer.start()
    start_seconds = time.monotonic() - began
    tokenizer = answerer.tokenizer()
    began = time.monotonic()
    ids = tokenize_prompts(tokenizer, render_prompts(tokenizer, asked, answerer.system_prompt))
    prompt_seconds = time.monotonic() - began

    def loop() -> float:
        began = time.monotonic()
        generate(engine, ids, tokens, time.monotonic() + 600, ignore_eos=True)
        return time.monotonic() - began

    def plain() -> float:
        return engine.call(lambda llm: generate_seconds(llm, ids, tokens))

    loop(), plain()  # neither side pays for the first time
    pairs = [(loop(), plain()) for _ in range(runs)]
    late = _lateness(engine, ids, tokens, statistics.median(loop for loop, _ in pairs) / 2)
    figures = {
        "engine": engine.info(),
        "questions": len(ids),
        "prompt_tokens": sum(map(len, ids)),
        "answer_tokens": sum(tokens),
        "start_seconds": round(start_seconds, 2),
        "render_and_tokenize_seconds": round(prompt_seconds, 4),
        "loop_seconds": [round(loop, 4) for loop, _ in pairs],
        "generate_seconds": [round(plain, 4) for _, plain in pairs],
        "ratio_of_medians": round(
            statistics.median(p[0] for p in pairs) / statistics.median(p[1] for p in pairs), 4
        ),
        "median_of_ratios": round(statistics.median(p[0] / p[1] for p in pairs), 4),
        "tokens_per_second": round(sum(tokens) / statistics.median(p[0] for p in pairs), 1),
        "late_at_deadline_seconds": late,
    }
    answerer.stop()
    table = Table("figure", "value", title="scheduler and LLM.generate")
    for name, value in figures.items():
        table.add_row(name, json.dumps(value, ensure_ascii=False))
    console.print(table)
    if json_out:
        json_out.write_text(json.dumps(figures, ensure_ascii=False, indent=2) + "\n", "utf-8")


def _lateness(
    engine: MeasuredEngine, ids: list[list[int]], tokens: list[int], seconds: float
) -> dict[str, float]:
    """Cut a batch in its middle: seconds past the deadline, share of prompts with some text."""
    batch = Batch(ids, tokens, time.monotonic() + seconds, ignore_eos=True)
    engine.submit(batch)
    wait(batch)
    late = time.monotonic() - batch.deadline
    answers = batch.answers()
    some = sum(bool(answer.tokens) for answer in answers) / len(answers)
    return {"seconds": round(late, 3), "share_with_tokens": some}


if __name__ == "__main__":
    typer.run(main)
