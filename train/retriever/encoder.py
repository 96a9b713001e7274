"""The bi-encoder's training: in-batch and mined negatives, MultipleNegativesRankingLoss."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from retrieval.dense import loading_quietly, prompts_of
from retrieval.passages import Passage
from train.retriever.examples import Example
from train.retriever.fitting import Fitted, arguments, fit, freeze
from train.retriever.recipe import RetrieverRecipe

METRIC = "dev_cosine_ndcg@10"


def train_encoder(
    recipe: RetrieverRecipe,
    base: Path,
    train: Sequence[Example],
    dev: Sequence[Example],
    passages: Sequence[Passage],
    out: Path,
) -> Fitted:
    """Train a bi-encoder and write the best checkpoint, by dev nDCG@10, to `out`.

    Raises OSError or ValueError where `base` holds no encoder.
    """
    from sentence_transformers import SentenceTransformer, SentenceTransformerTrainer
    from sentence_transformers.base.sampler import BatchSamplers
    from sentence_transformers.sentence_transformer import losses
    from sentence_transformers.sentence_transformer.evaluation import (
        InformationRetrievalEvaluator,
    )
    from sentence_transformers.sentence_transformer.training_args import (
        SentenceTransformerTrainingArguments,
    )

    with loading_quietly():
        model = SentenceTransformer(str(base)).float()
    longest, model.max_seq_length = model.max_seq_length, recipe.max_seq_length
    model.prompts = prompts_of(base, model)  # saved with it: who loads it asks as it was trained
    if recipe.freeze_embeddings:
        freeze(model)
    evaluator = InformationRetrievalEvaluator(
        queries={str(n): example.question for n, example in enumerate(dev)},
        corpus={str(n): passage.indexed_text for n, passage in enumerate(passages)},
        relevant_docs={str(n): {str(example.right)} for n, example in enumerate(dev)},
        name="dev",
        write_csv=False,
    )
    columns = ["passage", *(f"wrong_{n}" for n in range(recipe.negatives))]
    prompts = {"question": model.prompts.get("query", "")} | dict.fromkeys(
        columns, model.prompts.get("document", "")
    )
    loss: Any = (
        losses.CachedMultipleNegativesRankingLoss(
            model, scale=recipe.scale, mini_batch_size=recipe.mini_batch_size
        )
        if recipe.mini_batch_size
        else losses.MultipleNegativesRankingLoss(model, scale=recipe.scale)
    )
    args = arguments(
        SentenceTransformerTrainingArguments,
        recipe,
        out,
        METRIC,
        len(train),
        prompts=prompts,
        # A text that stands twice in a batch would be its own wrong passage.
        batch_sampler=BatchSamplers.NO_DUPLICATES,
    )
    fitted = fit(
        SentenceTransformerTrainer,
        recipe,
        METRIC,
        float(evaluator(model)[METRIC]),
        model=model,
        args=args,
        train_dataset=_rows(train, passages, recipe.negatives),
        eval_dataset=_rows(dev, passages, recipe.negatives),
        loss=loss,
        evaluator=evaluator,
    )
    model.max_seq_length = longest
    model.save_pretrained(str(out), create_model_card=False)
    return fitted


def _rows(examples: Sequence[Example], passages: Sequence[Passage], negatives: int) -> Any:
    from datasets import Dataset

    return Dataset.from_list(
        [
            {"question": example.question, "passage": example.shown(passages[example.right])}
            | {
                f"wrong_{n}": example.shown(passages[place])
                for n, place in enumerate(example.wrong[:negatives])
            }
            for example in examples
        ]
    )
