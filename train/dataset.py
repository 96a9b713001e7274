"""Rows for training: the serving prompt, the answer, and loss on the answer alone."""

import random
import re
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from common.language import BilingualError, either
from common.manifest import read_manifest
from common.pairs import Pair, PairFile, by_fact, refused, spots
from common.prompting import messages_for, talk_ids, text_ids
from common.read_pairs import read_pairs
from common.text_doubts import holds_reasoning
from retrieval.examples import turns_of
from serving.clean_answer import clean
from train.book import worked_examples
from train.excluded import refuse_excluded_files, refuse_test_questions
from train.recipe import Recipe

# What a model thought before it answered; a short block on one line is text about the tags.
_THINKING = re.compile(r"\A<think>(?:([^\n]{0,30})</think>|.*</think>)", re.DOTALL)


class DataError(BilingualError, ValueError):
    """Rows that cannot be trained on; the message says which and what to do."""


@dataclass(frozen=True)
class Rows:
    """The rows of one run, each a pair in one wording; `files` are what they were read from.

    `notes` say what of the files is not trained on, and what is doubtful about them.
    """

    train: list[Pair]
    dev: list[Pair]
    calibration: list[Pair]
    files: list[Path]
    notes: list[str] = field(default_factory=list)


def load_rows(recipe: Recipe) -> Rows:
    """Train, dev and calibration rows of a recipe. Raises PairsError or DataError."""
    notes: list[str] = []
    notes += _not_composed(recipe.dataset_dir)
    examples = worked_examples(recipe)
    files = [recipe.train_file, recipe.dev_file, recipe.calibration_file]
    given = [recipe.dataset_dir / name for name in files if name]
    refuse_excluded_files(recipe, [*given, *filter(None, [recipe.mix_file])])

    def pairs(name: str, instead: str) -> list[Pair]:
        path = recipe.dataset_dir / name
        if path.is_file() and not path.read_bytes().strip():
            raise DataError(f"{path} 是空的：{instead}", f"{path} is empty: {instead}")
        found = read_pairs(path)
        notes.extend(f"{found.path.name}: {warning}" for warning in found.warnings)
        return _learned(found, notes)

    more = either(
        "再做一次数据（bash run.sh data build …，它会说怎样多出题），书要更长",
        "make the data again from a longer book (bash run.sh data build … says how to get more)",
    )
    learned = pairs(recipe.train_file, more)[: recipe.max_samples]
    if recipe.dev_file:
        train = [pair.asked_as(wording) for pair in learned for wording in pair.wordings]
        dev = [pair.asked_as(pair.question) for pair in pairs(recipe.dev_file, without_dev())]
    else:
        learned = by_fact(learned)  # `python -m data` writes a row for each wording
        train = [p.asked_as(w) for p in learned for w in p.wordings[: _kept(p)]]
        dev = [p.asked_as(p.wordings[-1]) for p in learned if len(p.wordings) > 1]
    train_rows = either(
        "calibration_file=null 用训练的行来校准", "calibration_file=null quantizes with train rows"
    )
    if recipe.calibration_file:
        calibration = [p.asked_as(p.question) for p in pairs(recipe.calibration_file, train_rows)]
    else:
        calibration = None
    asked = [{(p.history, p.alone.question) for p in rows} for rows in (train, dev)]
    asked[0] |= {((), example.question) for example in examples}
    overlap = asked[0] & asked[1]
    if overlap:
        count, first = len(overlap), min(overlap)[1]
        raise DataError(
            f"有 {count} 道验证题也在训练题里，验证得分就没有意义；第一道：{first}。"
            "请用 `bash run.sh data build` 重新划分",
            f"{count} dev questions are also train questions, so the dev score would mean "
            f"nothing; the first: {first}. Split again with `bash run.sh data build`",
        )
    refuse_test_questions(
        recipe,
        {
            "train": train,
            "dev": dev,
            "calibration": calibration or (),
            "retrieval_examples": [Pair(each.question, each.answer) for each in examples],
        },
    )
    if not dev:
        told = either(
            "没有验证题（dev）：每个问答只有一种问法，没有可以留出来的",
            "no dev rows: every pair has one wording, so none can be held out",
        )
        raise DataError(f"{told}. {without_dev()}")
    distinct: dict[Pair, Pair] = {}
    turns = turns_of(examples)
    dev, calibration = _shown(dev, turns), _shown(calibration or (), turns)
    for pair in _shown(train, turns):
        distinct.setdefault(_said(pair), pair)
    shuffled = list(distinct.values())
    if recipe.mix_file:
        mixed = _mixed(recipe, len(shuffled), notes)
        refuse_test_questions(recipe, {"mix_file": mixed})
        shuffled += mixed
        files = [*files, recipe.mix_file.absolute()]
    # A book's rows lie side by side, wording after wording; packing would keep them so.
    random.Random(recipe.seed).shuffle(shuffled)
    return Rows(
        shuffled, dev, calibration or shuffled, [recipe.dataset_dir / f for f in files if f], notes
    )


def _not_composed(folder: Path) -> list[str]:
    """A warning where the answers of `data build --to-compose` were never written anew."""
    manifest = read_manifest(folder)
    settings = manifest.settings if manifest else {}
    if not settings.get("to_compose") or "composed" in settings:
        return []
    return [
        either(
            f"注意：{folder} 是 data build --to-compose 做的，答案还没有重答"
            "（只是占位，有的有毛病）：先 bash run.sh data compose，用它写出的目录训练",
            f"ATTENTION: {folder} was made by data build --to-compose, and its answers were not "
            "written anew (they are stand-ins, some with faults): run bash run.sh data compose "
            "first, and train on the folder that it writes",
        )
    ]


def _shown(pairs: Sequence[Pair], turns: tuple[tuple[str, str], ...]) -> list[Pair]:
    """The pairs after the worked examples; a talk, which the service is never asked, as it is."""
    return [pair if pair.history else replace(pair, examples=turns) for pair in pairs]


def without_dev() -> str:
    """What to do where there are no dev rows."""
    return either(
        "最好的检查点要靠验证题（dev）挑选：用更长的书再做一次数据，或给自己的题 "
        "dev_file=文件，或 dev_file=null 留出每个问答的最后一种问法",
        "the best checkpoint is chosen by dev questions: make the data again from a longer book, "
        "or give your own as dev_file=FILE, or hold out the last wording of each pair with "
        "dev_file=null",
    )


def _mixed(recipe: Recipe, own: int, notes: list[str]) -> list[Pair]:
    """General rows that make up `mix_share` of all; `own`: how many rows they are mixed into.

    They are never judged: what they keep alive is how the base follows instructions.
    """
    assert recipe.mix_file
    found = read_pairs(recipe.mix_file)
    notes.extend(f"{found.path.name}: {warning}" for warning in found.warnings)
    general = [pair.asked_as(pair.question) for pair in _learned(found, notes)]
    wanted = round(own * recipe.mix_share / (1 - recipe.mix_share))
    if wanted > len(general):
        share = len(general) / (own + len(general))
        name, count = found.path.name, len(general)
        notes.append(
            either(
                f"{name}：只有 {count} 行，占全部的 {share:.0%}",
                f"{name}: only {count} rows, {share:.0%} of all, are there",
            )
        )
    return random.Random(recipe.seed).sample(general, min(wanted, len(general)))


def _learned(found: PairFile, notes: list[str]) -> list[Pair]:
    """The pairs whose answers are to be learned.

    Raises PairsError for answers that begin with a think block: serving asks with thinking off.
    """
    blocks = ((pair.where, _THINKING.match(pair.answer)) for pair in found.pairs)
    thinking = [where for where, block in blocks if block and block[1] is None]
    if thinking:
        reason = either(
            "回答以 think 块开头，而服务时不用思考模式；请去掉它",
            "the answer begins with a think block, but serving asks without; take it off",
        )
        raise refused(found.path, ((place, reason) for place in thinking))
    taken_off = [
        p.where
        for p in found.pairs
        if p.learn and clean(p.answer, p.question) != p.answer and not holds_reasoning(p)
    ]
    if taken_off:
        where = spots(taken_off)
        notes.append(
            either(
                f"{found.path.name}：{where}：回答里有服务会去掉的东西（think 块、<|im_end|>），"
                "学了只费时间；请去掉",
                f"{found.path.name}: {where}: learned, and taken off by the service (think blocks, "
                "<|im_end|>): it costs time only; take it off",
            )
        )
    context = [pair.where for pair in found.pairs if not pair.learn]
    if context:
        where = spots(context)
        notes.append(
            either(
                f"{found.path.name}：{where}：权重为 0，只读不学",
                f"{found.path.name}: {where}: weight 0, read but not learned",
            )
        )
    learned = [pair for pair in found.pairs if pair.learn]
    if not learned:
        raise DataError(
            f"{found.path}：每个回答的权重都是 0：没有可学的",
            f"{found.path}: every answer in it has weight 0: nothing to learn",
        )
    return learned


def _said(pair: Pair) -> Pair:
    """The pair without what does not change its training row: two such rows are one."""
    return replace(pair, section="", id="", group="")


def _kept(pair: Pair) -> int:
    """How many wordings of a pair are trained on when the last is held out."""
    return max(1, len(pair.wordings) - 1)


def prompt_ids(tokenizer: Any, rows: Sequence[Pair], system_prompt: str) -> list[list[int]]:
    """Token ids of each row's prompt as serving renders it, its earlier turns included.

    A row's own system message goes before `system_prompt`.
    """
    return talk_ids(tokenizer, [talk_of(row, system_prompt) for row in rows])


def talk_of(row: Pair, system_prompt: str) -> list[dict[str, str]]:
    """The messages of a row's prompt; see prompt_ids."""
    turns = (*row.examples, *row.history)
    return messages_for(row.question, row.system or system_prompt, turns)


def encode_rows(
    tokenizer: Any, rows: Sequence[Pair], system_prompt: str, learn_prompt: bool = False
) -> list[dict[str, list[int]]]:
    """`input_ids` and `labels` of each row; labels are -100 on the prompt unless `learn_prompt`.

    The prompt is rendered as in serving; the answer ends with the tokenizer's end-of-turn token,
    and so does the loss: this is where the model learns to stop. What a row spells like a control
    token is text, as it is in serving.
    """
    if tokenizer.eos_token is None:
        raise DataError(
            "分词器没有 eos_token，回答将永远不会结束",
            "the tokenizer has no eos_token, so answers would never end",
        )
    heads = prompt_ids(tokenizer, rows, system_prompt)
    tails = text_ids(tokenizer, [row.answer for row in rows])
    end = tokenizer.eos_token_id
    return [
        {
            "input_ids": [*head, *tail, end],
            "labels": [*(head if learn_prompt else [-100] * len(head)), *tail, end],
        }
        for head, tail in zip(heads, tails, strict=True)
    ]


def fitting_rows(
    encoded: list[dict[str, list[int]]], rows: Sequence[Pair], recipe: Recipe
) -> tuple[list[dict[str, list[int]]], list[str]]:
    """The rows of at most `cutoff_len` tokens, and one line for each that was left out.

    Raises DataError listing them unless `drop_long_rows` is set: an answer cut short teaches the
    model to stop in the middle.
    """
    long = [i for i, row in enumerate(encoded) if len(row["input_ids"]) > recipe.cutoff_len]
    tokens = either(" 词元：", " tokens: ")
    lines = [f"{len(encoded[i]['input_ids'])}{tokens}{_named(rows[i])}" for i in long]
    limit = recipe.cutoff_len
    if long and not recipe.drop_long_rows:
        told = either(
            f"{len(encoded)} 行里有 {len(long)} 行比 cutoff_len={limit} 长："
            "调大 cutoff_len，或用 drop_long_rows=true 不用它们",
            f"{len(long)} of {len(encoded)} rows are longer than cutoff_len={limit}: "
            "raise cutoff_len, or leave them out with drop_long_rows=true",
        )
        raise DataError("\n  ".join([told, *lines[:20]]))
    skipped = set(long)
    kept = [row for i, row in enumerate(encoded) if i not in skipped]
    if not kept:
        raise DataError(
            f"没有一行短于 cutoff_len={limit} 词元",
            f"no row is as short as cutoff_len={limit} tokens",
        )
    return kept, lines


def _named(row: Pair) -> str:
    return f"{row.question[:60]} ({row.place})" if row.place.spot else row.question[:60]
