"""Is a batch answered in time, whole and with its prefixes, at any budget?

    python -m bench.deadlines MODEL                    600 questions, budgets 0.2 s to 60 s
    python -m bench.deadlines MODEL --policies         first come first served against fair shares

Take a model whose answers do not end (the demo made with `--steps 0`) for the first, the demo model
for the second: its scores on the sample test sets are what the policies are compared by.
"""

import asyncio
import json
import statistics
import time
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from bench.measured_engine import MeasuredAnswerer, build_measured
from bench.options import JsonOut, Model
from common.read_pairs import read_pairs
from judging.scoring import rouge_l
from serving.engine import fair_share
from serving.settings import load_settings
from serving.warmup import warm_up_questions

console = Console(width=120)
BUDGETS = "0.2,0.5,1,2,5,10,30,60"
SAMPLES = [Path(f"data/sample/testset_{name}.docx") for name in ("basic", "bonus")]


def main(
    model: Model,
    budgets: Annotated[str, typer.Option(help="seconds, separated by commas")] = BUDGETS,
    questions: Annotated[int, typer.Option(help="made-up questions")] = 600,
    max_tokens: Annotated[int, typer.Option(help="longest answer")] = 1500,
    slots: Annotated[int, typer.Option(help="answers at once (with --policies)")] = 8,
    policies: Annotated[bool, typer.Option("--policies", help="compare the policies")] = False,
    floors: Annotated[
        str, typer.Option(help="least tokens of a fair share, to compare")
    ] = "4,16,32,48",
    runs: Annotated[int, typer.Option(help="runs of each policy, in turn")] = 3,
    json_out: JsonOut = None,
) -> None:
    """Measure deadlines, or the policies that meet them."""
    seconds = [float(budget) for budget in budgets.split(",")]
    settings = {"max_num_seqs": slots} if policies else {"max_tokens": max_tokens}
    answerer = build_measured("vllm", load_settings(model_dir=model, **settings))
    answerer.start()
    asyncio.run(answerer.answer(warm_up_questions(32), time.monotonic() + 10))
    if policies:
        rows = _policies(answerer, seconds, runs, [int(floor) for floor in floors.split(",")])
    else:
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


def _policies(
    answerer: MeasuredAnswerer, budgets: list[float], runs: int, floors: list[int]
) -> list[dict[str, Any]]:
    """Median score and unanswered questions of each policy: None is first come, first served."""
    pairs = [pair for path in SAMPLES for pair in read_pairs(path).pairs]
    asked = [pair.question for pair in pairs]
    policies: list[int | None] = [None, *floors]
    rows = []
    for budget in budgets:
        scores: dict[int | None, list[float]] = {policy: [] for policy in policies}
        empty: dict[int | None, list[int]] = {policy: [] for policy in policies}
        for _ in range(runs):
            for policy in policies:
                answerer.engine.use_fair_shares(policy is not None)
                fair_share.MIN_TOKENS = policy or 0
                answers = asyncio.run(answerer.answer(asked, time.monotonic() + budget))
                # The cache must not give the next policy what this one has computed.
                answerer.engine.call(lambda llm: llm.llm_engine.reset_prefix_cache())
                each = [
                    rouge_l(pair.answer, answer)
                    for pair, answer in zip(pairs, answers, strict=True)
                ]
                scores[policy].append(statistics.mean(each))
                empty[policy].append(sum(not answer for answer in answers))
        row: dict[str, Any] = {"budget_s": budget}
        for policy in policies:
            name = "first come" if policy is None else f"fair, {policy} or more"
            score, none = statistics.median(scores[policy]), statistics.median(empty[policy])
            row[name] = f"{score:.3f} ({none:g} empty)"
        rows.append(row)
    return rows


if __name__ == "__main__":
    typer.run(main)
