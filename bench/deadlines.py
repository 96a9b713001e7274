"""Is a batch answered in time, whole and with its prefixes, at any budget?

    python -m bench.deadlines MODEL                    600 questions, budgets 0.2 s to 60 s

Take a model whose answers do not end (the demo made with `--steps 0`).
"""

import asyncio
import json
import time
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from bench.measured_engine import MeasuredAnswerer, build_measured
from bench.options import JsonOut, Model
from serving.settings import load_settings
from serving.warmup import warm_up_questions

console = Console(width=120)
BUDGETS = "0.2,0.5,1,2,5,10,30,60"


def main(
    model: Model,
    budgets: Annotated[str, typer.Option(help="seconds, separated by commas")] = BUDGETS,
    questions: Annotated[int, typer.Option(help="made-up questions")] = 600,
    max_tokens: Annotated[int, typer.Option(help="longest answer")] = 1500,
    json_out: JsonOut = None,
) -> None:
    """Measure deadlines."""
    seconds = [float(budget) for budget in budgets.split(",")]
    answerer = build_measured("vllm", load_settings(model_dir=model, max_tokens=max_tokens))
    answerer.start()
    asyncio.run(answerer.answer(warm_up_questions(32), time.monotonic() + 10))
    rows = [_deadline(answerer, warm_up_questions(questions), each) for each in seconds]
    answerer.stop()
    table = Table(*rows[0])
    for row in rows:
        table.add_row(*map(str, row.values()))
    console.print(table)
    if json_out:
        json_out.write_text(json.dumps(rows, indent=2) + "\n", "utf-8")


def _deadline(answerer: MeasuredAnswerer, asked: list[str], budget: float) -> dict[str, Any]:
    began = time.monotonic()
    answers = asyncio.run(answerer.answer(asked, began + budget))
    seconds = time.monotonic() - began
    return {
        "budget_s": budget,
        "questions": len(asked),
        "answers": len(answers),
        "with_text": sum(map(bool, answers)),
        "characters": sum(map(len, answers)),
        "seconds": round(seconds, 3),
        "late_s": round(seconds - budget, 3),
    }


if __name__ == "__main__":
    typer.run(main)
