"""python -m data build: the command, and what it prints."""

from collections.abc import Sequence
from enum import Enum
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.table import Table

from data.books import find_books
from data.cache import Cache
from data.cli.console import ProgressBars, console, reported_errors, warn
from data.cli.options import unused_options, with_options
from data.context import BuildContext
from data.making import cache_key
from data.options import settings_from
from data.reading import read_chunks
from data.reviewers import make_reviewer
from data.settings import BuildInputs, BuildSettings
from data.sources.registry import SOURCES

SourceName = Enum("SourceName", {name: name for name in SOURCES}, type=str)


@with_options(BuildInputs, BuildSettings, *(entry.settings for entry in SOURCES.values()))
def build(
    context: typer.Context,
    books: Annotated[list[Path], typer.Argument(help="docx, pdf, epub, md, html, txt, or folders")],
    out: Annotated[Path, typer.Option(help="folder for the training data")],
    source: Annotated[
        SourceName, typer.Option(help="rules need no model; none: only --merge")
    ] = SourceName.rules,
    cache: Annotated[Path, typer.Option(help="what was made before")] = Path(".cache/data"),
    dry_run: Annotated[bool, typer.Option(help="only estimate calls, tokens, time")] = False,
    **options: Any,
) -> None:
    """Turn books into train, dev and calibration data with a report."""
    from data.pipeline import build as run  # numpy: not for --help

    with reported_errors():
        entry = SOURCES[source.value]
        told = settings_from(entry.settings, options)
        for message in unused_options(_given(context), source.value, told):
            if not options["review"]:  # the reviewer takes options of the other sources
                warn(message)
        settings = settings_from(BuildSettings, options)
        inputs = settings_from(BuildInputs, {**options, "books": find_books(books)})
        with ProgressBars() as bars:
            work = BuildContext(entry.make(told), settings, Cache(cache), bars)
            if settings.review:
                work.reviewer = make_reviewer(settings.review, options)
            table = _estimate(inputs.books, work) if dry_run else None
            result = None if dry_run else run(inputs, out, work)
    if table:
        console.print(table)
    if result:
        _print_result(result)


def _given(context: typer.Context) -> list[str]:
    """Field names of the options that the user gave."""
    # By name: Typer brings an enumeration of its own beside click's.
    sources = {name: context.get_parameter_source(name) for name in context.params}
    return [name for name, source in sources.items() if source and source.name == "COMMANDLINE"]


def _estimate(books: Sequence[Path], context: BuildContext) -> Table:
    source, chunks = context.source, []
    for path in books:
        context.progress.step(f"reading {path.name}")
        chunks += read_chunks(path, context)
    new = [c for c in chunks if context.cache.get(cache_key(source, c)) is None]
    cost = source.estimate(new)
    table = Table("estimate", source.name, title="dry run: nothing was asked")
    table.add_row("chunks", f"{len(chunks)} ({len(chunks) - len(new)} made before, {len(new)} new)")
    table.add_row("calls", str(cost.calls))
    table.add_row("prompt tokens", f"about {cost.prompt_tokens}")
    table.add_row("answer tokens", f"about {cost.answer_tokens}")
    table.add_row("time", f"about {cost.seconds:.0f} s ({cost.basis})")
    return table


def _print_result(result: Any) -> None:
    table = Table("step", "count", "lost", title=str(result.out))
    for step in result.report["funnel"]:
        lost = ", ".join(f"{n} {reason}" for reason, n in step["lost"].items())
        table.add_row(step["name"], str(step["count"]), lost)
    console.print(table)
    covered = result.report["coverage"]
    console.print(
        f"train {result.splits['train']}, dev {result.splits['dev']}, calibration "
        f"{result.splits['calibration']} rows; {covered['with_pairs']} of {covered['sections']} "
        f"sections gave a pair; report: {result.out / 'report.html'}",
        soft_wrap=True,
    )
    for leak in result.report["leaks"]:
        nearest = leak["survivors"][0]["similarity"] if leak["survivors"] else 0
        console.print(
            f"{leak['testset']}: {leak['removed']} pairs near it removed; "
            f"closest that stays: {nearest}"
        )
    for warning in result.report["warnings"]:
        warn(warning)
    if not result.report["leaks"]:
        warn("no test set was excluded (--exclude TESTSET.docx)")
    if not result.changed:
        console.print("nothing changed since the last build")
