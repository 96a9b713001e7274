"""What a run gave, and its files: log.jsonl, curves.png, result.json, the model's manifest."""

import json
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from common.intervals import Interval
from common.manifest import (
    Manifest,
    directory_records,
    file_record,
    library_versions,
    read_manifest,
    write_manifest,
)
from retrieval.evaluate import MEASURES, Outcome
from train.retriever.curves import plot_finder
from train.retriever.examples import parent_files
from train.retriever.fitting import Fitted
from train.retriever.kinds import Versus
from train.retriever.recipe import FinderRecipe, RerankerRecipe

LIBRARIES = ("sentence-transformers", "transformers", "torch", "datasets", "faiss-cpu")


@dataclass(frozen=True)
class Compared:
    """Base and tuned by one method on one set of questions, and the difference of their nDCG@10."""

    questions: str
    count: int
    versus: Versus
    change: Interval


@dataclass(frozen=True)
class Result:
    """The best model's directory, what each point of a sweep reached on dev, base against tuned.

    counts: train and dev questions, and rows that lead to no passage.
    """

    model: Path
    points: list[tuple[dict[str, Any], float]]
    base: float
    compared: list[Compared]
    counts: dict[str, int]


def write_result(
    result: Result, recipe: FinderRecipe, base: Path, fitted: Fitted, started: float
) -> None:
    """Write the files. recipe and fitted: of the best point; started: by time.monotonic()."""
    out = recipe.output_dir
    lines = "".join(json.dumps(row) + "\n" for row in fitted.log)
    (out / "log.jsonl").write_text(lines, encoding="utf-8")
    plot_finder(out / "curves.png", fitted.log, out.name)
    told = {
        "model": str(result.model),
        "sweep": [{"point": point, "dev_ndcg": value} for point, value in result.points],
        "counts": result.counts,
        "compared": [_as_dict(each) for each in result.compared],
    }
    text = json.dumps(told, ensure_ascii=False, indent=1) + "\n"
    (out / "result.json").write_text(text, encoding="utf-8")
    parents = [read_manifest(folder) for folder in (recipe.dataset_dir, recipe.index_dir)]
    manifest = Manifest(
        stage="reranker" if isinstance(recipe, RerankerRecipe) else "retriever",
        name=base.name,
        inputs=[file_record(path) for path in parent_files(recipe)],
        outputs=directory_records(result.model),
        settings=recipe.model_dump(mode="json"),
        counts={key: float(value) for key, value in result.counts.items()},
        scores={"dev_ndcg": fitted.best, "dev_ndcg_base": fitted.base},
        versions=library_versions(LIBRARIES),
        seconds=round(time.monotonic() - started, 1),
        parents=[parent for parent in parents if parent],
    )
    write_manifest(result.model, manifest)


def _as_dict(each: Compared) -> dict[str, Any]:
    def measures(outcome: Outcome) -> dict[str, Any]:
        return {k: asdict(v) for k, v in zip(MEASURES, outcome.values, strict=True)}

    versus = each.versus
    return {
        "questions": each.questions,
        "count": each.count,
        "method": versus.method,
        "against": versus.base_name,
        "base": measures(versus.base),
        "tuned": measures(versus.tuned),
        "change_of_ndcg": asdict(each.change),
    }
