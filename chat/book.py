"""The book at hand in a talk: passages for a question, and for what it refers back to."""

import re
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path

from chat.asking import Turns
from chat.registry import Target
from common.tokenizer_file import load_tokenizer
from retrieval.fusion import reciprocal_rank_fusion
from retrieval.passages import PASSAGES_NAME, Passage
from retrieval.prompt import fitting, with_passages
from retrieval.search import RECALLED, Retriever

REFERS_BACK = re.compile(
    "[它此]|(?<!尤)其(?![他余实])|(?<!应)该|[这那]([个些种样里时两]|是|么)|上[面述一]|前[面者]|后者|刚才"
    "|呢[？?]?$|^(为什么|怎么[做用办]?|例如|继续)[？?]?$|^还有"
    r"|\b(it|its|this|that|these|those|they|them|their)\b",
    re.IGNORECASE,
)
# A clause of some length before what refers back.
CLAUSE_BEFORE = re.compile(rf"^.{{4,}}[，,；;。：:].*?(?:{REFERS_BACK.pattern})", re.IGNORECASE)


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
        """The best passages, best first; see `searched`. A question whose "it" may be what it
        named itself ("什么是 Reduce，它有什么用？") is searched for alone as well."""
        asked = [searched(question, history)]
        if asked[0] != question and CLAUSE_BEFORE.search(question):
            asked.append(question)
        ranked = self._retriever.rank(asked, RECALLED)
        fused = reciprocal_rank_fusion([[place for place, _ in row] for row in ranked])
        return [self._retriever.passages[place] for place, _ in fused[: self._count]]

    def asked_of(self, target: Target, question: str, history: Turns) -> tuple[str, list[Passage]]:
        """What a model is asked: the question with the passages for it, and these."""
        found = self.passages(question, history)
        return self.asked(question, found, lambda text: tokens_of(target, text))

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


def searched(question: str, history: Turns) -> str:
    """What is searched for: a follow-up ("它的返回类型呢？") together with the questions before it,
    back to one that stands alone and says what "it" is. Another subject is searched for alone."""
    questions = [question]
    for user, _ in reversed(history):
        if not REFERS_BACK.search(questions[0]):
            break
        questions.insert(0, user)
    return "\n".join(questions)


def open_book(directory: Path | None, count: int, budget: int) -> Book | None:
    """The book of an index folder; None where the folder holds none."""
    if directory is None or not (directory / PASSAGES_NAME).is_file():
        return None
    return Book(directory, count, budget)


def tokens_of(target: Target, text: str) -> int:
    """Tokens of a text for the model of a target."""
    tokenizer = _tokenizer(target.engine.model.path)
    return len(tokenizer.encode(text, add_special_tokens=False).ids)


_tokenizer = lru_cache(maxsize=8)(load_tokenizer)
