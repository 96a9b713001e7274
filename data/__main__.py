"""From books to question-answer pairs: python -m data build BOOK… --out DIR

Also: check-leak TRAIN TESTSET, show DIR, stats FILE; `python -m data COMMAND --help` lists the
options.
"""

import json
import logging
from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape
from rich.table import Table

from data.cli.build import build
from data.cli.console import console, reported_errors

app = typer.Typer(
    add_completion=False, no_args_is_help=True, help=__doc__, pretty_exceptions_enable=False
)
app.command()(build)


@app.command("check-leak")
def check_leak(
    train: Annotated[
        Path, typer.Argument(help="training rows, ours or anybody's: jsonl, json, csv, docx")
    ],
    testset: Annotated[Path, typer.Argument(help="docx, jsonl, json or csv")],
    show_rows: Annotated[int, typer.Option("--show", help="examples to print")] = 5,
) -> None:
    """Say whether a training set holds test questions; exit code 1 if it does."""
    from data.contamination import check, texts_of
    from data.formats import read_told

    with reported_errors():
        tests = [(pair.question, pair.answer) for pair in read_told(testset)]
        outcome = check([texts_of(p) for p in read_told(train) if p.learn], tests)
    console.print(
        f"{len(outcome.found)} of {outcome.tests} test questions are in {train.name}; "
        f"{len(outcome.leaks)} of its {outcome.rows} rows are near-duplicates of test pairs"
    )
    table = Table("similarity", "part", "training row", "test pair")
    for match in outcome.leaks[:show_rows]:
        table.add_row(
            f"[red]{match.similarity:.2f}[/]",
            match.part,
            escape(match.text),
            escape(tests[match.test][0]),
        )
    for match in outcome.survivors[:show_rows]:
        table.add_row(
            f"{match.similarity:.2f}", match.part, escape(match.text), escape(tests[match.test][0])
        )
    console.print(table)
    if outcome.leaks:
        raise typer.Exit(1)


@app.command()
def show(
    directory: Annotated[Path, typer.Argument(help="folder that build wrote")],
    section: Annotated[str, typer.Option(help="part of a section's heading path")] = "",
    kind: Annotated[str, typer.Option(help="question kind")] = "",
    limit: Annotated[int, typer.Option(help="chunks to print; 0: all")] = 5,
) -> None:
    """Browse pairs next to the text they come from."""
    from data.browse import chunks_with_pairs

    with reported_errors():
        shown = 0
        for chunk, pairs in chunks_with_pairs(directory, section, kind):
            console.rule(f"{chunk['book']} › {' › '.join(chunk['path'])}  [{chunk['span'][0]}]")
            console.print(chunk["text"], style="dim", markup=False, highlight=False)
            for row in pairs:
                console.print(f"\n[bold]{row['split']} · {row['kind']}[/] ", end="")
                console.print(row["question"], style="bold cyan", markup=False, highlight=False)
                console.print(row["answer"], markup=False, highlight=False)
            shown += 1
            if limit and shown >= limit:
                break
        if not shown:
            raise ValueError(f"no pair under {section!r} in {directory}")


@app.command()
def agree(
    verdicts: Annotated[
        Path, typer.Argument(help="jsonl of question, answer, chunk, verdict (good, usable, bad)")
    ],
    review: Annotated[str, typer.Option(help="teacher or vllm")] = "teacher",
    model: Annotated[str, typer.Option(help="teacher: model name; vllm: directory")] = "",
    base_url: Annotated[str, typer.Option(help="teacher: endpoint")] = "",
    key_env: Annotated[str, typer.Option(help="teacher: variable with the key")] = "OPENAI_API_KEY",
    prompts: Annotated[Path | None, typer.Option(help="folder with an own review.md")] = None,
    engine: Annotated[str, typer.Option(help="vllm: engine arguments as JSON")] = "{}",
) -> None:
    """How far a reviewer agrees with people's verdicts: Cohen's kappa, and its drops."""
    from data.review import agreement, read_verdicts
    from data.reviewers import make_reviewer

    told = {"model": model, "prompts": prompts, "engine": json.loads(engine)}
    with reported_errors():
        rows = read_verdicts(verdicts)
        told |= {"base_url": base_url, "key_env": key_env} if review == "teacher" else {}
        failed = make_reviewer(review, told).failed([row for row, _ in rows])
        console.print_json(json.dumps(agreement([said for _, said in rows], failed)))


@app.command()
def stats(
    file: Annotated[Path, typer.Argument(help="jsonl in any shape, or a test set docx")],
    tokenizer: Annotated[
        Path | None, typer.Option(help="model directory: count tokens too")
    ] = None,
) -> None:
    """Lengths, duplicates and ASCII terms of a training or test file, as JSON."""
    from data.formats import read_told
    from data.report import describe, token_counter

    with reported_errors():
        pairs = [(pair.question, pair.answer) for pair in read_told(file)]
        found = describe(pairs, token_counter(tokenizer))
    console.print_json(json.dumps(found, ensure_ascii=False))


if __name__ == "__main__":
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s: %(message)s")
    app()
