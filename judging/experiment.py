"""The experiment's report, to read and to hand in: data, recipe, curves, scores, cases, conclusion.

    bash run.sh judging experiment out/NAME                       reports of its models are found
    bash run.sh judging experiment out/full out/lora out/qlora    methods side by side
    bash run.sh judging experiment out/NAME --report report/BASE --report report/TUNED

Writes experiment.md, .html and .docx. Every sentence of the conclusion follows from a number in the
report; what was not measured is said to be missing.
"""

import random
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from common.cli import make_app
from common.language import either, in_chinese
from common.manifest import Manifest
from judging.ability import sentences
from judging.compare import compared
from judging.compare_page import score_blocks
from judging.document import Code, Document, Grid, Heading, Paragraph, Picture, write
from judging.metrics import METRICS
from judging.read_report import Report, ReportError, read_report, read_reports, same_questions
from judging.run_files import RunError, RunFiles, answer_of, question_of, read_run
from judging.verdicts import verdict

CASES = 2  # each of greatest wins, greatest losses and random ones
SAMPLES = 3  # rows of the data
_RECIPE = (
    "finetuning_type", "lora_rank", "lora_alpha", "lora_target", "quantization_bit",
    "learning_rate", "num_train_epochs", "per_device_train_batch_size",
    "gradient_accumulation_steps", "cutoff_len", "seed",
)  # fmt: skip

app = make_app()


@app.command()
@in_chinese("写出一次训练的报告，或几次并排。")
def main(
    runs: Annotated[
        list[Path],
        typer.Argument(
            help=either("`train run` 的目录：out/名字", "Folders of `train run`: out/NAME")
        ),
    ],
    report: Annotated[
        list[Path] | None,
        typer.Option(
            help=either(
                "本地评测的报告，基座在前；不给：在 --reports 里找",
                "The local judge's reports, base first; unset: found in --reports",
            )
        ),
    ] = None,
    reports: Annotated[
        Path, typer.Option(help=either("本地评测写在哪里", "Where the local judge writes"))
    ] = Path("report"),
    out: Annotated[
        Path | None,
        typer.Option(help=either("不给：第一个训练的目录", "Unset: the first run's folder")),
    ] = None,
    name: Annotated[str, typer.Option(help=either("文件名", "Name of the files"))] = "experiment",
) -> None:
    """Write the report of one training run, or of several side by side."""
    try:
        found = [read_run(folder) for folder in runs]
        judged = [read_report(each) for each in report] if report else judged_models(found, reports)
        document = experiment(found, judged)
        paths = write(document, out or runs[0], name)
    except (RunError, ReportError, OSError) as error:
        typer.secho(str(error), err=True, fg="red")
        raise typer.Exit(2) from None
    for path in paths:
        typer.echo(str(path))


def judged_models(runs: Sequence[RunFiles], folder: Path) -> list[Report]:
    """The newest report of the base and of each model of the runs, in that order."""
    reports, _ = read_reports(folder)
    wanted = [Path(runs[0].base), *(run.folder / stage for run in runs for stage in run.stages)]
    newest = {each.model_dir.resolve(): each for each in reports if each.model_dir}
    return [newest[path.resolve()] for path in wanted if path.resolve() in newest]


def experiment(runs: Sequence[RunFiles], judged: Sequence[Report]) -> Document:
    """The report. judged: the base's report first, where there is one. Raises ReportError when the
    reports share no question."""
    document = Document()
    demo = any(run.training.demo for run in runs)
    title = " · ".join(run.folder.name for run in runs)
    document.add(Heading(1, either(f"微调实验报告：{title}", f"Fine-tuning experiment: {title}")))
    if demo:
        document.add(
            Paragraph(
                either(
                    "演示模型：分数只说明流程是通的，不说明质量。",
                    "Demo model: scores show the flow, not quality.",
                )
            )
        )
    document.add(Heading(2, either("结论", "Conclusion")))
    rows = same_questions(list(judged)) if judged else []
    told = compared(list(judged), rows, list(METRICS.values())) if judged else {}
    document.add(*map(Paragraph, conclusion(runs, judged, told)))
    _add_data(document, runs)
    _add_training(document, runs)
    _add_scores(document, judged, told)
    _add_ability(document, runs)
    _add_cases(document, judged, rows)
    document.add(Heading(2, either("怎样重做", "How to repeat it")))
    for run in runs:
        lines = [f"bash run.sh train run {run.folder}/recipe.yaml"]
        versions = " · ".join(f"{k} {v}" for k, v in run.training.versions.items())
        document.add(Code("\n".join(lines)), Paragraph(versions, note=True))
    return document


def conclusion(
    runs: Sequence[RunFiles], judged: Sequence[Report], told: dict[str, Any]
) -> list[str]:
    """Sentences that follow from the numbers."""
    said = []
    for run in runs:
        if run.verdict:
            v = run.verdict
            word = {
                "better": either("有提升", "better"),
                "same": either("看不出差别", "no difference shown"),
                "worse": either("变差", "worse"),
            }[v["verdict"]]
            said.append(
                either(
                    f"{run.folder.name}：dev 集 {v['questions']} 题上与基座相比{word}："
                    f"{v['base']:.3f} → {v['tuned']:.3f}，差 {v['difference']:+.3f}"
                    f"（95 % 区间 {v['low']:+.3f} 到 {v['high']:+.3f}）。",
                    f"{run.folder.name}: on {v['questions']} dev questions, {word} than its base: "
                    f"{v['base']:.3f} → {v['tuned']:.3f}, difference {v['difference']:+.3f} "
                    f"(95 % interval {v['low']:+.3f} to {v['high']:+.3f}).",
                )
            )
        else:
            said.append(
                either(
                    f"{run.folder.name}：没有在 dev 集上与基座比较过。",
                    f"{run.folder.name}: not compared with its base on dev questions.",
                )
            )
    if len(judged) > 1:
        for report, gap in zip(judged[1:], told["metrics"]["judge"]["differences"], strict=True):
            said.append(
                either(
                    f"测试集上 {report.name} 与 {judged[0].name} 相比：{verdict(gap)}。",
                    f"On the test sets, {report.name} against {judged[0].name}: {verdict(gap)}.",
                )
            )
    for run in runs:
        for each in run.abilities.values():
            told = sentences(each)[0]
            said.append(either(f"{run.folder.name}：{told}。", f"{run.folder.name}: {told}."))
    if judged:
        last = judged[-1].summary.get("conclusion") or {}
        said.append(either(last.get("zh", ""), last.get("en", "")).rsplit("。", 1)[0])
    else:
        said.append(
            either(
                "没有测试集上的评测：bash run.sh 评测一次，再写报告。",
                "No judgement on a test set: run bash run.sh with one, then write this again.",
            )
        )
    return [each for each in said if each]


def _add_data(document: Document, runs: Sequence[RunFiles]) -> None:
    document.add(Heading(2, either("数据", "Data")))
    for run in runs[:1]:
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
        else:
            counts = [[_counted(name), f"{value:g}"] for name, value in data.counts.items()]
            inputs = "; ".join(f"{each.path} ({each.bytes} B)" for each in data.inputs)
            document.add(Paragraph(f"{data.name}: {inputs}"))
            excluded = "、".join(data.settings.get("excluded", {})) or either("无", "none")
            document.add(
                Grid(
                    [either("项", "item"), either("数", "count")],
                    [*counts, [either("已排除的测试集", "test sets kept out"), excluded]],
                )
            )
        samples = run.samples(SAMPLES)
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


def _add_training(document: Document, runs: Sequence[RunFiles]) -> None:
    document.add(Heading(2, either("训练", "Training")))
    header = ["", *(run.folder.name for run in runs)]
    lines = [
        [either("方法", "method"), *(run.method for run in runs)],
        [either("基座", "base"), *(run.base for run in runs)],
        [either("训练行数", "rows"), *(_count(run.training, "train_rows") for run in runs)],
        [either("步数", "steps"), *(_count(run.training, "steps") for run in runs)],
        [either("分钟", "minutes"), *(f"{run.training.seconds / 60:.1f}" for run in runs)],
        [either("显存峰值 GB", "peak GPU memory, GB"),
         *(_gigabytes(run.training.counts.get("peak_device_bytes")) for run in runs)],
        [either("训练损失", "training loss"), *(_loss(run.training) for run in runs)],
        [either("dev：基座 → 微调", "dev: base → tuned"), *(_dev(run) for run in runs)],
    ]  # fmt: skip
    for key in _RECIPE:
        values = [run.training.settings.get(key) for run in runs]
        if any(value is not None for value in values):
            lines.append([key, *("–" if value is None else str(value) for value in values)])
    for stage in sorted({name for run in runs for name in run.stages}):
        sizes = [run.stages[stage].counts.get("bytes") if stage in run.stages else None
                 for run in runs]  # fmt: skip
        if any(sizes):
            label = either(f"{stage} 权重 GB", f"{stage} weights, GB")
            lines.append([label, *map(_gigabytes, sizes)])
    document.add(Grid(header, lines))
    for run in runs:
        if run.curve:
            caption = either("损失与 dev 得分", "loss and dev score")
            document.add(Picture(run.curve, f"{run.folder.name}: {caption}"))


def _add_scores(document: Document, judged: Sequence[Report], told: dict[str, Any]) -> None:
    if not judged:
        return
    document.add(Heading(2, either("得分", "Scores")))
    document.add(*score_blocks(told, judged))


def _add_ability(document: Document, runs: Sequence[RunFiles]) -> None:
    found = {
        run.folder.name if name == "merged" else f"{run.folder.name}/{name}": each
        for run in runs
        for name, each in run.abilities.items()
    }
    if not found:
        return
    document.add(Heading(2, either("通用能力", "General ability")))
    rows = []
    for name, each in found.items():
        gap = each.difference
        rows.append(
            [
                f"{name}\n{'、'.join(each.tasks)}",
                str(each.questions),
                f"{each.base.mean:.1%} [{each.base.low:.1%}, {each.base.high:.1%}]",
                f"{each.tuned.mean:.1%} [{each.tuned.low:.1%}, {each.tuned.high:.1%}]",
                f"{gap.mean:+.1%} [{gap.low:+.1%}, {gap.high:+.1%}]\n{gap.chance}",
                "–" if each.guess is None else f"{each.guess:.0%}",
            ]
        )
    names = either(
        ("题集", "题数", "基座答对", "微调后答对", "差（逐题配对）", "瞎猜"),
        ("task", "questions", "base", "tuned", "difference (paired)", "by chance"),
    )
    document.add(Grid(names, rows))
    for name, each in found.items():
        limits = sentences(each)[1:]
        document.add(*(Paragraph(f"{name}: {line}", note=True) for line in limits))


def _add_cases(
    document: Document, judged: Sequence[Report], rows: Sequence[Sequence[dict[str, Any]]]
) -> None:
    """Answers side by side: greatest wins, greatest losses, and random ones, never only wins."""
    if len(judged) < 2:
        return
    document.add(Heading(2, either("案例", "Cases")))
    gains = [last["score"] - first["score"] for first, last in zip(rows[0], rows[-1], strict=True)]
    for label, chosen in chosen_cases(gains).items():
        for index in chosen:
            first = rows[0][index]
            document.add(Paragraph(f"{label}: {first['question']}"))
            cells = [[either("参考答案", "reference"), "", first["reference"]]]
            for report, each in zip(judged, rows, strict=True):
                answer = each[index]["answer"] or either("（空）", "(empty)")
                cells.append([report.name, f"{each[index]['score']:.2f}", answer])
            document.add(Grid(["", either("得分", "score"), either("回答", "answer")], cells))


def chosen_cases(gains: Sequence[float], seed: int = 0) -> dict[str, list[int]]:
    """Indices of the cases to show, by why they were chosen; none is shown twice."""
    order = sorted(range(len(gains)), key=lambda i: gains[i])
    won = [i for i in reversed(order) if gains[i] > 0][:CASES]
    lost = [i for i in order if gains[i] < 0][:CASES]
    others = [i for i in range(len(gains)) if i not in (*won, *lost)]
    drawn = random.Random(seed).sample(others, min(CASES, len(others)))
    return {
        either("提升最大", "greatest win"): won,
        either("下降最大", "greatest loss"): lost,
        either("随机抽取", "drawn at random"): drawn,
    }


def _count(manifest: Manifest, key: str) -> str:
    value = manifest.counts.get(key)
    return "–" if value is None else f"{value:,.0f}"


def _gigabytes(value: float | None) -> str:
    return "–" if not value else f"{value / 1e9:.2f}"


def _loss(manifest: Manifest) -> str:
    value = manifest.counts.get("train_loss", manifest.scores.get("train_loss"))
    return "–" if value is None else f"{value:.3f}"


def _dev(run: RunFiles) -> str:
    v = run.verdict
    return f"{v['base']:.3f} → {v['tuned']:.3f}" if v else "–"
