"""The two kinds of models that find passages: how each is trained, and how it is compared."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, TypeVar

from retrieval.dense import DenseIndex, Encoder
from retrieval.evaluate import Asked, Outcome, evaluate_method
from retrieval.rerank import FIRST, Reranker, is_cross_encoder
from retrieval.search import Method, Retriever
from train.retriever.examples import Example
from train.retriever.fitting import Fitted
from train.retriever.recipe import FinderRecipe, RerankerRecipe, RetrieverRecipe

R = TypeVar("R", bound=FinderRecipe)
Tell = Callable[[str], None]


@dataclass(frozen=True)
class Versus:
    """What a method finds with the tuned model, and what it is compared with, by its name."""

    method: Method
    base_name: str
    base: Outcome
    tuned: Outcome


class Kind(ABC, Generic[R]):
    """A base model and the index whose passages it is to find."""

    def __init__(self, base: Path, index: Retriever):
        self.base, self.index = base, index

    @abstractmethod
    def finder(self) -> Retriever:
        """What finds the wrong passages to learn from."""

    @abstractmethod
    def train(
        self, recipe: R, train: Sequence[Example], dev: Sequence[Example], out: Path, tell: Tell
    ) -> Fitted:
        """Train and write the best checkpoint to `out`. tell: what to know before it starts."""

    @abstractmethod
    def compared(self, asked: Sequence[Asked], model: Path) -> list[Versus]:
        """What the tuned `model` finds, against what was there before it."""


class RetrieverKind(Kind[RetrieverRecipe]):
    """A bi-encoder: alone, and fused with BM25 as the service does."""

    def __init__(self, base: Path, index: Retriever):
        super().__init__(base, index)
        self._made: dict[Path, Retriever] = {}

    def finder(self) -> Retriever:
        """BM25 and the base, fused."""
        return self._with(self.base)

    def train(
        self,
        recipe: RetrieverRecipe,
        train: Sequence[Example],
        dev: Sequence[Example],
        out: Path,
        tell: Tell,
    ) -> Fitted:
        """See Kind."""
        from train.retriever.encoder import train_encoder

        return train_encoder(recipe, self.base, train, dev, self.index.passages, out)

    def compared(self, asked: Sequence[Asked], model: Path) -> list[Versus]:
        """See Kind."""
        base, tuned = self._with(self.base), self._with(model)
        methods: tuple[Method, ...] = ("dense", "fused")
        return [
            Versus(m, "base", evaluate_method(base, asked, m), evaluate_method(tuned, asked, m))
            for m in methods
        ]

    def _with(self, directory: Path) -> Retriever:
        if directory not in self._made:
            encoder = Encoder(directory)
            texts = [passage.indexed_text for passage in self.index.passages]
            dense = DenseIndex.build(encoder.documents(texts))
            self._made[directory] = self.index.with_models(dense, encoder)
        return self._made[directory]


class RerankerKind(Kind[RerankerRecipe]):
    """A cross-encoder over what BM25 finds, against that order and that of a base that ranks."""

    def finder(self) -> Retriever:
        """BM25."""
        return self.index

    def train(
        self,
        recipe: RerankerRecipe,
        train: Sequence[Example],
        dev: Sequence[Example],
        out: Path,
        tell: Tell,
    ) -> Fitted:
        """See Kind."""
        from train.retriever.reranker import train_reranker

        ranked = self.index.rank([example.question for example in dev], FIRST)
        found = [[place for place, _ in row] for row in ranked]
        return train_reranker(recipe, self.base, train, dev, found, self.index.passages, out, tell)

    def compared(self, asked: Sequence[Asked], model: Path) -> list[Versus]:
        """See Kind."""
        tuned = self._reranked(asked, model)
        found = [Versus("reranked", "BM25", evaluate_method(self.index, asked, "bm25"), tuned)]
        if is_cross_encoder(self.base):  # another's order is that of a random head
            found.append(Versus("reranked", "base", self._reranked(asked, self.base), tuned))
        return found

    def _reranked(self, asked: Sequence[Asked], model: Path) -> Outcome:
        retriever = self.index.with_models(reranker=Reranker(model))
        return evaluate_method(retriever, asked, "reranked")
