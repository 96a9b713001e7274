"""The book at hand: what the passages of a committed index, and worked examples, add to each
question's prompt."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field, TypeAdapter

from common.facts import FACTS, measured
from common.language import either
from common.pairs import PairFile
from preflight.checkout import Checkout
from preflight.lines import Line
from preflight.workloads import Workload
from retrieval.examples import OWN, examples_of, turns_of
from retrieval.passages import PASSAGES_NAME
from retrieval.prompt import BETWEEN, FORM, fitting
from retrieval.search import IndexFileError, Retriever

# RETRIEVAL_EXAMPLES, as serving/settings.py reads it.
EXAMPLES: TypeAdapter[Any] = TypeAdapter(Annotated[bool | Path, Field(union_mode="left_to_right")])
TURN_TOKENS = 10  # of Qwen's chat template around the two messages of a turn


@dataclass(frozen=True)
class Book:
    """An index as the service would use it: passages a question, and their tokens at most; tokens
    of the worked examples, and whether their KV cache is kept."""

    retriever: Retriever
    passages: int
    budget: int
    examples: int = 0
    cached: bool = True

    def added_to(self, work: Workload, testset: PairFile | None) -> Workload:
        """The workload with the passages' and the examples' tokens in its prompts.

        testset: its questions are searched for; None: passages of the index's mean length, as many
        as fit. Tokens are estimated by the recorded characters a token.
        """
        form = _tokens(FORM)
        if testset is None:
            texts = [passage.indexed_text + BETWEEN for passage in self.retriever.passages]
            mean = sum(map(_tokens, texts)) / len(texts)
            fit = min(self.passages, int(self.budget / mean), len(texts))
            added = [form + round(fit * mean) if fit else 0] * work.questions
        else:
            asked = [pair.question for pair in testset.pairs]
            added = []
            for hits in self.retriever.search(asked, self.passages):
                kept = fitting([hit.passage for hit in hits], _tokens, self.budget)
                tokens = sum(_tokens(passage.indexed_text + BETWEEN) for passage in kept)
                added.append(form + tokens if kept else 0)
        added = [tokens + self.examples for tokens in added]
        prompts = [alone + more for alone, more in zip(work.prompt_tokens, added, strict=True)]
        cached = self.examples if self.cached else 0
        return replace(work, prompt_tokens=prompts, passage_tokens=added, cached_tokens=cached)


def committed_book(checkout: Checkout) -> tuple[Book | None, list[Line]]:
    """The index that the image would serve with, and a line on it; no index, no line.

    One that does not load is a fail: the service would not start.
    """
    if checkout.stage is None:  # no Dockerfile: that has been said
        return None, []
    told, defaults = checkout.environment, FACTS["service"]
    try:
        count, budget = (
            int(told.get(name.upper()) or defaults[name])
            for name in ("retrieval_passages", "retrieval_tokens")
        )
    except ValueError:  # the line on the settings has said so
        return None, []
    named = told.get("RETRIEVAL_DIR")
    folder = checkout.in_image(named or defaults["retrieval_dir"])
    if count == 0 or (not named and not (folder / PASSAGES_NAME).is_file()):
        return None, []
    inside = folder.is_relative_to(checkout.app)
    place = folder.relative_to(checkout.app) if inside else folder
    what = either(f"{place}/，教材的索引", f"{place}/, the book's index")
    try:
        retriever = Retriever.load(folder)
    except (IndexFileError, OSError) as error:
        why = str(error).replace(f"{checkout.app}/", "")
        figure = either("读不出来", "does not load")
        return None, [Line("repository", what, "fail", figure, why=why)]
    try:
        turns = _committed_turns(checkout)
    except (ValueError, OSError) as error:
        why = str(error).replace(f"{checkout.app}/", "")
        figure = either("不能用", "cannot be used")
        return None, [Line("repository", "RETRIEVAL_EXAMPLES", "fail", figure, why=why)]
    tokens = sum(_tokens(user) + _tokens(answer) + TURN_TOKENS for user, answer in turns)
    cached = told.get("ENABLE_PREFIX_CACHING", "").lower() not in ("0", "false")
    books = ", ".join(dict.fromkeys(passage.book for passage in retriever.passages))
    number = len(retriever.passages)
    figure = either(f"{number:,} 个片段", f"{number:,} passages")
    why = either(
        f"{books[:80]}；每题前至多 {count} 个：这个比赛允许吗？",
        f"{books[:80]}; at most {count} before a question: does this contest allow it?",
    )
    book = Book(retriever, count, budget, tokens, cached)
    if turns:
        figure += either(f"，{len(turns)} 个示例", f", {len(turns)} worked examples")
    return book, [Line("repository", what, "note", figure, why=why)]


def _committed_turns(checkout: Checkout) -> tuple[tuple[str, str], ...]:
    """The worked examples that the image would serve with. Raises ValueError or OSError."""
    asked = checkout.environment.get("RETRIEVAL_EXAMPLES") or FACTS["service"]["retrieval_examples"]
    choice = EXAMPLES.validate_python(asked)
    if not choice:
        return ()
    named = "retrieval/" + OWN.name if choice is True else str(choice)
    return turns_of(examples_of(checkout.in_image(named)))


def prefill_note(work: Workload, seconds: float) -> str:
    """For a predict line: the share of passages and examples in the prompts, and in the time."""
    if not sum(work.passage_tokens):
        return ""
    mean = sum(work.passage_tokens) / work.questions
    whole = sum(work.prompt_tokens) / work.questions
    kept = work.cached_tokens
    zh, en = (f"（含缓存的示例 {kept}）", f" ({kept} of cached examples)") if kept else ("", "")
    return either(
        f"；每题提示 {whole:,.0f} 词元中 {mean:,.0f} 是教材片段{zh}，占 {seconds:.2f} 秒",
        f"; {mean:,.0f} of {whole:,.0f} prompt tokens a question are passages{en}, {seconds:.2f} s",
    )


def _tokens(text: str) -> int:
    return round(len(text) / measured("chars_per_token"))
