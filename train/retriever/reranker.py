"""The cross-encoder's training: right and wrong passages told apart, BinaryCrossEntropyLoss."""

import statistics
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from common.language import either
from retrieval.dense import loading_quietly
from retrieval.evaluate import ndcg
from retrieval.passages import Passage
from retrieval.rerank import is_cross_encoder
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
    tell: Callable[[str], None] = lambda line: None,
) -> Fitted:
    """Train a cross-encoder and write the best checkpoint, by dev nDCG@10, to `out`.

    base: a cross-encoder, or an encoder that gets a new head and has to beat the order as found,
    since its own is random. found: the passages that it is to order for each dev question, as they
    were found; a right one that is missing stays missing. tell: what to know before it starts.
    Raises OSError or ValueError where `base` holds no encoder.
    """
    import torch
    from sentence_transformers import CrossEncoder
    from sentence_transformers.cross_encoder.evaluation import CrossEncoderRerankingEvaluator
    from sentence_transformers.cross_encoder.losses import BinaryCrossEntropyLoss
    from sentence_transformers.cross_encoder.trainer import CrossEncoderTrainer
    from sentence_transformers.cross_encoder.training_args import CrossEncoderTrainingArguments

    torch.manual_seed(recipe.seed)  # of a new head
    with loading_quietly():
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
    if is_cross_encoder(base):
        to_beat = float(evaluator(model)[METRIC])
    else:
        to_beat = statistics.mean(map(ndcg, found, ({each.right} for each in dev)))
        tell(
            either(
                f"{base.name} 还不会排序，得到一个新的输出层，{len(train)} 题多半教不会它："
                "用已会排序的模型（bge-reranker-base）更稳。要胜过 BM25 的顺序："
                f"dev nDCG@10 {to_beat:.3f}",
                f"{base.name} does not rank yet and gets a new head, which {len(train)} questions "
                "will hardly teach: a model that ranks (bge-reranker-base) is safer. To beat: "
                f"BM25's order, dev nDCG@10 {to_beat:.3f}",
            )
        )
    rows = _rows(train, passages)
    tell(_cut(model.tokenizer, rows, recipe.max_seq_length))
    # As many wrong passages as there are weigh as much as the one right one.
    weight = torch.tensor(float(max(1, recipe.negatives)))
    args = arguments(
        CrossEncoderTrainingArguments,
        recipe,
        out,
        METRIC,
        len(rows),
    )
    fitted = fit(
        CrossEncoderTrainer,
        recipe,
        METRIC,
        to_beat,
        model=model,
        args=args,
        train_dataset=rows,
        eval_dataset=_rows(dev, passages),
        loss=BinaryCrossEntropyLoss(model, pos_weight=weight),
        evaluator=evaluator,
    )
    model.save_pretrained(str(out), create_model_card=False)
    return fitted


def _several(found: Sequence[int], example: Example) -> list[int]:
    """At least two passages: there is no order of one."""
    return list(dict.fromkeys([*found, *(example.wrong if len(found) < 2 else ())]))


def _cut(tokenizer: Any, rows: Any, longest: int) -> str:
    """How many pairs there are, and how many of them do not fit in `longest` tokens."""
    ids = tokenizer(list(rows["question"]), list(rows["passage"]), verbose=False)["input_ids"]
    share = sum(len(each) > longest for each in ids) / len(ids)
    return either(
        f"{len(ids)} 对问题和片段，{share:.0%} 长于 max_seq_length={longest}（多出的被截掉）",
        f"{len(ids)} pairs of question and passage, {share:.0%} of them longer than "
        f"max_seq_length={longest} (what is more is cut)",
    )


def _rows(examples: Sequence[Example], passages: Sequence[Passage]) -> Any:
    from datasets import Dataset

    rows = []
    for example in examples:
        rows += [
            {
                "question": example.question,
                "passage": example.shown(passages[place]),
                "label": float(place == example.right),
            }
            for place in (example.right, *example.wrong)
        ]
    return Dataset.from_list(rows)
