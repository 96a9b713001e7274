"""The index of a book: python -m retrieval build BOOK… --out DIR

Also: search DIR QUESTION, evaluate DIR TESTSET, compare TESTSET BOOK…;
`python -m retrieval COMMAND --help`.
"""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from common.cli import argument, make_app, option
from common.language import either, in_chinese
from data.cli.arguments import Books, CacheFolder
from data.index_folder import need_index

app = make_app(
    no_args_is_help=True,
    help=either("教材的索引：retrieval build 教材… --out 目录", __doc__),
)
# In a file or a pipe the tables would be cut to 80 columns, and their intervals with them.
console = Console(width=None if sys.stdout.isatty() else 140)
errors = Console(stderr=True)

EncoderOption = Annotated[
    Path | None,
    option(
        "双塔模型（bge-small-zh、e5……）的目录或魔搭模型名：按意思检索",
        "bi-encoder (bge-small-zh, e5 …), a directory or ModelScope id: search by meaning",
    ),
]
RerankerOption = Annotated[
    Path | None, option("重排模型的目录或魔搭模型名", "cross-encoder, a directory or ModelScope id")
]
FirstOption = Annotated[
    int | None,
    option("重排前几个（默认 30）", "passages that the reranker reads (30 by default)", min=2),
]


def _model(named: Path | None) -> Path | None:
    from retrieval.model_directory import model_directory

    return model_directory(named) if named else None


@contextmanager
def _told() -> Iterator[None]:
    """Known errors end the program with their message and exit code 1."""
    try:
        yield
    except (
        ValueError,
        OSError,
    ) as error:  # BookError, IndexFileError, TestSetError are ValueErrors
        told = either("错误：", "error: ")
        errors.print(f"[red]{told}[/]{escape(str(error))}", highlight=False, soft_wrap=True)
        raise typer.Exit(1) from error


@app.command()
@in_chinese("建 RETRIEVAL_DIR 所指的索引。")
def build(
    books: Books,
    out: Annotated[Path, option("索引的目录", "folder of the index")],
    encoder: EncoderOption = None,
    min_chars: Annotated[int | None, option("一个片段的", "of a passage", min=1)] = None,
    max_chars: Annotated[int | None, option("一个片段的", "of a passage", min=50)] = None,
    keep_going: Annotated[
        bool, option("读不了的书报出名字，跳过", "name and skip books that fail", "--keep-going")
    ] = False,
    cache: CacheFolder = Path(".cache/data"),
) -> None:
    """Make the index that RETRIEVAL_DIR names."""
    from data.books import BookError, EmptyBookError, find_books, read_book, unread_files
    from data.cache import Cache
    from data.losses import TEXT, Loss, lines_of
    from data.reading import keep_going_hint, test_set_note
    from retrieval.build import MAX_CHARS, MIN_CHARS, IndexSettings, build_index

    with _told():
        settings = IndexSettings(min_chars or MIN_CHARS, max_chars or MAX_CHARS)
        if settings.min_chars > settings.max_chars:
            low, high = settings.min_chars, settings.max_chars
            raise ValueError(
                either(
                    f"--min-chars {low} 比 --max-chars {high} 大：改小它",
                    f"--min-chars {low} is above --max-chars {high}: lower it",
                )
            )
        with errors.status(either("索引", "index")) as status:
            found, losses = find_books(books), unread_files(books)
            readable, notes = [], []
            for path in found:
                status.update(either(f"读 {path.name}", f"reading {path.name}"))
                try:
                    book = read_book(path, Cache(cache))
                    lost = list(book.losses)
                    readable.append(path)
                    if note := test_set_note(path.name, book.text):
                        notes.append(note)
                except BookError as error:
                    empty = isinstance(error, EmptyBookError) and len(found) > 1
                    if not empty and not keep_going:
                        raise BookError(f"{error}{keep_going_hint(found)}") from error
                    lost = [Loss(TEXT, str(error).removeprefix(str(path)).lstrip("：: "))]
                if lost:
                    losses.setdefault(path.name, []).extend(lost)
            if not readable:
                none = either("没有一本书读得出文字", "none of the books has text that can be read")
                raise ValueError("\n".join([none, *lines_of(losses, len(found))]))
            manifest, changed = build_index(  # what was read a moment ago comes from the cache
                readable, out, settings, Cache(cache), _model(encoder), status.update
            )
    for line in [*notes, *lines_of(losses, len(found))]:
        errors.print(line, style="yellow", highlight=False, soft_wrap=True)
    counts = manifest.counts
    passages, characters = counts["passages"], counts["characters"]
    console.print(
        either(
            f"{out}：{passages:,.0f} 个片段，{characters:,.0f} 字，{manifest.seconds:.1f} 秒"
            + ("" if changed else "；没有变化"),
            f"{out}: {passages:,.0f} passages, {characters:,.0f} characters, "
            f"{manifest.seconds:.1f} s" + ("" if changed else "; nothing changed"),
        ),
        highlight=False,
        soft_wrap=True,
    )


@app.command()
@in_chinese("显示为一个问题找到的片段、得分和在教材里的位置。")
def search(
    directory: Annotated[Path, argument("索引的目录", "folder of the index")],
    question: Annotated[str, argument("要找什么", "what to look for")],
    count: Annotated[int, option("显示几个片段", "passages to show", min=1)] = 3,
    encoder: EncoderOption = None,
    reranker: RerankerOption = None,
    rerank_first: FirstOption = None,
) -> None:
    """Show the passages found for a question, with scores and their place in the book."""
    from retrieval.rerank import FIRST
    from retrieval.search import Retriever

    with _told():
        first = rerank_first or FIRST
        need_index(directory)
        retriever = Retriever.load(directory, _model(encoder), _model(reranker), None, first)
        (hits,) = retriever.search([question], count)
    if not hits:
        errors.print(
            either("没有一个片段与问题有共同的词", "no passage shares a word with the question"),
            style="yellow",
        )
        raise typer.Exit(1)
    for number, hit in enumerate(hits, 1):
        place = f"{hit.passage.place} [{hit.passage.start}]"
        console.rule(
            escape(f"{number}. {retriever.method} {hit.score:.3f} · {place}"), align="left"
        )
        console.print(hit.passage.text, markup=False, highlight=False)


@app.command()
@in_chinese("每种方法的 Recall、MRR 和 nDCG，带 95 % 区间，以及为什么没找到。")
def evaluate(
    directory: Annotated[Path, argument("索引的目录", "folder of the index")],
    testset: Annotated[
        Path,
        argument("问题，知道出处的带上 `evidence`", "questions, with `evidence` where it is known"),
    ],
    encoder: EncoderOption = None,
    reranker: RerankerOption = None,
    rerank_first: FirstOption = None,
    misses: Annotated[int, option("解释几道没找到的题", "missed questions to explain", min=0)] = 5,
) -> None:
    """Recall, MRR and nDCG of each method, with 95 % intervals, and why passages were missed."""
    from retrieval.evaluate import MEASURES, evaluate_methods, read_evaluation_set
    from retrieval.rerank import FIRST
    from retrieval.search import Retriever

    with _told(), errors.status(either("检索", "searching")):
        first = rerank_first or FIRST
        need_index(directory)
        retriever = Retriever.load(directory, _model(encoder), _model(reranker), None, first)
        asked = read_evaluation_set(testset, retriever.passages)
        outcomes = evaluate_methods(retriever, asked)
    known = sum(item.how == "evidence" for item in asked)
    title = either(
        f"{testset.name}：{len(asked)} 题，{known} 题写明了出处",
        f"{testset.name}: {len(asked)} questions, evidence known of {known}",
    )
    table = Table(either("方法", "method"), *MEASURES, either("毫秒/题", "ms"), title=title)
    for outcome in outcomes:
        cells = [f"{v.mean:.2f} ({v.low:.2f}–{v.high:.2f})" for v in outcome.values]
        table.add_row(outcome.method, *cells, f"{outcome.milliseconds:.2f}")
    console.print(table)
    unknown = sum(item.how == "overlap" and not item.right for item in asked)
    if unknown:
        told = either(
            f"{unknown} 题既没有写出处（`evidence`），也没有片段含参考答案一半的用词：可能是另一本"
            "书，或者答案换了说法。它们算作没找到，所以上面的数字说明不了检索的好坏。",
            f"Questions without `evidence`, of whose reference answer no passage holds half the "
            f"terms: {unknown}. Another book, or answers in other words. They count as missed, so "
            "these figures do not say how good the search is.",
        )
        errors.print(told, style="yellow", highlight=False, soft_wrap=True)
    for line in outcomes[-1].missed[:misses]:
        console.print(line, markup=False, highlight=False, soft_wrap=True)


@app.command()
@in_chinese("一张表：片段大小和模型，多好、多快、占多少内存、为什么没找到。")
def compare(
    testset: Annotated[
        Path,
        argument("问题，知道出处的带上 `evidence`", "questions, with `evidence` where it is known"),
    ],
    books: Books,
    max_chars: Annotated[
        list[int] | None, option("一个片段的；可以给多次", "of a passage; repeatable", min=50)
    ] = None,
    encoder: Annotated[
        list[Path] | None, option("双塔模型；可以给多次", "bi-encoders; repeatable")
    ] = None,
    reranker: Annotated[
        list[Path] | None, option("重排模型；可以给多次", "cross-encoders; repeatable")
    ] = None,
    rerank_first: Annotated[
        list[int] | None,
        option("重排前几个；可以给多次", "passages that a reranker reads; repeatable", min=2),
    ] = None,
    misses: Annotated[
        int, option("最好的方法：解释这么多道", "of the best: explain so many", min=0)
    ] = 5,
    out: Annotated[Path | None, option("各行存成 JSON", "the rows as JSON")] = None,
    cache: CacheFolder = Path(".cache/data"),
) -> None:
    """One table: passage sizes and models, how well, how fast, how much memory, why they miss."""
    import json
    from dataclasses import asdict

    from data.books import find_books
    from data.cache import Cache
    from retrieval.build import MAX_CHARS
    from retrieval.compare import compare as run
    from retrieval.evaluate import MEASURES, reason_in_words
    from retrieval.rerank import FIRST

    with _told(), errors.status(either("索引", "index")) as status:
        sizes = max_chars or [MAX_CHARS]
        models = [[_model(each) for each in given or []] for given in (encoder, reranker)]
        firsts = rerank_first or [FIRST]
        found = find_books(books)
        rows = list(run(found, testset, sizes, *models, Cache(cache), firsts, status.update))
    columns = either(
        ("字符", "方法", *MEASURES, "毫秒", "MB", "前 3 个里没有"),
        ("chars", "method", *MEASURES, "ms", "MB", "missed @3"),
    )
    table = Table(*columns, title=testset.name)
    for row in rows:
        cells = [f"{v.mean:.2f}\n{v.low:.2f}–{v.high:.2f}" for v in row.outcome.values]
        told = ((reason_in_words(why), count) for why, count in row.reasons.most_common())
        why = "\n".join(f"{count} {words}" for words, count in told)
        method = f"{row.method}\n{row.models}"
        costs = f"{row.outcome.milliseconds:.1f}", f"{row.memory / 1e6:,.1f}"
        table.add_row(f"{row.max_chars}\n×{row.passages}", method, *cells, *costs, why)
    console.print(table)
    best = max(rows, key=lambda row: row.outcome.values[-1].mean)
    console.print(
        either(
            f"nDCG 最好的：{best.max_chars} 字符，{best.method} {best.models}",
            f"best nDCG: {best.max_chars} characters, {best.method} {best.models}",
        )
    )
    for line in best.outcome.missed[:misses]:
        console.print(line, markup=False, highlight=False, soft_wrap=True)
    if out:
        told = [
            {
                "max_chars": row.max_chars,
                "passages": row.passages,
                "method": row.method,
                "models": row.models,
                **{k: asdict(v) for k, v in zip(MEASURES, row.outcome.values, strict=True)},
                "ms_a_question": round(row.outcome.milliseconds, 2),
                "megabytes": round(row.memory / 1e6, 2),
                "missed_at_3": dict(row.reasons),
            }
            for row in rows
        ]
        out.write_text(json.dumps(told, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    from data.needs import missing_named

    with missing_named("retrieval"):
        app()
