"""The choices of one run of `train retriever` or `train reranker`, checked before the work."""

from itertools import product
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from train.recipe_file import RecipeError

SWEPT = ("learning_rate", "scale", "negatives")


class FinderRecipe(BaseModel):
    """What a bi-encoder and a cross-encoder share. Names as in Transformers' TrainingArguments."""

    model_config = ConfigDict(extra="forbid", protected_namespaces=(), frozen=True)

    # model
    model_name_or_path: str = Field(min_length=1, description="directory or hub id of the base")
    hub: Literal["modelscope", "hf"] = Field("modelscope", description="where a hub id is fetched")
    max_seq_length: int = Field(512, ge=16, description="tokens of a text; what is longer is cut")
    freeze_embeddings: bool = Field(True, description="word vectors stay as they are")

    # data
    dataset_dir: Path = Field(description="what `python -m data build` wrote")
    train_file: str = "train.jsonl"
    dev_file: str = Field("dev.jsonl", description="questions of other sections, to choose by")
    index_dir: Path = Field(Path("index"), description="what `python -m retrieval build` wrote")
    heading_questions: bool = Field(
        True, description="a passage's headings are one more question for it"
    )
    negatives: int = Field(4, ge=0, le=20, description="mined wrong passages of a question")
    mine_first: int = Field(30, ge=1, description="wrong passages come from so many found first")
    max_samples: int | None = Field(
        None, ge=1, description="use so many questions, drawn at random"
    )

    # train
    output_dir: Path = Field(description="model/, curves.png, result.json go here")
    per_device_train_batch_size: int = Field(32, ge=2)
    learning_rate: float = Field(2e-5, gt=0, le=1)
    num_train_epochs: float = Field(3, gt=0)
    max_steps: int = Field(-1, ge=-1, description="-1: by num_train_epochs")
    warmup_ratio: float = Field(0.1, ge=0, lt=1)
    weight_decay: float = Field(0.01, ge=0)
    bf16: bool = Field(False, description="compute in bfloat16: on a GPU, or a CPU that has it")
    seed: int = 42
    logging_steps: int = Field(5, ge=1)

    # choosing the checkpoint, by nDCG@10 on the dev questions
    evals_per_epoch: int = Field(1, ge=1)
    early_stopping_patience: int | None = Field(2, ge=1, description="evaluations without a gain")


class RetrieverRecipe(FinderRecipe):
    """A bi-encoder, by MultipleNegativesRankingLoss."""

    scale: float = Field(50.0, gt=0, description="1 / temperature of the cosine similarities")
    mini_batch_size: int | None = Field(
        None, ge=1, description="texts at a time, for large batches in little memory (GradCache)"
    )


class RerankerRecipe(FinderRecipe):
    """A cross-encoder, by BinaryCrossEntropyLoss."""

    negatives: int = Field(4, ge=1, le=20, description="mined wrong passages of a question")


def sweep_points(options: list[str], recipe: type[FinderRecipe]) -> list[dict[str, Any]]:
    """Every combination of `key=value,value` options; without options one empty point.

    Raises RecipeError for a key that cannot be swept or has no value.
    """
    axes: list[list[tuple[str, Any]]] = []
    for option in options:
        key, _, values = option.partition("=")
        known = [name for name in SWEPT if name in recipe.model_fields]
        if key not in known or not values:
            raise RecipeError(
                f"--sweep {option}：应写成 键=值,值，键可以是 {', '.join(known)}",
                f"--sweep {option}: expected key=value,value with {', '.join(known)}",
            )
        field = recipe.model_fields[key]
        kind = TypeAdapter(Annotated[(field.annotation, *field.metadata)])
        try:  # YAML takes 1e-4 for a word, pydantic for a number
            axes.append([(key, kind.validate_python(value)) for value in values.split(",")])
        except ValidationError as error:
            raise RecipeError(f"--sweep {option}: {error.errors()[0]['msg']}") from error
    return [dict(point) for point in product(*axes)]
