"""python -m data build: the command, and what it prints."""

from collections.abc import Mapping, Sequence
from enum import Enum
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.table import Table

from common.cli import option
from common.language import either, in_chinese
from data.books import find_books, unread_files
from data.cache import Cache
from data.cli.arguments import Books, CacheFolder
from data.cli.console import ProgressBars, console, reported_errors, warn
from data.cli.options import unused_options, with_options
from data.context import BuildContext
from data.filters import FILTERS
from data.fluency import not_measured
from data.labels import label
from data.making import cache_key
from data.needs import require_packages
from data.options import settings_from
from data.output import more_pairs
from data.reading import chunk_batches
from data.reviewers import make_reviewer
from data.row_counts import explained
from data.settings import BuildInputs, BuildSettings
from data.sources.prompts import ModelSettings, Style
from data.sources.registry import SOURCES
from data.sources.rules import Level

PROFILE_FIGURES = (
    "chars_mean",
    "chars_median",
    "chars_p90",
    "latin_words_mean",
    "without_latin",
    "code_share",
)
SourceName = Enum("SourceName", {name: name for name in SOURCES}, type=str)


@with_options(BuildInputs, BuildSettings, *(entry.settings for entry in SOURCES.values()))
@in_chinese("把教材做成训练数据：问答对，去重，排除测试题，按章节划分。")
def build(
    context: typer.Context,
    books: Books,
    out: Annotated[Path, option("训练数据写到哪个目录", "folder for the training data")],
    source: Annotated[
        SourceName,
        option("rules 不需要模型；none：只用 --merge", "rules need no model; none: only --merge"),
    ] = SourceName.rules,
    cache: CacheFolder = Path(".cache/data"),
    dry_run: Annotated[
        bool, option("只估计调用次数、词元和时间", "only estimate calls, tokens, time")
    ] = False,
    **options: Any,
) -> None:
    """Turn books into train, dev and calibration data with a report."""
    with reported_errors():
        require_packages()
        from data.pipeline import build as run  # numpy: not for --help

        entry = SOURCES[source.value]
        told = settings_from(entry.settings, options, f"--source {source.value}")
        for message in unused_options(_given(context), source.value, told):
            if not options["review"]:  # the reviewer takes options of the other sources
                warn(message)
        to_compose = "to_compose" not in told.unused() and getattr(told, "to_compose", False)
        if to_compose and "wordings" not in _given(context):
            # Each wording would be answered 24 times; three answers a question are rows enough.
            options["wordings"] = 0
            told = settings_from(entry.settings, options)
        settings = settings_from(BuildSettings, options)
        inputs = settings_from(BuildInputs, {**options, "books": find_books(books)})
        if inputs.like and isinstance(told, ModelSettings):
            told = told.model_copy(update={"style": _style_of(inputs.like)})
        with ProgressBars() as bars:
            work = BuildContext(entry.make(told), settings, Cache(cache), bars)
            work.to_compose = to_compose
            work.funnel.losses.update(unread_files(books))
            if settings.review:
                work.reviewer = make_reviewer(settings.review, options)
            if settings.review == "fluency":
                rules = getattr(told, "rules", None) is Level.strict and not inputs.merge
                if unmeasured := not_measured(Path(options["model"]), strict_rules=rules):
                    warn(unmeasured)
            table = _estimate(inputs.books, work) if dry_run else None
            result = None if dry_run else run(inputs, out, work)
    if table:
        console.print(table)
    if result:
        _print_result(result)
        _print_next(result, _composing(told, inputs) if work.to_compose else "")


def _style_of(testset: Path) -> Style:
    """Length and style words of the prompt; nothing else of a test set reaches a model."""
    from data.formats import read_told
    from data.like import style_of, target_of

    rows = [(pair.question, pair.answer) for pair in read_told(testset)]
    return style_of(target_of(testset.name, rows))


def _given(context: typer.Context) -> list[str]:
    """Field names of the options that the user gave."""
    # By name: Typer brings an enumeration of its own beside click's.
    sources = {name: context.get_parameter_source(name) for name in context.params}
    return [name for name, source in sources.items() if source and source.name == "COMMANDLINE"]


def _estimate(books: Sequence[Path], context: BuildContext) -> Table:
    source = context.source
    chunks = [chunk for batch in chunk_batches(books, context) for chunk in batch]
    new = [c for c in chunks if context.cache.get(cache_key(source, c)) is None]
    cost = source.estimate(new)
    table = Table(
        either("估算", "estimate"),
        source.name,
        title=either("只估算：什么也没有问", "dry run: nothing was asked"),
    )
    about, before = either("约 ", "about "), len(chunks) - len(new)
    table.add_row(
        label("chunks"),
        either(
            f"{len(chunks)}（{before} 块以前做过，{len(new)} 块是新的）",
            f"{len(chunks)} ({before} made before, {len(new)} new)",
        ),
    )
    table.add_row(either("调用次数", "calls"), str(cost.calls))
    table.add_row(either("提示词词元", "prompt tokens"), f"{about}{cost.prompt_tokens}")
    table.add_row(either("回答词元", "answer tokens"), f"{about}{cost.answer_tokens}")
    seconds = f"{about}{cost.seconds:.0f}"
    time = either(f"{seconds} 秒（{cost.basis}）", f"{seconds} s ({cost.basis})")
    table.add_row(either("时间", "time"), time)
    return table


def _print_result(result: Any) -> None:
    headings = either("步骤", "step"), either("数量", "count"), either("去掉的", "lost")
    table = Table(*headings, title=str(result.out))
    for step in result.report["funnel"]:
        lost = ", ".join(f"{n} {_reason(reason)}" for reason, n in step["lost"].items())
        table.add_row(label(step["name"]), str(step["count"]), lost)
    console.print(table)
    train, dev, calibration = (result.splits[name] for name in ("train", "dev", "calibration"))
    covered = result.report["coverage"]
    gave, sections = covered["with_pairs"], covered["sections"]
    dense = covered["pairs_per_1000_characters"]
    _say(
        either(
            f"训练 {train} 行，验证 {dev} 行，校准 {calibration} 行；"
            f"{sections} 个小节里有 {gave} 个做出了问答，每千字符 {dense:g} 个",
            f"train {train}, dev {dev}, calibration {calibration} rows; "
            f"{gave} of {sections} sections gave a pair, {dense:g} for 1,000 characters",
        )
    )
    _say(explained(result.report["rows"]))
    if result.report["profiles"]:
        console.print(_profiles(result.report["profiles"]))
    if shown := result.report["passages"]:
        stands = "; ".join(f"{count} {label(name)}" for name, count in shown.items())
        _say(either(f"题目前：{stands}", f"before the questions: {stands}"))
    if liked := result.report["like"]:
        before, after = liked["distance_before"], liked["distance"]
        own, wanted = liked["figures"]["chars_mean"]
        words, wanted_words = liked["figures"]["latin_words_mean"]
        _say(
            either(
                f"与 {liked['name']} 的距离 {before} → {after}（0 是一样）：答案 {own:g} 字符、"
                f"{words:g} 个英文词；目标 {wanted:g} 字符、{wanted_words:g} 个",
                f"distance to {liked['name']} {before} → {after} (0: alike): answers have {own:g} "
                f"characters and {words:g} Latin words; the target {wanted:g} and {wanted_words:g}",
            )
        )
    for leak in result.report["leaks"]:
        nearest = leak["survivors"][0]["similarity"] if leak["survivors"] else 0
        name, removed = leak["testset"], leak["removed"]
        _say(
            either(
                f"{name}：去掉了 {removed} 个与它太近的问答；留下的里最近的相似度 {nearest}",
                f"{name}: {removed} pairs near it removed; closest that stays: {nearest}",
            )
        )
    for warning in result.report["warnings"]:
        warn(warning)
    if not result.report["leaks"]:
        warn(
            either(
                "没有排除任何测试集（--exclude 测试集.docx）",
                "no test set was excluded (--exclude TESTSET.docx)",
            )
        )
    if not result.changed:
        _say(either("与上次相比没有变化", "nothing changed since the last build"))
    _say(f"{either('报告：', 'report: ')}{result.out / 'report.html'}")


def _composing(told: Any, inputs: BuildInputs) -> str:
    return f"--model {told.model} --index {inputs.with_passages or 'index'}"


def _print_next(result: Any, composing: str) -> None:
    """composing: what `data compose` is told, where the answers are to be written anew."""
    whole = result.splits["train"] and result.splits["dev"]
    if not whole:
        _say(_before_training(result.splits, more_pairs(result.report["source"])))
    if composing and result.splits["train"]:
        command = f"bash run.sh data compose {result.out} --out {result.out}-composed {composing}"
        told = either(
            "接下来，重答（现在的答案只是占位，有的有毛病，不要拿来训练）：",
            "next, answer anew (the answers are stand-ins, some with faults: do not train on "
            "them): ",
        )
        _say(f"{told}{command}")
    if composing or not whole:
        return
    recipe = either("配方.yaml", "RECIPE.yaml")
    command = f"bash run.sh train run train/recipes/{recipe} dataset_dir={result.out}"
    _say(f"{either('接下来，微调：', 'next, fine-tune on it: ')}{command}")


def _before_training(splits: Mapping[str, int], more: str) -> str:
    """What to do first where `train run` would stop: it chooses its checkpoint by dev rows."""
    if not splits["train"]:
        return either(
            f"没有可以训练的行：给更长的书，{more}",
            f"no train rows, so nothing to fine-tune on: give a longer book, {more}",
        )
    without = "dev_file=null" + ("" if splits["calibration"] else " calibration_file=null")
    return either(
        f"验证集是空的，train run 要靠它挑检查点：给更长的书，{more}；"
        "节数够多就加大 --dev；"
        f"或训练时加 {without}，留出每个问答的最后一种问法",
        "the dev split is empty, and train run chooses its checkpoint by it: give a longer book, "
        f"{more}; or, of many sections, a larger --dev; or train with "
        f"{without}, which holds out the last wording of each pair",
    )


def _profiles(told: dict[str, Any]) -> Table:
    """Answers of the train rows beside the test sets', by figures alone."""
    title = either("答案的样子：训练与测试集", "answers: training beside the test sets")
    table = Table("", label("train"), *(each["name"] for each in told["testsets"]), title=title)
    for name in PROFILE_FIGURES:
        form = "{:.0%}" if name in ("without_latin", "code_share") else "{:.1f}"
        cells = (form.format(each[name]) for each in (told["train"], *told["testsets"]))
        table.add_row(label(name), *cells)
    return table


def _say(text: str) -> None:
    console.print(text, markup=False, highlight=False, soft_wrap=True)


def _reason(name: str) -> str:
    """A reason as it is called on the command line too (--skip-rule), and what it means."""
    return either(f"{label(name)}（{name}）" if name in FILTERS else label(name), name)
