"""Rows with passages: what the service asks with the book at hand, for training on it.

The prompt is retrieval/prompt.py's, so a model is trained on the very text that it is served.
"""

import random
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict

from common.facts import measured
from common.language import either
from common.manifest import Manifest, file_record, read_manifest
from data.options import option
from data.records import Pair

# Passages of BM25's list that wrong ones are taken from: all share words with the question.
HARD = 20


class PassageSettings(BaseModel):
    """Shares are of rows, drawn by the pair and so the same in every build.

    Their defaults follow what the service meets with two passages (docs/retrieval.md): the right
    one is not among the first three for 8 of 100 questions, and ranks first for 73 of the other
    92. Some rows stand alone, because a service may have no index and not every question finds a
    passage.
    """

    model_config = ConfigDict(frozen=True)

    passages: int = option(
        2,
        "一题前放几个片段，同 RETRIEVAL_PASSAGES",
        "before a question, as RETRIEVAL_PASSAGES",
        ge=1,
        le=20,
    )
    passage_tokens: int = option(
        1200,
        "一行的片段共多少词元，同 RETRIEVAL_TOKENS",
        "of all passages of a row, as RETRIEVAL_TOKENS",
        ge=1,
    )
    no_passages: float = option(
        0.1, "不放片段的行占几成", "share of rows whose question stands alone", ge=0, le=1
    )
    wrong_passages: float = option(
        0.1, "只放错误片段的行占几成", "share of rows with wrong passages only", ge=0, le=1
    )
    later_passage: float = option(
        0.2,
        "其余的行里，正确片段不排第一的占几成",
        "share of the others whose right passage is not the best found",
        ge=0,
        le=1,
    )


class PassageRows:
    """Puts passages of an index before the questions of pairs; `counts` says what stands there."""

    def __init__(
        self,
        directory: Path,
        settings: PassageSettings,
        books: Sequence[Path],
        count_tokens: Callable[[Sequence[str]], list[int]] | None,
        seed: int,
    ):
        """Load the index. books: what the pairs are made from.

        Raises ValueError or OSError: no index, or one of another version of a book.
        """
        from data.index_folder import need_index
        from retrieval.search import Retriever
        from retrieval.terms import index_terms

        if settings.no_passages + settings.wrong_passages > 1:
            raise ValueError(
                either(
                    "--no-passages 与 --wrong-passages 加起来超过 1",
                    "--no-passages and --wrong-passages: together above 1",
                )
            )
        need_index(directory)
        self._retriever = Retriever.load(directory)
        self.manifest: Manifest | None = read_manifest(directory)
        self._check_books(directory, books)
        self._settings, self._seed, self._count = settings, seed, count_tokens
        self._terms = [set(index_terms(p.text)) for p in self._retriever.passages]
        self._sizes: dict[str, int] = {}
        self.counts: Counter[str] = Counter()

    def shown(self, pairs: Sequence[Pair]) -> list[Pair]:
        """The pairs with their prompts."""
        from retrieval.prompt import fitting, with_passages

        found = self._retriever.rank([pair.question for pair in pairs], HARD)
        rows = []
        for pair, ranked in zip(pairs, found, strict=True):
            right, holding = self._right(pair)
            kind, places = self._chosen(pair, [place for place, _ in ranked], right, holding)
            chosen = [self._retriever.passages[place] for place in places]
            kept = fitting(chosen, self._tokens, self._settings.passage_tokens)
            if kind == "right" and chosen[places.index(right)] not in kept:
                kind = "wrong"
            self.counts[kind if kept else "none"] += 1
            self.counts["left out"] += len(chosen) - len(kept)
            prompt = with_passages(pair.question, kept)
            rows.append(replace(pair, prompt=prompt, passages=tuple(p.id for p in kept)))
        return rows

    def _chosen(
        self, pair: Pair, found: Sequence[int], right: int | None, holding: set[int]
    ) -> tuple[str, list[int]]:
        """What stands before a pair, and its passages by their places, best first."""
        wanted, draw = self._settings, random.Random(f"{self._seed} {pair.id}")
        drawn, later = draw.random(), draw.random() < wanted.later_passage
        if drawn < wanted.no_passages:
            return "none", []
        if drawn < wanted.no_passages + wanted.wrong_passages:
            wrong = [place for place in found if place not in holding]
            return "wrong", wrong[: wanted.passages]
        if right is None:  # as the service would ask
            return "unknown", list(found[: wanted.passages])
        chosen = [place for place in found if place != right][: wanted.passages - 1]
        chosen.insert(draw.randint(1, len(chosen)) if later and chosen else 0, right)
        return "right", chosen

    def _right(self, pair: Pair) -> tuple[int | None, set[int]]:
        """The passage that a pair comes from (None: not in the index), and all that may hold its
        answer, which are no wrong ones."""
        from retrieval.terms import OVERLAP, shares_of_terms

        shared = [
            min(p.end, pair.end) - max(p.start, pair.start) if p.book == pair.book else 0
            for p in self._retriever.passages
        ]
        shares = shares_of_terms(pair.answer, self._terms)
        holding = {i for i, share in enumerate(shares) if share >= OVERLAP or shared[i] > 0}
        # Of the passages at the pair's place the one that has the words of its answer; a pair
        # without a place in the book is known by its words alone.
        placed = pair.end > pair.start and max(shared) > 0
        at = [i for i, size in enumerate(shared) if size > 0 or not placed]
        best = max(at, key=lambda i: (shares[i], shared[i]))
        return (best if best in holding else None), holding

    def _tokens(self, text: str) -> int:
        if text not in self._sizes:
            (size,) = self._count([text]) if self._count else (None,)
            self._sizes[text] = size or round(len(text) / measured("chars_per_token"))
        return self._sizes[text]

    def _check_books(self, directory: Path, books: Sequence[Path]) -> None:
        """Places of pairs and passages mean the same text only in the same version of a book."""
        indexed = {r.path: r.sha256 for r in self.manifest.inputs} if self.manifest else {}
        for book in books:
            if book.name in indexed and file_record(book).sha256 != indexed[book.name]:
                raise ValueError(
                    either(
                        f"{directory}：用 {book.name} 的另一个版本做的；请重做：",
                        f"{directory}: made from another version of {book.name}; make it again: ",
                    )
                    + f"bash run.sh retrieval build {book} --out {directory}"
                )
        if books and indexed and not any(book.name in indexed for book in books):
            raise ValueError(
                either(
                    f"{directory}：是 {', '.join(indexed)} 的索引，不是 {books[0].name} 的",
                    f"{directory}: an index of {', '.join(indexed)}, not of {books[0].name}",
                )
            )


def told(counts: Counter[str]) -> dict[str, Any]:
    """Rows by what stands before their question, for the report."""
    names = {
        "right": "the right passage",
        "unknown": "what was found, the right one not known",
        "wrong": "wrong passages only",
        "none": "no passage",
        "left out": "passages too long, left out",
    }
    return {text: counts[name] for name, text in names.items() if counts[name]}
