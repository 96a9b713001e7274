"""The cross-encoder's training: right and wrong passages told apart, BinaryCrossEntropyLoss."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from retrieval.passages import Passage
from train.retriever.examples import Example
from train.retriever.fitting import Fitted, arguments, fit, freeze
from train.retriever.recipe import RerankerRecipe

METRIC = "dev_ndcg@10"


def train_reranker(
    recipe: RerankerRecipe,
    base: Path,
    train: Sequence[Example],
    dev: Sequence[Example],
    found: Sequence[Sequence[int]],
    passages: Sequence[Passage],
    out: Path,
) -> Fitted:
    """Train a cross-encoder and write the best checkpoint, by dev nDCG@10, to `out`.

    base: a cross-encoder, or an encoder that gets a new head. found: the passages that it is to
    order for each dev question, as they were found; a right one that is missing stays missing.
    Raises OSError or ValueError where `base` holds no encoder.
    """
    import torch
    from sentence_transformers import CrossEncoder
    from sentence_transformers.cross_encoder.evaluation import CrossEncoderRerankingEvaluator
    from sentence_transformers.cross_encoder.losses import BinaryCrossEntropyLoss
    from sentence_transformers.cross_encoder.trainer import CrossEncoderTrainer
    from sentence_transformers.cross_encoder.training_args import CrossEncoderTrainingArguments

    torch.manual_seed(recipe.seed)  # of a new head
    model = CrossEncoder(str(base), num_labels=1, max_length=recipe.max_seq_length).float()
    if recipe.freeze_embeddings:
        freeze(model)
    evaluator = CrossEncoderRerankingEvaluator(
        [
            {
                "query": example.question,
                "positive": [passages[example.right].indexed_text],
                "documents": [passages[place].indexed_text for place in _several(places, example)],
            }
            for example, places in zip(dev, found, strict=True)
        ],
        name="dev",
        always_rerank_positives=False,
        write_csv=False,
    )
    # As many wrong passages as there are weigh as much as the one right one.
    weight = torch.tensor(float(max(1, recipe.negatives)))
    args = arguments(
        CrossEncoderTrainingArguments,
        recipe,
        out,
        METRIC,
        len(train) * (1 + recipe.negatives),
    )
    fitted = fit(
        CrossEncoderTrainer,
        recipe,
        METRIC,
        model=model,
        args=args,
        train_dataset=_rows(train, passages),
        eval_dataset=_rows(dev, passages),
        loss=BinaryCrossEntropyLoss(model, pos_weight=weight),
        evaluator=evaluator,
    )
    model.save_pretrained(str(out), create_model_card=False)
    return fitted


def _several(found: Sequence[int], example: Example) -> list[int]:
    """At least two passages: there is no order of one."""
    return list(dict.fromkeys([*found, *(example.wrong if len(found) < 2 else ())]))


def _rows(examples: Sequence[Example], passages: Sequence[Passage]) -> Any:
    from datasets import Dataset

    rows = []
    for example in examples:
        rows.append({"question": example.question, "passage": example.text, "label": 1.0})
        rows += [
            {"question": example.question, "passage": passages[p].indexed_text, "label": 0.0}
            for p in example.wrong
        ]
    return Dataset.from_list(rows)
