"""The data section of an experiment's report: where the rows come from, and whether test questions
are among them."""

from collections.abc import Sequence
from typing import Any

from common.language import either
from judging.document import Document, Grid, Heading, Paragraph
from judging.known_testsets import plain
from judging.run_files import RunFiles, answer_of, question_of

SAMPLES = 3  # rows shown


def add_data(
    document: Document, runs: Sequence[RunFiles], judged: Sequence[dict[str, Any]]
) -> None:
    """Source, counts, leak check and samples of each run's data; of data that runs share, once.
    judged: the rows of a report, whose questions must not be among the data."""
    document.add(Heading(2, either("数据", "Data")))
    seen: list[Any] = []
    for run in runs:
        if _key(run) in seen:
            continue
        seen.append(_key(run))
        if len(runs) > 1:
            alike = [each.folder.name for each in runs if _key(each) == _key(run)]
            document.add(Paragraph(either("、", ", ").join(alike) + either("：", ":")))
        _add_source(document, run)
        document.add(*map(Paragraph, leaks(run, judged)))
        _add_samples(document, run.rows())


def _key(run: RunFiles) -> Any:
    return run.data, str(run.data_dir), run.training.settings.get("train_file")


def _add_source(document: Document, run: RunFiles) -> None:
    data = run.data
    if data is None:
        document.add(
            Paragraph(
                either(
                    "训练数据没有 manifest：来历不明。",
                    "The training data has no manifest: its origin is unknown.",
                )
            )
        )
        return
    inputs = "; ".join(f"{each.path} ({each.bytes:,} B)" for each in data.inputs)
    source = str(data.settings.get("source") or "?")
    document.add(Paragraph(f"{data.name}: {inputs}"))
    cells = [[_counted(name), f"{value:g}"] for name, value in data.counts.items()]
    cells.append([either("做题的方法", "made by"), source])
    excluded = either("、", ", ").join(data.settings.get("excluded", {})) or either("无", "none")
    cells.append([either("已排除的测试集", "test sets kept out"), excluded])
    if usage := run.data_report().get("usage"):
        cells.append([
            either("调用与费用", "calls and cost"),
            f"{usage.get('calls', 0):,} · {usage.get('prompt_tokens', 0):,} + "
            f"{usage.get('answer_tokens', 0):,} tokens · {usage.get('cost', 0):g}",
        ])  # fmt: skip
    document.add(Grid([either("项", "item"), either("数", "count")], cells))


def leaks(run: RunFiles, judged: Sequence[dict[str, Any]]) -> list[str]:
    """What the build's leak check found, and which judged questions stand in the training file."""
    said = []
    for each in run.data_report().get("leaks") or []:
        nearest = max((s["similarity"] for s in each.get("survivors") or []), default=0)
        limit = each["thresholds"]["question"]
        said.append(
            either(
                f"查漏：{each['testset']} {each['tests']} 题，去掉 {each['removed']} 对；"
                f"留下的与测试题最多相似 {nearest:.2f}（问法 {limit:g} 起算泄题）。",
                f"Leaks: {each['testset']}, {each['tests']} questions: {each['removed']} pairs "
                f"removed, the nearest left is {nearest:.2f} alike ({limit:g} is a leak).",
            )
        )
    rows = run.rows()
    if not rows or not judged:
        return said
    trained = {plain(question_of(row)) for row in rows}
    found = [row["question"] for row in judged if plain(row["question"]) in trained]
    if found:
        said.append(
            either(
                f"泄题：评测的 {len(found)} 题原样在训练数据里，例如“{found[0]}”：分数不能当真。",
                f"LEAK: {len(found)} judged questions stand in the training data, such as "
                f'"{found[0]}": the score means nothing.',
            )
        )
    else:
        said.append(
            either(
                f"评测的 {len(judged)} 题没有一题原样在 {len(rows)} 行训练数据里。",
                f"None of the {len(judged)} judged questions stands in the {len(rows)} training "
                "rows as it is.",
            )
        )
    return said


def _add_samples(document: Document, rows: Sequence[dict[str, Any]]) -> None:
    """Further wordings of a question have the same answer: one of them is shown."""
    different: dict[str, dict[str, Any]] = {}
    for row in rows:
        different.setdefault(answer_of(row), row)
    samples = list(different.values())[:SAMPLES]
    if samples:
        document.add(Paragraph(either("样例：", "Samples:")))
        cells = [[question_of(row), answer_of(row)] for row in samples]
        document.add(Grid([either("问", "question"), either("答", "answer")], cells))


def _counted(name: str) -> str:
    """What `python -m data` counted, in words."""
    return {
        "chunks": either("文本块", "chunks of text"),
        "made": either("做出的问答", "pairs made"),
        "kept": either("清洗、去重、去掉泄题之后", "pairs kept"),
    }.get(name, name)
