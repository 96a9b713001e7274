"""One run from recipe to verdict: examples, training (or a sweep of it), base against tuned."""

import shutil
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from common.language import either
from retrieval.evaluate import Asked, difference, read_evaluation_set
from retrieval.search import Retriever
from train.base import from_hub
from train.retriever.examples import Example, read_examples, with_wrong_passages
from train.retriever.kinds import Kind, R
from train.retriever.recipe import FinderRecipe
from train.retriever.result import Compared, Result, write_result


def run(
    kind: type[Kind[R]],
    recipe: R,
    points: Sequence[dict[str, Any]],
    testset: Path | None = None,
    on_step: Callable[[str], None] = lambda step: None,
    tell: Callable[[str], None] = lambda line: None,
) -> Result:
    """Train by a recipe, at each point of a sweep, keep what is best on dev, compare with the base.

    points: values over the recipe's, at least one (`{}`: the recipe as it is).
    testset: questions with evidence that nothing was learned or chosen by.
    Raises ModelError, DataError, PairsError, IndexFileError, ValueError or OSError.
    """
    started = time.monotonic()
    on_step(either("读训练题", "examples"))
    index = Retriever.load(recipe.index_dir)
    examples = read_examples(recipe, index.passages)
    work = kind(_base_of(recipe), index)
    on_step(either("找看起来对的错误片段", "wrong passages that look right"))
    most = max(point.get("negatives", recipe.negatives) for point in points)
    mined = recipe.model_copy(update={"negatives": most})
    finder = work.finder()
    train = with_wrong_passages(examples.train, finder, mined, examples.held_out)
    dev = with_wrong_passages(examples.dev, finder, mined)
    recipe.output_dir.mkdir(parents=True, exist_ok=True)
    model, candidate = recipe.output_dir / "model", recipe.output_dir / "candidate"
    reached: list[tuple[dict[str, Any], float]] = []
    best = None
    for point in points:
        values = [f"{key}={value}" for key, value in point.items()]
        on_step(" ".join([either("训练", "training"), *values]))
        chosen = recipe.model_copy(update=point)
        count = chosen.negatives
        fitted = work.train(chosen, _with(train, count), _with(dev, count), candidate, tell)
        reached.append((point, fitted.best))
        if best is None or fitted.best > best[1].best:
            best = (chosen, fitted)
            shutil.rmtree(model, ignore_errors=True)
            candidate.replace(model)
        shutil.rmtree(candidate, ignore_errors=True)
    if best is None:
        raise ValueError("a sweep without a point")
    on_step(either("与调整前比", "base against tuned"))
    sets = {recipe.dev_file: [Asked(e.question, frozenset({e.right}), "evidence") for e in dev]}
    if testset:
        sets[testset.name] = read_evaluation_set(testset, index.passages)
    compared = []
    for name, asked in sets.items():
        compared += [
            Compared(name, len(asked), v, difference(v.base, v.tuned))
            for v in work.compared(asked, model)
        ]
    counts = {"train": len(train), "dev": len(dev), "lost": examples.lost}
    result = Result(model, reached, best[1].base, compared, counts)
    write_result(result, best[0], work.base, best[1], started)
    return result


def _with(examples: Sequence[Example], count: int) -> list[Example]:
    """The examples with their first `count` wrong passages."""
    return [replace(example, wrong=example.wrong[:count]) for example in examples]


def _base_of(recipe: FinderRecipe) -> Path:
    path = Path(recipe.model_name_or_path)
    if (path / "config.json").is_file() or (path / "modules.json").is_file():
        return path
    return from_hub(recipe.model_name_or_path, recipe.hub)
