"""Dev questions as the service would ask them: with passages where there is an index."""

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from common.model_shape import ShapeError, shape_of
from common.pairs import Pair
from retrieval.examples_auto import automatic, context_for
from train.base import ModelError
from train.book import example_turns, uses_book
from train.dataset import prompt_ids
from train.recipe import Recipe


def as_the_base(recipe: Recipe, base: Path) -> Recipe:
    """The recipe with what the service does for its untuned base: RETRIEVAL_EXAMPLES=auto may give
    it worked examples and more passages, and tuning has to beat that."""
    if recipe.retrieval_examples is not False or not uses_book(recipe):
        return recipe
    config = json.loads((base / "config.json").read_text(encoding="utf-8"))
    try:
        shape = shape_of(config, str(base))
    except ShapeError:
        return recipe
    chosen = automatic(shape, config.get("max_position_embeddings"))
    changes = {k: v for k, v in chosen.settings.items() if k in Recipe.model_fields}
    return recipe.model_copy(update={"retrieval_examples": chosen.examples, **changes})


def as_served(
    recipe: Recipe, tokenizer: Any, rows: Sequence[Pair], system_prompt: str
) -> list[Pair]:
    """The rows with passages before their questions, found and cut to size as in serving, and with
    the recipe's worked examples before those.

    Passages that a row was made with make way for those. A row with turns before it is asked alone;
    without an index each row as it is.
    Raises ModelError for an index that cannot be used.
    """
    if not uses_book(recipe):
        return list(rows)
    # Here, not above: most runs have no index, and need none of these packages.
    from retrieval.prompt import FORM, fitting, with_passages
    from retrieval.search import Retriever

    served = [row.alone for row in rows]
    single = [i for i, row in enumerate(served) if not row.history]
    questions = [served[i].question for i in single]
    try:
        retriever = Retriever.load(recipe.retrieval_dir)
        found = retriever.search(questions, recipe.retrieval_passages)
    except (ValueError, OSError) as error:
        raise ModelError(f"retrieval_dir={recipe.retrieval_dir}: {error}") from error

    def tokens(text: str) -> int:
        return len(tokenizer(text, add_special_tokens=False)["input_ids"])

    limit = context_for(recipe.retrieval_tokens) - recipe.eval_max_new_tokens - tokens(FORM)
    examples = example_turns(recipe)
    alone = prompt_ids(tokenizer, [served[i] for i in single], system_prompt)
    for i, hits, prompt in zip(single, found, alone, strict=True):
        room = min(limit - len(prompt), recipe.retrieval_tokens)
        passages = fitting([hit.passage for hit in hits], tokens, room)
        asked = served[i].question
        served[i] = replace(
            served[i],
            question=with_passages(asked, passages),
            asked=asked if passages else served[i].asked,
            examples=examples,
        )
    return served


def spread(rows: Sequence[Pair], count: int) -> list[Pair]:
    """At most `count` rows, evenly over all: the first ones would be the book's first sections."""
    count = min(count, len(rows))
    return [rows[i * len(rows) // count] for i in range(count)]
