"""From books to question-answer pairs: python -m data build BOOK… --out DIR

Also: compose DIR, check-leak TRAIN TESTSET, show DIR, stats FILE; `python -m data COMMAND --help`
lists the options.
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

from common.cli import argument, make_app, option
from common.language import either, in_chinese
from data.cli.build import build
from data.cli.compose import compose
from data.cli.console import console, reported_errors, warn
from data.labels import label
from data.needs import missing_named

app = make_app(
    no_args_is_help=True,
    help=either("从教材到问答对：data build 教材… --out 目录", __doc__),
)
app.command()(build)
app.command()(compose)


@app.command("check-leak")
@in_chinese("训练集或索引里有没有测试题；有就以 1 退出。")
def check_leak(
    train: Annotated[
        Path,
        argument(
            "训练数据，自己的或别人的：jsonl、json、csv、docx；或索引的目录",
            "training rows, ours or anybody's: jsonl, json, csv, docx; or an index's folder",
        ),
    ],
    testset: Annotated[Path, argument("docx、xlsx、jsonl 等", "docx, xlsx, jsonl, …")],
    show_rows: Annotated[int, option("显示几个例子", "examples to print", "--show")] = 5,
    encoder: Annotated[
        Path | None,
        option(
            "双塔模型的目录：意思相同的行也找出来",
            "bi-encoder's directory: name rows that mean the same, too",
        ),
    ] = None,
    cosine: Annotated[
        float | None,
        option(
            "--encoder 的阈值；默认：由测试题自己决定",
            "of --encoder; default: by the test questions themselves",
        ),
    ] = None,
) -> None:
    """Say whether a training set, or an index, holds test questions; exit code 1 if it does."""
    from data.contamination import check, texts_of
    from data.formats import read_told

    with reported_errors():
        tests = [(pair.question, pair.answer) for pair in read_told(testset)]
        if train.is_dir() and (train / "train.jsonl").is_file():
            train = train / "train.jsonl"  # the folder of a build
        if train.is_dir():
            if not (train / "passages.jsonl").is_file():
                raise ValueError(
                    either(
                        f"{train}：里面没有 train.jsonl（data build）或 passages.jsonl"
                        "（retrieval build）",
                        f"{train}: no train.jsonl (data build) and no passages.jsonl (retrieval "
                        "build) in it",
                    )
                )
            _check_index(train, tests, show_rows)
            return
        rows = [texts_of(p) for p in read_told(train) if p.learn]
        outcome = check(rows, tests)
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
    table = Table(*either(zh, en))
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
    if not encoder:
        console.print(
            either(
                "只比了字面：换了说法、翻译过的题看不出来，加 --encoder 编码器目录 再按意思看一遍",
                "compared by letters: questions in other words or another language are found by "
                "--encoder DIRECTORY only",
            ),
            style="dim",
            soft_wrap=True,
        )
    if encoder:
        _second_opinion(encoder, cosine, rows, tests, [hit.row for hit in outcome.leaks], show_rows)
    if leaks:
        raise typer.Exit(1)


def _check_index(directory: Path, tests: list[tuple[str, str]], show_rows: int) -> None:
    from data.index_leaks import check_index

    outcome = check_index(directory, tests)
    found = {test for leak in outcome.leaks for test in leak.tests}
    held, verbatim = len(outcome.leaks), outcome.verbatim
    console.print(
        either(
            f"{directory} 的 {outcome.passages} 个片段里有 {held} 个含有 {len(tests)} 道测试题中 "
            f"{len(found)} 道的问题或答案；{verbatim} 个参考答案"
            "逐字出现在其中，可能就是教材原话",
            f"{held} of {outcome.passages} passages in {directory} hold {len(found)} of "
            f"{len(tests)} test questions or their answers; {verbatim} reference answers stand in "
            "it word for word, as the book may say itself",
        ),
        soft_wrap=True,
    )
    if not outcome.leaks:
        return
    zh, en = ("比例", "部分", "片段", "测试题"), ("share", "part", "passage", "test question")
    table = Table(*either(zh, en))
    for leak in outcome.leaks[:show_rows]:
        cells = (label(leak.part), f"{leak.place}\n{leak.text[:200]}", tests[leak.tests[0]][0])
        table.add_row(f"[red]{leak.share:.2f}[/]", *map(escape, cells))
    console.print(table)
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
        either(
            f"按意思（{encoder.name}，余弦 {least:.3f} 以上）：另有 {len(found)} 行可能在问测试题，"
            "请读一读",
            f"by meaning ({encoder.name}, cosine {least:.3f} or more): {len(found)} other rows may "
            "ask a test question; read them",
        ),
        soft_wrap=True,
    )
    zh, en = (
        ("余弦", "行数", "训练行", "测试题"),
        ("cosine", "rows", "training row", "test question"),
    )
    table = Table(*either(zh, en))
    times = Counter(near.text for near in found)
    first = {near.text: near for near in reversed(found)}
    for near in sorted(first.values(), key=lambda near: -near.similarity)[:shown]:
        test = escape(questions[near.test])
        table.add_row(f"{near.similarity:.3f}", str(times[near.text]), escape(near.text), test)
    if found:
        console.print(table)


@app.command()
@in_chinese("把问答对放在它们的出处旁边看。")
def show(
    directory: Annotated[Path, argument("build 写出的目录", "folder that build wrote")],
    section: Annotated[
        str, option("章节标题路径的一部分", "part of a section's heading path")
    ] = "",
    kind: Annotated[str, option("问题的种类", "question kind")] = "",
    limit: Annotated[int, option("显示几段；0：全部", "chunks to print; 0: all")] = 5,
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
@in_chinese("审查者与人的判断有多一致：Cohen 的 kappa，以及它丢掉的。")
def agree(
    verdicts: Annotated[
        Path,
        argument(
            "jsonl，每行有 question、answer、chunk、verdict（good、usable、bad）",
            "jsonl of question, answer, chunk, verdict (good, usable, bad)",
        ),
    ],
    review: Annotated[
        str, option("teacher、vllm 或 fluency", "teacher, vllm or fluency")
    ] = "teacher",
    model: Annotated[
        str, option("teacher：模型名；其余：目录", "teacher: model name; else a directory")
    ] = "",
    base_url: Annotated[str, option("teacher：接口地址", "teacher: endpoint")] = "",
    key_env: Annotated[
        str, option("teacher：存放密钥的变量名", "teacher: variable with the key")
    ] = "OPENAI_API_KEY",
    prompts: Annotated[
        Path | None, option("放着自己的 review.md 的目录", "folder with an own review.md")
    ] = None,
    engine: Annotated[str, option("vllm：引擎参数，JSON", "vllm: engine arguments as JSON")] = "{}",
) -> None:
    """How far a reviewer agrees with people's verdicts: Cohen's kappa, and its drops."""
    from data.review import agreement, read_verdicts
    from data.reviewers import make_reviewer

    told = {"model": model, "prompts": prompts, "engine": engine}
    with reported_errors():
        rows = read_verdicts(verdicts)
        told |= {"base_url": base_url, "key_env": key_env} if review == "teacher" else {}
        reviewer = make_reviewer(review, told)
        failed = reviewer.failed([row for row, _ in rows])
        console.print_json(json.dumps(agreement([said for _, said in rows], failed)))
        if unrated := failed.count(None):
            why = reviewer.problems[0]
            warn(either(f"{unrated} 对没有评成（{why}）", f"{unrated} pairs not rated ({why})"))
        if unrated == len(failed):
            raise typer.Exit(1)


@app.command()
@in_chinese("训练或测试文件的长度、重复和 ASCII 词，以 JSON 给出。")
def stats(
    file: Annotated[
        Path,
        argument("任一种写法的 jsonl，或测试集 docx", "jsonl in any shape, or a test set docx"),
    ],
    tokenizer: Annotated[
        Path | None, option("模型目录：也数词元", "model directory: count tokens too")
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
    with missing_named("data"):
        app()
