"""Questions with their right passage and wrong ones that look right, from pairs and an index."""

import random
import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field, replace
from itertools import islice
from pathlib import Path

from common.pairs import Pair
from common.read_pairs import read_pairs
from retrieval.passages import Passage
from retrieval.search import Retriever
from retrieval.terms import index_terms
from train.dataset import DataError
from train.retriever.recipe import FinderRecipe

# Share of the answer's terms that the passage of a merged row must hold to be taken for its own,
# and from which on another passage may hold the answer as well and so is no wrong one.
OWN, HOLDS = 0.5, 0.8
_NUMBERING = re.compile(r"^[\s※#]*(?:第.{1,4}[章节篇部]|[\d.]+|[一二三四五六七八九十]+、)?[\s.、]*")


@dataclass(frozen=True)
class Example:
    """A question and the place of its right passage.

    bare: passages are shown without their headings, from which the question was made: a model that
    learns to find a heading in itself learns nothing. The wrong ones too: a right passage must not
    be known by what it lacks. wrong: places of passages found for it.
    """

    question: str
    right: int
    answer: str = field(default="", repr=False)
    bare: bool = False
    wrong: tuple[int, ...] = ()

    def shown(self, passage: Passage) -> str:
        """The text of a passage as it stands beside this question."""
        return passage.text if self.bare else passage.indexed_text


@dataclass(frozen=True)
class Examples:
    """train and dev, dev's sections, and how many rows lead to no passage of the index."""

    train: list[Example]
    dev: list[Example]
    held_out: frozenset[tuple[str, ...]]
    lost: int


def read_examples(recipe: FinderRecipe, passages: Sequence[Passage]) -> Examples:
    """The examples of a recipe, without wrong passages yet. Raises PairsError, DataError."""
    terms = [set(index_terms(passage.text)) for passage in passages]
    found, lost = {}, 0
    for name in (recipe.train_file, recipe.dev_file):
        pairs = [pair for pair in read_pairs(recipe.dataset_dir / name, True).pairs if pair.learn]
        found[name] = []
        for pair in pairs:
            place = place_of(pair, passages, terms)
            lost += place is None
            if place is not None:
                found[name] += [Example(w, place, pair.answer) for w in pair.wordings]
    train, dev = found[recipe.train_file], found[recipe.dev_file]
    held_out = frozenset(passages[example.right].path for example in dev)
    if recipe.heading_questions:
        train += heading_examples(passages, held_out)
    if not train or not dev:
        raise DataError(
            f"{recipe.dataset_dir}：{len(train)} 道训练题和 {len(dev)} 道验证题指到 "
            f"{recipe.index_dir} 的片段，{lost} 行没有：两者要用同一本教材做，"
            "并加 `data build --dev 0.2`",
            f"{recipe.dataset_dir}: {len(train)} train and {len(dev)} dev questions lead to a "
            f"passage of {recipe.index_dir}, and {lost} rows to none: make both from the same "
            "book, with `data build --dev 0.2`",
        )
    if recipe.max_samples:
        train = random.Random(recipe.seed).sample(train, min(recipe.max_samples, len(train)))
    return Examples(train, dev, held_out, lost)


def place_of(
    pair: Pair, passages: Sequence[Passage], terms: Sequence[set[str]] | None = None
) -> int | None:
    """The passage that a row of `data` comes from, or None where the index has none.

    By the row's span of the book; a row that knows only its section (merged ones) by the passage
    of that section that holds most of its answer. terms: of each passage.
    """
    book, path = pair.extra.get("book"), tuple(pair.extra.get("path") or ())
    start, end = pair.extra.get("span") or (0, 0)
    if end > start:
        shared = [min(p.end, end) - max(p.start, start) if p.book == book else 0 for p in passages]
        best = max(range(len(passages)), key=shared.__getitem__)
        return best if shared[best] > 0 else None
    if terms is None:
        terms = [set(index_terms(passage.text)) for passage in passages]
    wanted = set(index_terms(pair.answer))
    near = [
        i
        for i, p in enumerate(passages)
        if path
        and p.book == book
        and (p.path[: len(path)] == path or path[: len(p.path)] == p.path)
    ]
    best = max(near, key=lambda i: len(wanted & terms[i]), default=None)
    return best if best is not None and len(wanted & terms[best]) >= OWN * len(wanted) else None


def heading_examples(
    passages: Sequence[Passage], held_out: Collection[tuple[str, ...]] = ()
) -> list[Example]:
    """The two innermost headings as a question for each passage below them (the title and body
    pairs that encoders are trained on first: Wang et al. 2022, arXiv:2212.03533).

    held_out: sections of the dev questions, which give none.
    """
    found = []
    for place, passage in enumerate(passages):
        titles = [_NUMBERING.sub("", title) for title in passage.path[-2:]]
        question = " ".join(filter(None, titles))
        if question and passage.path not in held_out:
            found.append(Example(question, place, bare=True))
    return found


def with_wrong_passages(
    examples: Sequence[Example],
    retriever: Retriever,
    recipe: FinderRecipe,
    held_out: Collection[tuple[str, ...]] = (),
) -> list[Example]:
    """The examples with `negatives` wrong passages each, the best found first.

    Wrong are those of the same ranking that the service uses (Karpukhin et al. 2020,
    arXiv:2004.04906, take BM25's) that neither are the right one, nor hold the answer, nor stand
    in its section. Where too few are found, others of the book are drawn.
    held_out: sections that give none. Those of the dev questions would else be wrong in training
    and never right, and a model that learns which passages are wrong fails on dev.
    Raises DataError for a book with too few passages.
    """
    if len(retriever.passages) <= recipe.negatives:
        raise DataError(
            f"{recipe.index_dir}：{len(retriever.passages)} 个片段不够 "
            f"negatives={recipe.negatives} 用",
            f"{recipe.index_dir}: {len(retriever.passages)} passages are too few for "
            f"negatives={recipe.negatives}",
        )
    passages = retriever.passages
    terms = [set(index_terms(passage.text)) for passage in passages]
    allowed = [p for p, passage in enumerate(passages) if passage.path not in held_out]
    may = set(allowed)
    ranked = retriever.rank([example.question for example in examples], recipe.mine_first)
    draw = random.Random(recipe.seed)
    done = []
    for example, row in zip(examples, ranked, strict=True):
        right, wanted = passages[example.right], set(index_terms(example.answer))

        def fits(place: int, right: Passage = right, wanted: set[str] = wanted) -> bool:
            same = (passages[place].book, passages[place].path) == (right.book, right.path)
            return not same and (not wanted or len(wanted & terms[place]) < HOLDS * len(wanted))

        found = (place for place, _ in row if place in may and fits(place))
        wrong = list(islice(found, recipe.negatives))
        for others in (allowed, range(len(passages))):
            if len(wrong) < recipe.negatives:
                left = [p for p in others if p not in wrong and fits(p)]
                wrong += draw.sample(left, min(recipe.negatives - len(wrong), len(left)))
        if len(wrong) < recipe.negatives:  # all say much the same
            left = [p for p in range(len(passages)) if p not in wrong and p != example.right]
            wrong += draw.sample(left, recipe.negatives - len(wrong))
        done.append(replace(example, wrong=tuple(wrong)))
    return done


def parent_files(recipe: FinderRecipe) -> list[Path]:
    """The files that a run reads."""
    names = (recipe.train_file, recipe.dev_file)
    return [recipe.dataset_dir / name for name in names] + [recipe.index_dir / "passages.jsonl"]
