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

from common.language import either
from data.cli.build import build
from data.cli.console import console, reported_errors
from data.labels import label

app = typer.Typer(
    add_completion=False, no_args_is_help=True, help=__doc__, pretty_exceptions_enable=False
)
app.command()(build)


@app.command("check-leak")
def check_leak(
    train: Annotated[
        Path,
        typer.Argument(
            help="training rows, ours or anybody's: jsonl, json, csv, docx; or an index's folder"
        ),
    ],
    testset: Annotated[Path, typer.Argument(help="docx, jsonl, json or csv")],
    show_rows: Annotated[int, typer.Option("--show", help="examples to print")] = 5,
) -> None:
    """Say whether a training set, or an index, holds test questions; exit code 1 if it does."""
    from data.contamination import check, texts_of
    from data.formats import read_told

    with reported_errors():
        tests = [(pair.question, pair.answer) for pair in read_told(testset)]
        if train.is_dir():
            _check_index(train, tests, show_rows)
            return
        outcome = check([texts_of(p) for p in read_told(train) if p.learn], tests)
    found, leaks = len(outcome.found), len(outcome.leaks)
    console.print(
        either(
            f"{outcome.tests} 道测试题里有 {found} 道在 {train.name} 里；"
            f"它的 {outcome.rows} 行里有 {leaks} 行与测试题几乎相同",
            f"{found} of {outcome.tests} test questions are in {train.name}; "
            f"{leaks} of its {outcome.rows} rows are near-duplicates of test pairs",
        ),
        soft_wrap=True,
    )
    zh = ("相似度", "部分", "训练行", "测试题")
    en = ("similarity", "part", "training row", "test pair")
    table = Table(*(either(*names) for names in zip(zh, en, strict=True)))
    for match in outcome.leaks[:show_rows]:
        table.add_row(
            f"[red]{match.similarity:.2f}[/]",
            label(match.part),
            escape(match.text),
            escape(tests[match.test][0]),
        )
    for match in outcome.survivors[:show_rows]:
        table.add_row(
            f"{match.similarity:.2f}",
            label(match.part),
            escape(match.text),
            escape(tests[match.test][0]),
        )
    console.print(table)
    if not leaks:
        console.print(either("没有泄题", "no leak"))
    if leaks:
        console.print(
            either(
                f"泄题：用它训练出来的模型，在 {testset.name} 上的分数不可信。"
                "用 bash run.sh data build … --exclude 去掉这些行",
                f"leak: after training on it, a score on {testset.name} says nothing. "
                "bash run.sh data build … --exclude takes these rows out",
            ),
            style="bold red",
            soft_wrap=True,
        )
        raise typer.Exit(1)


def _check_index(directory: Path, tests: list[tuple[str, str]], show_rows: int) -> None:
    from data.index_leaks import check_index

    outcome = check_index(directory, tests)
    found = {test for leak in outcome.leaks for test in leak.tests}
    console.print(
        f"{len(outcome.leaks)} of {outcome.passages} passages in {directory} hold {len(found)} of "
        f"{len(tests)} test questions or their answers; {outcome.verbatim} reference answers stand "
        "in it word for word, as the book may say itself",
        soft_wrap=True,
    )
    if not outcome.leaks:
        return
    table = Table("share", "part", "passage", "test question")
    for leak in outcome.leaks[:show_rows]:
        cells = (leak.part, f"{leak.place}\n{leak.text[:200]}", tests[leak.tests[0]][0])
        table.add_row(f"[red]{leak.share:.2f}[/]", *map(escape, cells))
    console.print(table)
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
            raise ValueError(
                either(
                    f"{directory} 里没有属于 {section!r} 的问答",
                    f"no pair under {section!r} in {directory}",
                )
            )


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
