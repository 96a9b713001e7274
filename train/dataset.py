"""Rows for training: the serving prompt, the answer, and loss on the answer alone."""

import random
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from common.prompting import render_prompts, tokenize_prompts
from train.pairs import Pair, read_pairs
from train.recipe import Recipe

Row = tuple[str, str]  # question, answer


class DataError(ValueError):
    """Rows that cannot be trained on; the message says which and what to do."""


@dataclass(frozen=True)
class Rows:
    """The rows of one run; `files` are what they were read from."""

    train: list[Row]
    dev: list[Row]
    calibration: list[Row]
    files: list[Path]


def load_rows(recipe: Recipe) -> Rows:
    """Train, dev and calibration rows of a recipe. Raises PairsError or DataError."""

    def pairs(name: str) -> list[Pair]:
        return read_pairs([recipe.dataset_dir / name])

    files = [recipe.train_file, recipe.dev_file, recipe.calibration_file]
    learned = pairs(recipe.train_file)[: recipe.max_samples]
    if recipe.dev_file:
        train = [(wording, pair.answer) for pair in learned for wording in pair.wordings]
        dev = [(pair.question, pair.answer) for pair in pairs(recipe.dev_file)]
    else:
        train = [(w, pair.answer) for pair in learned for w in pair.wordings[: _kept(pair)]]
        dev = [(p.wordings[-1], p.answer) for p in learned if len(p.wordings) > 1]
    if recipe.calibration_file:
        calibration = [(p.question, p.answer) for p in pairs(recipe.calibration_file)]
    else:
        calibration = None
    overlap = {question for question, _ in train} & {question for question, _ in dev}
    if overlap:
        raise DataError(
            f"{len(overlap)} dev questions are also train questions, so the dev score would mean "
            f"nothing; the first: {sorted(overlap)[0]}. Split again with `python -m data`"
        )
    if not dev:
        raise DataError("no dev rows: the best checkpoint is chosen by them")
    shuffled = list(dict.fromkeys(train))
    # A book's rows lie side by side, wording after wording; packing would keep them so.
    random.Random(recipe.seed).shuffle(shuffled)
    return Rows(
        shuffled, dev, calibration or shuffled, [recipe.dataset_dir / f for f in files if f]
    )


def _kept(pair: Pair) -> int:
    """How many wordings of a pair are trained on when the last is held out."""
    return max(1, len(pair.wordings) - 1)


def encode_rows(
    tokenizer: Any, rows: Sequence[Row], system_prompt: str
) -> list[dict[str, list[int]]]:
    """`input_ids` and `labels` of each row; labels are -100 on the prompt.

    The prompt is rendered as in serving; the answer ends with the tokenizer's end-of-turn token,
    and so does the loss: this is where the model learns to stop.
    """
    if tokenizer.eos_token is None:
        raise DataError("the tokenizer has no eos_token, so answers would never end")
    prompts = render_prompts(tokenizer, [question for question, _ in rows], system_prompt)
    heads = tokenize_prompts(tokenizer, prompts)
    tails = tokenize_prompts(tokenizer, [answer + tokenizer.eos_token for _, answer in rows])
    return [
        {"input_ids": head + tail, "labels": [-100] * len(head) + tail}
        for head, tail in zip(heads, tails, strict=True)
    ]


def fitting_rows(
    encoded: list[dict[str, list[int]]], rows: Sequence[Row], recipe: Recipe
) -> tuple[list[dict[str, list[int]]], list[str]]:
    """The rows of at most `cutoff_len` tokens, and one line for each that was left out.

    Raises DataError listing them unless `drop_long_rows` is set: an answer cut short teaches the
    model to stop in the middle.
    """
    long = [i for i, row in enumerate(encoded) if len(row["input_ids"]) > recipe.cutoff_len]
    lines = [f"{len(encoded[i]['input_ids'])} tokens: {rows[i][0][:60]}" for i in long]
    if long and not recipe.drop_long_rows:
        raise DataError(
            f"{len(long)} of {len(encoded)} rows are longer than cutoff_len={recipe.cutoff_len}: "
            "raise cutoff_len, or leave them out with drop_long_rows=true\n  "
            + "\n  ".join(lines[:20])
        )
    skipped = set(long)
    kept = [row for i, row in enumerate(encoded) if i not in skipped]
    if not kept:
        raise DataError(f"no row is as short as cutoff_len={recipe.cutoff_len} tokens")
    return kept, lines
