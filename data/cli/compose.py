"""python -m data compose: the command, and what it prints."""

from pathlib import Path
from typing import Annotated

from rich.table import Table

from common.cli import argument, option
from common.language import either, in_chinese
from data.cli.build import PROFILE_FIGURES
from data.cli.console import console, reported_errors
from data.compose import DRAWS, KEPT, PASSAGES, TEMPERATURE, Composed
from data.compose import compose as composed
from data.labels import label
from data.options import settings_from


@in_chinese("模型带着书和示例重答训练题，留最一致的回答（vLLM）；写到新目录。")
def compose(
    data: Annotated[Path, argument("data build 的目录", "folder of data build")],
    out: Annotated[Path, option("写到哪里", "where to write")],
    model: Annotated[Path, option("答题的模型，目录", "directory of the model that answers")],
    index: Annotated[
        Path, option("这本书的索引（retrieval build）", "the book's index (retrieval build)")
    ],
    draws: Annotated[
        int,
        option("每题每种问法答几次", "answers to a question by each way of asking", min=2, max=64),
    ] = DRAWS,
    temperature: Annotated[float, option("采样温度", "of sampling", min=0.01, max=2)] = TEMPERATURE,
    passages: Annotated[
        int, option("给几个片段", "passages before a question", min=1, max=20)
    ] = PASSAGES,
    examples: Annotated[
        bool, option("题前放两个示例", "two worked examples before a question")
    ] = True,
    keep: Annotated[
        int, option("每题最多留几个回答", "most answers kept of a question", min=1)
    ] = KEPT,
    engine: Annotated[str, option("vLLM 引擎参数，JSON", "vLLM engine arguments as JSON")] = "{}",
) -> None:
    """Have a local model answer the train questions anew, with the book at hand (vLLM)."""
    from data.sources.vllm_source import Asker, VllmSettings

    with reported_errors():
        settings = settings_from(VllmSettings, {"model": str(model), "engine": engine})
        told = composed(
            data,
            out,
            index,
            lambda *asked: Asker(settings).ask(*asked),  # loaded once the rest has been read
            model=model.name,
            draws=draws,
            temperature=temperature,
            passages=passages,
            examples=examples,
            keep=keep,
        )
    _say(told, out)


def _say(told: Composed, out: Path) -> None:
    console.print(
        either(
            f"{told.composed} 题换了答案，共 {told.rows - told.unchanged} 行；{told.dropped} 题的"
            "几次回答不一致或离原答案太远，去掉了；"
            f"{told.unchanged} 行不是单轮或答案里没有英文和数字，没有动",
            f"{told.composed} questions have new answers, {told.rows - told.unchanged} rows; "
            f"{told.dropped} left out: draws differ, or are far from the old answer; "
            f"{told.unchanged} rows left as they are: of several turns, or without a word that "
            "counts",
        ),
        soft_wrap=True,
    )
    heads = either("训练答案", "train answers"), either("原来", "before"), either("现在", "now")
    table = Table(*heads)
    before, after = told.before.to_dict(), told.after.to_dict()
    for name in PROFILE_FIGURES:
        table.add_row(label(name), f"{before[name]:g}", f"{after[name]:g}")
    console.print(table)
    console.print(
        either(
            f"接着训练：bash run.sh train run train/recipes/配方.yaml dataset_dir={out}",
            f"next, fine-tune on it: bash run.sh train run train/recipes/RECIPE.yaml "
            f"dataset_dir={out}",
        ),
        soft_wrap=True,
        highlight=False,
    )
