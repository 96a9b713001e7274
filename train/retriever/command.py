"""python -m train retriever, python -m train reranker: the commands, and what they print."""

from pathlib import Path
from typing import Annotated, Any

from rich.console import Console
from rich.table import Table

from common.cli import argument, option
from common.language import either
from train.base import ModelError
from train.recipe_file import RecipeError, load_recipe

console = Console()
RecipePath = Annotated[
    Path, argument("train/recipes/…，或你自己的", "train/recipes/…, or your own")
]
Overrides = Annotated[
    list[str] | None, argument("键=值，盖过配方里的", "key=value, over the recipe's")
]
Sweep = Annotated[
    list[str] | None,
    option(
        "learning_rate=1e-5,3e-5（也可以是 scale、negatives）；可以给多次：两两组合",
        "learning_rate=1e-5,3e-5 (also scale, negatives); repeatable: each with each",
    ),
]
Testset = Annotated[
    Path | None,
    option(
        "带 `evidence` 的问题：也用它们比较基座和微调后",
        "questions with `evidence`: base against tuned on these too",
    ),
]


def train_finder(
    name: str, path: Path, overrides: list[str], sweep: list[str], testset: Path | None
) -> None:
    """Run a recipe and print what it brought. Raises RecipeError, DataError, ModelError …"""
    from train.retriever.recipe import RerankerRecipe, RetrieverRecipe, sweep_points

    _need_sentence_transformers()
    from train.retriever.kinds import RerankerKind, RetrieverKind
    from train.retriever.running import run

    kinds: dict[str, tuple[type, type]] = {
        "retriever": (RetrieverKind, RetrieverRecipe),
        "reranker": (RerankerKind, RerankerRecipe),
    }
    kind, model = kinds[name]
    recipe: Any = load_recipe(path, overrides, model)
    points = sweep_points(sweep, model)
    try:
        result = run(kind, recipe, points, testset, lambda s: console.rule(s, align="left"), _say)
    except OSError as error:  # no weights in the model's folder, no room on the disk
        raise ModelError(str(error)) from error
    _show(result)


def _need_sentence_transformers() -> None:
    from importlib.util import find_spec

    if missing := [n for n in ("sentence_transformers", "faiss") if find_spec(n) is None]:
        raise RecipeError(
            f"没有 {'、'.join(missing)}：`bash train/setup.sh retrieval` 会装进 .venv-train",
            f"this Python has no {' or '.join(missing)}: `bash train/setup.sh retrieval` "
            "installs it into .venv-train",
        )


def _say(line: str) -> None:
    console.print(line, markup=False, highlight=False, soft_wrap=True)


def _show(result: Any) -> None:
    from retrieval.evaluate import MEASURES, in_words

    counts = result.counts
    train, dev, lost = (counts[name] for name in ("train", "dev", "lost"))
    told = either(
        f"训练 {train} 题，dev {dev} 题；{lost} 行在索引里找不到片段",
        f"{train} train and {dev} dev questions; {lost} rows lead to no passage of the index",
    )
    _say(told)
    if len(result.points) > 1:
        table = Table("sweep", "dev nDCG@10", title=f"base {result.base:.3f}")
        for point, value in result.points:
            table.add_row(", ".join(f"{k}={v}" for k, v in point.items()), f"{value:.3f}")
        console.print(table)
    for c in result.compared:
        versus = c.versus
        base = either("调整前", "base") if versus.base_name == "base" else versus.base_name
        title = f"{c.questions}, {c.count}: {versus.method} ↔ {base} — {in_words(c.change)}"
        table = Table("", *MEASURES, title=title, title_justify="left")
        for label, outcome in ((base, versus.base), (either("调整后", "tuned"), versus.tuned)):
            table.add_row(label, *(f"{v.mean:.2f}" for v in outcome.values))
        console.print(table)
        low, high = c.change.low, c.change.high
        said = f"nDCG@10 {c.change.mean:+.3f} ({low:+.3f} … {high:+.3f}, 95 %)"
        console.print(said, highlight=False)
    chosen = either("按它选出检查点，偏乐观", "the checkpoint was chosen by them: optimistic")
    console.print(f"{result.compared[0].questions}: {chosen}", style="dim", highlight=False)
    last = result.compared[-1]  # of a test set, if one was given
    gains = [c.change.low > 0 for c in result.compared if c.questions == last.questions]
    option = "--reranker" if last.versus.method == "reranked" else "--encoder"
    better = either(
        f"用它：bash run.sh retrieval evaluate 索引 测试集 {option} {result.model}",
        f"use it: bash run.sh retrieval evaluate INDEX TESTSET {option} {result.model}",
    )
    worse = either(
        "没有看到提升：仍用原来的；更多不同的问题（data build）比更多轮次有用",
        "no gain to be seen: keep what you had; more and other questions (data build) help more "
        "than more epochs",
    )
    _say(f"{either('模型：', 'model: ')}{result.model}")
    _say(better if all(gains) else worse)
