"""The steps of a run, each with what it prints: train, merge, quantize, check, what comes next."""

import shlex
from pathlib import Path
from tempfile import TemporaryDirectory

from rich.console import Console

from common.language import either
from common.manifest import read_manifest
from train.base import ModelError, fetch_base
from train.book import service_settings, usual_settings
from train.dataset import DataError, load_rows
from train.recipe import Recipe
from train.run_report import NAME as RUN_REPORT
from train.verdict import FEWEST, Verdict, read_verdict, sentences

console = Console()
UNTUNED = "base"  # stage in the manifest of a base that stands in the merged model's place


def train(recipe: Recipe, resume: bool, exports: bool = False) -> Verdict | None:
    """Train; what the run brought, where dev questions were asked. exports: they follow."""
    from train.before import check_recipe
    from train.finetune import finetune

    check_recipe(recipe, exports)
    console.rule(either("训练", "train"))
    say(f"{either('训练完成：', 'trained: ')}{finetune(recipe, resume)}")
    found = read_verdict(recipe.output_dir)
    if found:
        console.rule(either("有没有用", "verdict"))
        show_verdict(found, recipe.output_dir)
    return found


def show_verdict(found: Verdict, out: Path) -> None:
    """What a run brought, what follows from it, and where its report is."""
    style = {"better": "bold green", "same": "bold yellow", "worse": "bold red"}[found.verdict]
    told, then = sentences(found, out)
    say(told, style)
    say(then)
    if (out / RUN_REPORT).is_file():
        say(f"{either('报告：', 'report: ')}{out / RUN_REPORT}")


def merge(recipe: Recipe, adapters: list[Path] | None = None) -> None:
    """The adapters, unset: the run's own, merged into its base; nothing after full training."""
    from train.merge import merge as merge_adapters

    if recipe.finetuning_type == "full":
        return
    console.rule(either("合并", "merge"))
    chosen = adapters or [recipe.output_dir / "adapter"]
    merged = recipe.output_dir / "merged"
    merge_adapters(fetch_base(recipe), chosen, merged, recipe.export_size)
    say(f"{either('合并完成：', 'merged: ')}{merged}")


def take_base_unless_gained(recipe: Recipe) -> bool:
    """Put the base in the merged model's place, unless the tuned one has the better estimate.

    By the estimate, whether or not its interval holds 0: one of the two has to be submitted, and of
    41 questions no interval is narrow enough for the gain that rows of `data compose` brought.
    """
    from common.manifest import Manifest, directory_records, write_manifest
    from train.base import take_base, weight_bytes

    found, merged = read_verdict(recipe.output_dir), recipe.output_dir / "merged"
    if found is None or recipe.finetuning_type == "full":
        return False
    if found.difference > 0 and found.questions >= FEWEST:
        if found.verdict == "same":
            say(
                either(
                    f"{found.word}，估计是 {found.difference:+.3f}：用微调后的",
                    f"{found.word}, by estimate {found.difference:+.3f}: the tuned model is taken",
                )
            )
        return False
    base = fetch_base(recipe)
    take_base(base, merged, recipe.system_prompt(base))
    parent = read_manifest(base)
    made = Manifest(
        stage=UNTUNED,
        name=base.name,
        demo=bool(parent and parent.demo),
        outputs=directory_records(merged),
        settings={"base": str(base), "verdict": found.model_dump()},
        counts={"bytes": weight_bytes(merged)},
        parents=[parent] if parent else [],
    )
    write_manifest(merged, made)
    say(
        either(
            f"{found.word}：{merged} 是未微调的基座。比赛要求微调过的模型：先看规则",
            f"{found.word}: {merged} is the untuned base. The contest asks for a tuned model: "
            "read its rules first",
        ),
        style="bold yellow",
    )
    return True


def quantize(recipe: Recipe) -> None:
    """Every export that the recipe names."""
    from train.quantize import quantize as export

    _need_merged(recipe)
    rows = load_rows(recipe).calibration
    for form in recipe.export_formats:
        console.rule(f"{either('量化：', 'quantize: ')}{form}")
        out = recipe.output_dir / form
        export(
            recipe.output_dir / "merged", out, form, rows, recipe.calibration_samples, recipe.seed
        )
        say(f"{either('已导出：', 'exported: ')}{out}")


class ExportError(ModelError):
    """An export answers worse than the merged model, which is whole itself."""


def _is_base(merged: Path) -> bool:
    """Whether the verdict put the untuned base in the merged model's place."""
    manifest = read_manifest(merged)
    return manifest is not None and manifest.stage == UNTUNED


def _as_merged(recipe: Recipe) -> Recipe:
    """The recipe as its merged model is asked: an untuned base as the service asks that."""
    from train.asking import as_the_base

    merged = recipe.output_dir / "merged"
    return as_the_base(recipe, merged) if _is_base(merged) else recipe


def _need_merged(recipe: Recipe) -> None:
    merged = recipe.output_dir / "merged"
    if not (merged / "config.json").is_file():
        raise ModelError(
            f"{merged}：还没有合并后的模型；先 bash run.sh train merge",
            f"{merged}: no merged model yet: bash run.sh train merge comes first",
        )


def check(recipe: Recipe) -> None:
    """Serve base, merged model and exports; a table. Raises ModelError where an export failed."""
    from train.check import check as check_exports
    from train.stage_table import stage_table

    _need_merged(recipe)
    console.rule(either("检查", "check"))
    # The service is asked one text a question: a turn with a talk before it cannot be.
    rows = [row for row in load_rows(recipe).dev if not row.history][: recipe.check_samples]
    if not rows:
        raise DataError(
            f"{recipe.dev_file}：每一行都有前文对话，没有可以单独提问的",
            f"{recipe.dev_file}: every dev row has turns before it: none can be asked",
        )
    exports = [recipe.output_dir / form for form in recipe.export_formats]
    merged = recipe.output_dir / "merged"
    base = fetch_base(recipe) if recipe.check_base and not _is_base(merged) else None
    drop = recipe.max_score_drop
    served = service_settings(_as_merged(recipe))
    results = check_exports(merged, exports, rows, recipe.serve_python, drop, base, served)
    console.print(stage_table(recipe, results, len(rows)))
    failed = [row.name for row in results if not row.passed]
    if failed:
        names, most = ", ".join(failed), recipe.max_score_drop
        zh = f"{names}：得分比合并后的模型低了不止 max_score_drop={most}，或回答为空；不要上传"
        en = f"{names}: over max_score_drop={most} below merged, or empty answers; do not upload"
        if merged.name in failed:
            raise ModelError(zh, en)
        raise ExportError(
            f"{zh}。可以提交没有量化的 {merged}（preflight 看它下载来不来得及）",
            f"{en}. {merged}, not quantized, can be submitted (preflight tells whether its "
            "download is in time)",
        )


def show_next(recipe: Recipe) -> None:
    """The command that follows; of the exports the one that the judge's vLLM reads."""
    show_score(recipe, best_export(recipe))


def best_export(recipe: Recipe) -> str:
    """The folder to submit: what the judge's vLLM reads, else the first export, else merged."""
    formats = recipe.export_formats
    return "awq-gemm" if "awq-gemm" in formats else [*formats, "merged"][0]


def show_score(recipe: Recipe, folder: str = "merged") -> None:
    """The command that judges one of the run's model directories, asked as it was in training."""
    testset, usual = either("测试集.docx", "TESTSET.docx"), usual_settings()
    told = service_settings(_as_merged(recipe)).items()
    told = {k: v for k, v in told if usual.get(k) != v}
    before = "".join(f"{name}={shlex.quote(value)} " for name, value in told.items())
    command = f"{before}MODEL_DIR={recipe.output_dir / folder} bash run.sh {testset}"
    say(f"{either('接下来，看它的得分：', 'next, its score: ')}{command}")


def say_next(step: str, recipe: Path, overrides: list[str] | None) -> None:
    """The command of the next step, with the same recipe and overrides."""
    command = shlex.join(["bash", "run.sh", *step.split(), str(recipe), *(overrides or [])])
    say(f"{either('接下来：', 'next: ')}{command}")


def say(text: str, style: str = "") -> None:
    """A line as it is: paths are not cut and brackets are no markup."""
    console.print(text, style=style, markup=False, highlight=False, soft_wrap=True)


def show_plan(recipe: Recipe) -> None:
    """What a run would take; a missing demo base is made for it and removed again."""
    from train.before import check_recipe
    from train.estimate import print_recipe_plan

    check_recipe(recipe, exports=True)
    if (
        recipe.demo_base_steps is None
        or (Path(recipe.model_name_or_path) / "config.json").is_file()
    ):
        print_recipe_plan(recipe, console)
        return
    with TemporaryDirectory() as folder:  # a plan leaves nothing behind
        fields = {"model_name_or_path": f"{folder}/base", "output_dir": Path(folder) / "out"}
        untrained = recipe.model_copy(update={**fields, "demo_base_steps": 0})
        fetch_base(untrained, quiet=True)
        print_recipe_plan(untrained, console)
