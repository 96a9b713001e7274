"""The two kinds of models that find passages: how each is trained, and how it is compared."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path
from typing import Generic, TypeVar

from retrieval.dense import DenseIndex, Encoder
from retrieval.evaluate import Asked, Outcome, evaluate_method
from retrieval.rerank import Reranker
from retrieval.search import RERANKED, Method, Retriever
from train.retriever.examples import Example
from train.retriever.fitting import Fitted
from train.retriever.recipe import FinderRecipe, RerankerRecipe, RetrieverRecipe

R = TypeVar("R", bound=FinderRecipe)
Outcomes = dict[Method, Outcome]


class Kind(ABC, Generic[R]):
    """A base model and the index whose passages it is to find."""

    def __init__(self, base: Path, index: Retriever):
        self.base, self.index = base, index

    @abstractmethod
    def finder(self) -> Retriever:
        """What finds the wrong passages to learn from."""

    @abstractmethod
    def train(
        self, recipe: R, train: Sequence[Example], dev: Sequence[Example], out: Path
    ) -> Fitted:
        """Train and write the best checkpoint to `out`."""

    @abstractmethod
    def outcomes(self, asked: Sequence[Asked], model: Path | None) -> Outcomes:
        """What each method finds with `model`; None: with the base."""


class RetrieverKind(Kind[RetrieverRecipe]):
    """A bi-encoder: alone, and fused with BM25 as the service does."""

    def __init__(self, base: Path, index: Retriever):
        super().__init__(base, index)
        self._made: dict[Path, Retriever] = {}

    def finder(self) -> Retriever:
        """BM25 and the base, fused."""
        return self._with(self.base)

    def train(
        self, recipe: RetrieverRecipe, train: Sequence[Example], dev: Sequence[Example], out: Path
    ) -> Fitted:
        """See Kind."""
        from train.retriever.encoder import train_encoder

        return train_encoder(recipe, self.base, train, dev, self.index.passages, out)

    def outcomes(self, asked: Sequence[Asked], model: Path | None) -> Outcomes:
        """See Kind."""
        retriever = self._with(model or self.base)
        methods: tuple[Method, ...] = ("dense", "fused")
        return {method: evaluate_method(retriever, asked, method) for method in methods}

    def _with(self, directory: Path) -> Retriever:
        if directory not in self._made:
            encoder = Encoder(directory)
            texts = [passage.indexed_text for passage in self.index.passages]
            dense = DenseIndex.build(encoder.documents(texts))
            self._made[directory] = self.index.with_models(dense, encoder)
        return self._made[directory]


class RerankerKind(Kind[RerankerRecipe]):
    """A cross-encoder over what BM25 finds; its base is that order as it is found."""

    def finder(self) -> Retriever:
        """BM25."""
        return self.index

    def train(
        self, recipe: RerankerRecipe, train: Sequence[Example], dev: Sequence[Example], out: Path
    ) -> Fitted:
        """See Kind."""
        from train.retriever.reranker import train_reranker

        ranked = self.index.rank([example.question for example in dev], RERANKED)
        found = [[place for place, _ in row] for row in ranked]
        return train_reranker(recipe, self.base, train, dev, found, self.index.passages, out)

    def outcomes(self, asked: Sequence[Asked], model: Path | None) -> Outcomes:
        """See Kind."""
        if model is None:
            return {"reranked": evaluate_method(self.index, asked, "bm25")}
        retriever = self.index.with_models(reranker=Reranker(model))
        return {"reranked": evaluate_method(retriever, asked, "reranked")}
