"""From books to question-answer pairs: python -m data build BOOK… --out DIR

Also: check-leak TRAIN TESTSET, show DIR, stats FILE; `python -m data COMMAND --help` lists the
options.
"""

import json
import logging
from collections import Counter
from collections.abc import Sequence
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
    encoder: Annotated[
        Path | None,
        typer.Option(help="bi-encoder's directory: name rows that mean the same, too"),
    ] = None,
    cosine: Annotated[
        float | None, typer.Option(help="of --encoder; default: by the test questions themselves")
    ] = None,
) -> None:
    """Say whether a training set holds test questions; exit code 1 if it does."""
    from data.contamination import check, texts_of
    from data.formats import read_told

    with reported_errors():
        tests = [(pair.question, pair.answer) for pair in read_told(testset)]
        rows = [texts_of(p) for p in read_told(train) if p.learn]
        outcome = check(rows, tests)
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
    if encoder:
        _second_opinion(encoder, cosine, rows, tests, [hit.row for hit in outcome.leaks], show_rows)
    if outcome.leaks:
        raise typer.Exit(1)


def _second_opinion(
    encoder: Path,
    cosine: float | None,
    rows: Sequence[Sequence[tuple[str, str]]],
    tests: Sequence[tuple[str, str]],
    known: list[int],
    shown: int,
) -> None:
    """What an encoder finds that text comparison does not: to be read, no verdict."""
    from data.meaning import load_encoder, near_by_meaning

    with reported_errors():
        questions = [question for question, _ in tests]
        found, least = near_by_meaning(rows, questions, load_encoder(encoder), known, cosine)
    console.print(
        f"by meaning ({encoder.name}, cosine {least:.3f} or more): {len(found)} other rows may ask "
        "a test question; read them"
    )
    table = Table("cosine", "rows", "training row", "test question")
    times = Counter(near.text for near in found)
    first = {near.text: near for near in reversed(found)}
    for near in sorted(first.values(), key=lambda near: -near.similarity)[:shown]:
        test = escape(questions[near.test])
        table.add_row(f"{near.similarity:.3f}", str(times[near.text]), escape(near.text), test)
    if found:
        console.print(table)


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
