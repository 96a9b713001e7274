"""From books to question-answer pairs: python -m data build BOOK… --out DIR

Also: check-leak TRAIN TESTSET, show DIR, stats FILE; `python -m data COMMAND --help` lists the
options.
"""

import json
import logging
from contextlib import contextmanager
from enum import Enum
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

app = typer.Typer(
    add_completion=False, no_args_is_help=True, help=__doc__, pretty_exceptions_enable=False
)
console = Console()
errors = Console(stderr=True)


class SourceName(str, Enum):
    """Where pairs come from."""

    rules = "rules"
    none = "none"
    teacher = "teacher"
    vllm = "vllm"


class Shape(str, Enum):
    """Layout of the training rows."""

    messages = "messages"
    alpaca = "alpaca"
    sharegpt = "sharegpt"
    query_response = "query-response"


class _Bars:
    """Progress bars on the error stream, so that output can be piped."""

    def __init__(self) -> None:
        self._progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            console=errors,
            transient=True,
        )
        self._task: Any = None

    def step(self, name: str, total: int | None = None) -> None:
        if self._task is not None:
            self._progress.remove_task(self._task)
        self._task = self._progress.add_task(name, total=total)

    def advance(self, count: int = 1) -> None:
        self._progress.advance(self._task, count)

    def warn(self, text: str) -> None:
        errors.print(f"[yellow]warning:[/] {escape(text)}", highlight=False, soft_wrap=True)

    def __enter__(self) -> "_Bars":
        self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._progress.stop()


@contextmanager
def _told():  # noqa: ANN202
    """Known errors end the program with their message and exit code 1, Ctrl-C with 130."""
    from common.pairs import PairsError
    from data.books import BookError
    from data.cache import CacheError
    from data.pipeline import NothingLeftError
    from data.sources import SourceError
    from data.split import SplitLeakError

    try:
        yield
    except (
        BookError,
        CacheError,
        NothingLeftError,
        SourceError,
        SplitLeakError,
        PairsError,
        ValueError,
        OSError,
    ) as error:
        errors.print(f"[red]error:[/] {escape(str(error))}", highlight=False, soft_wrap=True)
        raise typer.Exit(1) from error
    except KeyboardInterrupt as error:
        errors.print("interrupted; what was made so far is kept: the same command goes on from it")
        raise typer.Exit(130) from error


@app.command()
def build(
    books: Annotated[list[Path], typer.Argument(help="docx, pdf, epub, md, html, txt, or folders")],
    out: Annotated[Path, typer.Option(help="folder for the training data")],
    source: Annotated[
        SourceName, typer.Option(help="rules need no model; none: only --merge")
    ] = SourceName.rules,
    exclude: Annotated[
        list[Path], typer.Option(help="test set whose near-duplicates must go; repeatable")
    ] = [],  # noqa: B006 - typer reads the default, nobody changes it
    merge: Annotated[
        list[Path], typer.Option(help="existing pairs (docx, jsonl) to add; repeatable")
    ] = [],  # noqa: B006
    compare: Annotated[
        Path | None, typer.Option(help="test set to compare lengths with in the report")
    ] = None,
    shape: Annotated[Shape, typer.Option("--format", help="layout of the rows")] = Shape.messages,
    system: Annotated[bool, typer.Option(help="write the system prompt into each row")] = False,
    wordings: Annotated[int, typer.Option(min=0, max=6, help="more wordings per question")] = 2,
    seed: Annotated[int, typer.Option(help="of the split")] = 0,
    dev: Annotated[float, typer.Option(min=0, max=0.5, help="share of pairs")] = 0.1,
    calibration: Annotated[float, typer.Option(min=0, max=0.5, help="share of pairs")] = 0.05,
    min_chars: Annotated[int, typer.Option(min=1, help="of a chunk")] = 200,
    max_chars: Annotated[int, typer.Option(min=100, help="of a chunk")] = 1500,
    skip_rule: Annotated[
        list[str], typer.Option(help="cleaning rule to switch off; repeatable")
    ] = [],  # noqa: B006
    keep_going: Annotated[bool, typer.Option(help="name and skip books that fail")] = False,
    cache: Annotated[Path, typer.Option(help="what was made before")] = Path(".cache/data"),
    tokenizer: Annotated[
        Path | None, typer.Option(help="model directory: count tokens in the report")
    ] = None,
    dry_run: Annotated[bool, typer.Option(help="only estimate calls, tokens, time")] = False,
    base_url: Annotated[str, typer.Option(help="teacher: OpenAI-compatible endpoint")] = "",
    model: Annotated[str, typer.Option(help="teacher: model name; vllm: model directory")] = "",
    key_env: Annotated[
        str, typer.Option(help="teacher: environment variable that holds the key")
    ] = "OPENAI_API_KEY",
    concurrency: Annotated[int, typer.Option(min=1, help="teacher: calls at once")] = 8,
    call_timeout: Annotated[float, typer.Option(help="teacher: seconds a call may take")] = 120,
    max_pairs: Annotated[
        int, typer.Option(help="stop asking after so many pairs; 0: no limit")
    ] = 0,
    max_tokens: Annotated[int, typer.Option(help="teacher: budget of this run; 0: no limit")] = 0,
    per_chunk: Annotated[int, typer.Option(min=1, help="pairs to ask for per chunk")] = 6,
    ray: Annotated[
        str, typer.Option(help="vllm: Ray address ('local' starts one), for many GPUs")
    ] = "",
    workers: Annotated[int, typer.Option(min=1, help="vllm on Ray: engines at once")] = 2,
    demo: Annotated[bool, typer.Option(help="mark the data as a demo in its manifest")] = False,
) -> None:
    """Turn books into train, dev and calibration data with a report."""
    from data.books import find_books
    from data.cache import Cache
    from data.funnel import Funnel
    from data.pipeline import build as run
    from data.pipeline import cache_key, read_chunks
    from data.settings import BuildSettings
    from data.split import SplitSettings

    with _told():
        chosen = _source(
            source,
            base_url,
            model,
            key_env,
            concurrency,
            call_timeout,
            max_pairs,
            max_tokens,
            per_chunk,
            wordings,
            ray,
            workers,
        )
        if not 0 < min_chars <= max_chars:
            raise ValueError(f"--min-chars {min_chars} must not exceed --max-chars {max_chars}")
        settings = BuildSettings(
            chunk_chars=(min_chars, max_chars),
            split=SplitSettings(seed, dev, calibration),
            wordings=wordings,
            rules_off=frozenset(skip_rule),
            shape=shape.value,
            system=system,
            keep_going=keep_going,
            tokenizer=tokenizer,
            demo=demo,
        )
        store = Cache(cache)
        found = find_books(books)
        if dry_run:
            funnel = Funnel()
            with _Bars() as bars:
                chunks = []
                for path in found:
                    bars.step(f"reading {path.name}")
                    chunks += read_chunks(path, store, settings, funnel)
            new = [c for c in chunks if store.get(cache_key(chosen, c)) is None]
            _print_estimate(chosen, len(chunks), len(new), chosen.estimate(new))
            return
        with _Bars() as bars:
            result = run(found, out, chosen, store, settings, bars, exclude, merge, compare)
    _print_build(result)


def _source(
    name: SourceName,
    base_url: str,
    model: str,
    key_env: str,
    concurrency: int,
    call_timeout: float,
    max_pairs: int,
    max_tokens: int,
    per_chunk: int,
    wordings: int,
    ray: str,
    workers: int,
):  # noqa: ANN202 - a PairSource
    if name is SourceName.rules:
        from data.sources.rules import RulesSource

        return RulesSource()
    if name is SourceName.none:
        from data.sources.nothing import NoSource

        return NoSource()
    if name is SourceName.teacher:
        from data.sources.teacher import TeacherSettings, TeacherSource

        return TeacherSource(
            TeacherSettings(
                base_url=base_url,
                model=model,
                key_env=key_env,
                concurrency=concurrency,
                timeout=call_timeout,
                max_pairs=max_pairs,
                max_tokens=max_tokens,
                per_chunk=per_chunk,
                wordings=wordings,
            )
        )
    if ray:
        from data.sources.ray_source import RaySource

        return RaySource(Path(model), per_chunk, wordings, address=ray, workers=workers)
    from data.sources.vllm_source import VllmSource

    return VllmSource(Path(model), per_chunk, wordings)


def _print_estimate(source: Any, chunks: int, new: int, estimate: Any) -> None:
    table = Table("estimate", source.fingerprint.split("/")[0], title="dry run: nothing was asked")
    table.add_row("chunks", f"{chunks} ({chunks - new} made before, {new} new)")
    table.add_row("calls", str(estimate.calls))
    table.add_row("prompt tokens", f"about {estimate.prompt_tokens}")
    table.add_row("answer tokens", f"about {estimate.answer_tokens}")
    table.add_row("time", f"about {estimate.seconds:.0f} s ({estimate.basis})")
    console.print(table)


def _print_build(result: Any) -> None:
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
        errors.print(f"[yellow]warning:[/] {escape(warning)}", highlight=False, soft_wrap=True)
    if not result.report["leaks"]:
        errors.print(
            "[yellow]warning:[/] no test set was excluded (--exclude TESTSET.docx)",
            highlight=False,
            soft_wrap=True,
        )
    if not result.changed:
        console.print("nothing changed since the last build")


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

    with _told():
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

    with _told():
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

    with _told():
        pairs = [(pair.question, pair.answer) for pair in read_told(file)]
        found = describe(pairs, token_counter(tokenizer))
    console.print_json(json.dumps(found, ensure_ascii=False))


if __name__ == "__main__":
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s: %(message)s")
    app()
