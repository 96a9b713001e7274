"""The experiment's report, to read and to hand in: data, recipe, curves, scores, cases, conclusion.

    bash run.sh judging experiment out/NAME                       reports of its models are found
    bash run.sh judging experiment out/full out/lora out/qlora    methods side by side
    bash run.sh judging experiment out/NAME --report report/BASE --report report/TUNED

Writes experiment.md, .html and .docx. Every sentence of the conclusion follows from a number in the
report; what was not measured is said to be missing.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from common.cli import argument, make_app, option, stop
from common.intervals import VERDICTS
from common.language import either, in_chinese
from common.manifest import Manifest
from common.model_files import file_sizes, weight_bytes
from judging.ability import guesses, sentences
from judging.compare import compared
from judging.compare_page import gap_text, mean_text, score_blocks
from judging.document import Code, Document, Grid, Heading, Paragraph, Picture, write
from judging.experiment_cases import CASES, add_cases
from judging.experiment_data import add_data
from judging.experiment_methods import methods, seen_before
from judging.metrics import METRICS
from judging.read_report import (
    Report,
    ReportError,
    read_report,
    read_reports,
    same_questions,
    scored_rows,
)
from judging.run_files import RunError, RunFiles, read_run
from judging.run_settings import questions_of
from judging.verdicts import next_step, verdicts

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
        list[Path], argument("`train run` 的目录：out/名字", "Folders of `train run`: out/NAME")
    ],
    report: Annotated[
        list[Path] | None,
        option(
            "本地评测的报告，基座在前；不给：在 --reports 里找",
            "The local judge's reports, base first; unset: found in --reports",
        ),
    ] = None,
    reports: Annotated[Path, option("本地评测写在哪里", "Where the local judge writes")] = Path(
        "report"
    ),
    out: Annotated[
        Path | None, option("不给：第一个训练的目录", "Unset: the first run's folder")
    ] = None,
    name: Annotated[str, option("文件名", "Name of the files")] = "experiment",
    cases: Annotated[
        int, option("案例题数；0：全部题", "Questions in the case sheet; 0: all of them", min=0)
    ] = CASES,
    gpu_price: Annotated[
        float | None, option("显卡每小时的价格：算训练费用", "Of a GPU hour", min=0)
    ] = None,
) -> None:
    """Write the report of one training run, or of several side by side."""
    try:
        found = [read_run(folder) for folder in runs]
        judged = [read_report(each) for each in report] if report else judged_models(found, reports)
        document = experiment(found, judged, cases or None, gpu_price)
        paths = write(document, out or runs[0], name)
    except (RunError, ReportError, OSError) as error:
        stop(error)
    for path in paths:
        typer.echo(str(path))


def judged_models(runs: Sequence[RunFiles], folder: Path) -> list[Report]:
    """The newest report of each base and of each model of the runs, merged ones first, on the
    questions that most of these models were asked; failed ones are none."""
    reports = [
        each
        for each in read_reports(folder)[0]
        if each.model_dir and not each.failures and scored_rows(each.rows)
    ]
    models = [Path(run.base) for run in runs]
    models += [run.folder / name for run in runs for name in sorted(run.stages, key=_merged_first)]
    wanted = list(dict.fromkeys(path.resolve() for path in models))
    asked: dict[Any, dict[Path, Report]] = {}
    for each in reports:
        for path in {_here(each.model_dir, runs)} & set(wanted):
            asked.setdefault(questions_of(each), {})[path] = each
    # The last of equals: the newest. dict keeps the order in which questions were first seen.
    best = max(reversed(asked.values()), key=len, default={})
    return [best[path] for path in wanted if path in best]


def _here(model_dir: Path | None, runs: Sequence[RunFiles]) -> Path | None:
    """Where the model that was judged lies now: its run may have been brought from elsewhere."""
    for run in runs:
        if stage := run.stage_of(model_dir):
            return (run.folder / stage).resolve()
    return model_dir.resolve() if model_dir else None


def experiment(
    runs: Sequence[RunFiles],
    judged: Sequence[Report],
    cases: int | None = CASES,
    gpu_price: float | None = None,
) -> Document:
    """The report. judged: the base's report first, where there is one. cases: how many to show,
    None for all. gpu_price: of an hour. Raises ReportError when the reports share no question."""
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
    document.add(*map(Paragraph, conclusion(runs, judged, rows, told)))
    words, command = next_step(told, judged, rows) if judged else ("", "")
    if command:
        document.add(Paragraph(either("接下来：", "Next: ") + words), Code(command))
    add_data(document, runs, rows[0] if rows else [])
    _add_training(document, runs, judged, told, gpu_price)
    _add_scores(document, judged, told)
    _add_ability(document, runs)
    add_cases(document, judged, rows, cases)
    document.add(Heading(2, either("怎样重做", "How to repeat it")))
    for run in runs:
        lines = [f"bash run.sh train run {run.folder}/recipe.yaml"]
        versions = " · ".join(f"{k} {v}" for k, v in run.training.versions.items())
        document.add(Code("\n".join(lines)), Paragraph(versions, note=True))
    return document


def conclusion(
    runs: Sequence[RunFiles],
    judged: Sequence[Report],
    rows: Sequence[Sequence[dict[str, Any]]],
    told: dict[str, Any],
) -> list[str]:
    """Sentences that follow from the numbers, and what the numbers do not say."""
    said = methods(runs, judged, rows)
    for run in runs:
        if run.verdict:
            v = run.verdict
            word = either(*VERDICTS[{"better": 1, "same": 0, "worse": -1}[v["verdict"]]])
            said.append(
                either(
                    f"{run.folder.name}：dev 集 {v['questions']} 题上与基座相比{word}："
                    f"{v['base']:.3f} → {v['tuned']:.3f}，差 {v['difference']:+.3f}"
                    f"（95 % 区间 {v['low']:+.3f} 到 {v['high']:+.3f}）。",
                    f"{run.folder.name}: {v['questions']} dev questions, against its base: {word}, "
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
    stop = either("。", ".")
    if judged:
        said += [f"{line}{stop}" for line in verdicts(told, judged, rows)]
        if len(judged) == 1:
            said.append(
                either(
                    "测试集上只评过一个模型：说不出比基座好还是差。",
                    "Only one model was judged on a test set: better or worse cannot be said.",
                )
            )
    said += seen_before(runs, rows[0] if rows else [])
    for run in runs:
        for each in run.abilities.values():
            lines = sentences(each)[:1] + ([] if each.tells else [guesses(each)])
            said += [f"{run.folder.name}{either('：', ': ')}{line}{stop}" for line in lines]
    if not judged:
        said.append(
            either(
                "没有测试集上的评测：bash run.sh 评测一次，再写报告。",
                "No judgement on a test set: run bash run.sh with one, then write this again.",
            )
        )
    return said


def _add_training(
    document: Document,
    runs: Sequence[RunFiles],
    judged: Sequence[Report],
    told: dict[str, Any],
    gpu_price: float | None,
) -> None:
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
        [either("训练费用", "cost of training"), *(_cost(run, gpu_price) for run in runs)],
        [either("训练损失", "training loss"), *(_loss(run.training) for run in runs)],
        [either("dev：基座 → 微调", "dev: base → tuned"), *(_dev(run) for run in runs)],
        [either("测试集：评测机的分", "test sets: the judge's score"),
         *(_judged_score(run, judged, told) for run in runs)],
    ]  # fmt: skip
    for key in _RECIPE:
        values = [_setting(run, key) for run in runs]
        if any(value is not None for value in values):
            lines.append([key, *("–" if value is None else str(value) for value in values)])
    for stage in sorted({name for run in runs for name in run.stages}):
        sizes = [_weights(run, stage) for run in runs]
        if any(sizes):
            label = either(f"{stage} 权重 GB", f"{stage} weights, GB")
            lines.append([label, *map(_gigabytes, sizes)])
    document.add(Grid(header, lines))
    if differ := _not_the_method_alone(runs):
        names = either("、", ", ").join(differ)
        document.add(
            Paragraph(
                either(
                    f"这几次训练不只方法不同，还有：{names}。差别不能只归于方法。",
                    f"These runs differ in more than the method: {names}. A difference is not the "
                    "method's alone.",
                )
            )
        )
    for run in runs:
        if run.curve:
            caption = either("损失与 dev 得分", "loss and dev score")
            document.add(Picture(run.curve, f"{run.folder.name}: {caption}"))


def _not_the_method_alone(runs: Sequence[RunFiles]) -> list[str]:
    """What differs between runs that a comparison of methods would keep alike. The learning rate is
    the method's: full fine-tuning wants a smaller one."""
    facts = {
        either("基座", "base"): [run.base for run in runs],
        either("数据", "data"): [run.training.counts.get("train_rows") for run in runs],
        either("步数", "steps"): [run.training.counts.get("steps") for run in runs],
        either("显卡", "GPU"): [run.training.versions.get("gpu") for run in runs],
    }
    for key in ("num_train_epochs", "cutoff_len", "seed"):
        facts[key] = [run.training.settings.get(key) for run in runs]
    return [name for name, values in facts.items() if any(each != values[0] for each in values)]


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


def _setting(run: RunFiles, key: str) -> Any:
    """A setting that did something: full fine-tuning has no rank."""
    idle = key.startswith("lora_") and run.training.stage == "full"
    return None if idle else run.training.settings.get(key)


def _weights(run: RunFiles, stage: str) -> float | None:
    """Bytes of a result's weights, by its manifest or its files."""
    if stage not in run.stages:
        return None
    return run.stages[stage].counts.get("bytes") or weight_bytes(file_sizes(run.folder / stage))


def _count(manifest: Manifest, key: str) -> str:
    value = manifest.counts.get(key)
    return "–" if value is None else f"{value:,.0f}"


def _gigabytes(value: float | None) -> str:
    return "–" if not value else f"{value / 1e9:.2f}" if value >= 1e7 else "< 0.01"


def _cost(run: RunFiles, gpu_price: float | None) -> str:
    if gpu_price is None:
        return either("没有给价格", "no price given")
    return f"{run.training.seconds / 3600 * gpu_price:.2f}"


def _judged_score(run: RunFiles, judged: Sequence[Report], told: dict[str, Any]) -> str:
    """Of each of its models that was judged, merged first: score and difference to the base."""
    cells = []
    for index, report in enumerate(judged):
        stage = run.stage_of(report.model_dir)
        if stage is None:
            continue
        judge = told["metrics"]["judge"]
        gap = f", {gap_text(judge['differences'][index - 1])}" if index else ""
        cells.append(f"{stage}: {mean_text(judge['means'][index])}{gap}")
    return "\n".join(cells) or "–"


def _merged_first(name: str) -> tuple[bool, str]:
    return name != "merged", name


def _loss(manifest: Manifest) -> str:
    value = manifest.counts.get("train_loss", manifest.scores.get("train_loss"))
    return "–" if value is None else f"{value:.3f}"


def _dev(run: RunFiles) -> str:
    v = run.verdict
    return f"{v['base']:.3f} → {v['tuned']:.3f}" if v else "–"
