"""The book at hand in a talk: passages for a question, and for what it refers back to."""

from collections.abc import Callable
from functools import lru_cache
from pathlib import Path

from tokenizers import Tokenizer

from chat.asking import Turns
from chat.registry import Target
from retrieval.passages import PASSAGES_NAME, Passage
from retrieval.prompt import fitting, with_passages
from retrieval.search import Retriever


class Book:
    """Searches one index by BM25. Raises IndexFileError or OSError when it cannot be read."""

    def __init__(self, directory: Path, count: int, budget: int):
        """count: passages a question; budget: tokens of all of them."""
        self._retriever = Retriever.load(directory)
        self._count = count
        self._budget = budget
        # How far into its book a passage stands: books have no pages here, but an end.
        self._ends: dict[str, int] = {}
        for passage in self._retriever.passages:
            self._ends[passage.book] = max(self._ends.get(passage.book, 0), passage.end)

    def passages(self, question: str, history: Turns) -> list[Passage]:
        """The best passages, best first. A follow-up ("它的返回类型呢？") is searched for together
        with the question before it, which says what "it" is."""
        before = [history[-1][0]] if history else []
        (hits,) = self._retriever.search(["\n".join([*before, question])], self._count)
        return [hit.passage for hit in hits]

    def asked(
        self, question: str, passages: list[Passage], tokens: Callable[[str], int]
    ) -> tuple[str, list[Passage]]:
        """The user's turn with those passages before it that fit the budget, and these."""
        shown = fitting(passages, tokens, self._budget)
        return with_passages(question, shown), shown

    def place(self, passage: Passage) -> str:
        """Where a passage stands: book, headings, page; how far into a book without pages."""
        if passage.page is not None:
            return passage.place
        share = passage.start / max(self._ends.get(passage.book, 0), 1)
        return f"{passage.place} · {share:.0%}"


def open_book(directory: Path | None, count: int, budget: int) -> Book | None:
    """The book of an index folder; None where the folder holds none."""
    if directory is None or not (directory / PASSAGES_NAME).is_file():
        return None
    return Book(directory, count, budget)


def tokens_of(target: Target, text: str) -> int:
    """Tokens of a text for the model of a target."""
    tokenizer = _tokenizer(target.engine.model.path / "tokenizer.json")
    return len(tokenizer.encode(text, add_special_tokens=False).ids)


@lru_cache(maxsize=8)
def _tokenizer(path: Path) -> Tokenizer:
    return Tokenizer.from_file(str(path))
