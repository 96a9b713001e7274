"""The book at hand: what the passages of a committed index, and worked examples, add to each
question's prompt."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, TypeAdapter, ValidationError

from common.facts import FACTS, measured
from common.language import either
from common.manifest import ManifestError, read_manifest
from common.model_shape import read_config
from common.pairs import PairFile
from preflight.checkout import Checkout
from preflight.lines import Line
from preflight.model import Model
from preflight.workloads import Workload
from retrieval.examples import OWN, examples_of, turns_of
from retrieval.examples_auto import Automatic, automatic
from retrieval.passages import PASSAGES_NAME
from retrieval.prompt import BETWEEN, FORM, fitting
from retrieval.search import IndexFileError, Retriever

# RETRIEVAL_EXAMPLES, as serving/settings.py reads it.
EXAMPLES: TypeAdapter[Any] = TypeAdapter(
    Annotated[Literal["auto"] | bool | Path, Field(union_mode="left_to_right")]
)
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


def committed_book(
    checkout: Checkout, model: Model | None = None, directory: Path | None = None
) -> tuple[Book | None, list[Line]]:
    """The index that the image would serve with, and a line on it; no index, no line.

    One that does not load is a fail: the service would not start. model, directory: what
    RETRIEVAL_EXAMPLES=auto goes by; a hub's model is taken for one that this kit has not trained.
    """
    if checkout.stage is None:  # no Dockerfile: that has been said
        return None, []
    defaults = FACTS["service"]
    try:
        shown, auto = _examples_asked(checkout, model, directory)
    except ValidationError as error:
        return None, [_examples_fail(error.errors()[0]["msg"])]
    told = {name.upper(): str(value) for name, value in auto.settings.items()}
    told |= {name: value for name, value in checkout.environment.items() if value}
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
        named = "retrieval/" + OWN.name if shown is True else str(shown)
        turns = turns_of(examples_of(checkout.in_image(named))) if shown else ()
    except (ValueError, OSError) as error:
        return None, [_examples_fail(str(error).replace(f"{checkout.app}/", ""))]
    tokens = sum(_tokens(user) + _tokens(answer) + TURN_TOKENS for user, answer in turns)
    cached = told.get("ENABLE_PREFIX_CACHING", "").lower() not in ("0", "false")
    books = ", ".join(dict.fromkeys(passage.book for passage in retriever.passages))
    number = len(retriever.passages)
    figure = either(f"{number:,} 个片段", f"{number:,} passages")
    why = either(
        f"{books[:80]}；每题前至多 {count} 个：这个比赛允许吗？",
        f"{books[:80]}; at most {count} before a question: does this contest allow it?",
    )
    if auto.why:
        why += either(f"；RETRIEVAL_EXAMPLES={auto.why}", f"; RETRIEVAL_EXAMPLES={auto.why}")
    book = Book(retriever, count, budget, tokens, cached)
    if turns:
        figure += either(f"，{len(turns)} 个示例", f", {len(turns)} worked examples")
    return book, [Line("repository", what, "note", figure, why=why)]


def _examples_asked(
    checkout: Checkout, model: Model | None, directory: Path | None
) -> tuple[bool | Path, Automatic]:
    """RETRIEVAL_EXAMPLES as the image's service would settle it (serving/book_context.py), and what
    `auto` said. Raises pydantic's ValidationError."""
    told = checkout.environment.get("RETRIEVAL_EXAMPLES")
    if told is None and (checkout.app / "serve.env").is_file():
        return False, Automatic(False, "")
    empty = (told or "").strip().lower() in ("", "auto")
    choice = EXAMPLES.validate_python(FACTS["service"]["retrieval_examples"] if empty else told)
    if choice != "auto":
        return choice, Automatic(False, "")
    context, manifest = None, None
    if directory is not None:
        context = read_config(directory / "config.json").get("max_position_embeddings")
        try:
            manifest = read_manifest(directory)
        except ManifestError as error:  # nor does the service know how it was trained
            return False, Automatic(False, f"auto: off, {error}")
    auto = automatic(model.shape if model else None, context, manifest)
    return auto.examples, auto


def _examples_fail(why: str) -> Line:
    figure = either("不能用", "cannot be used")
    return Line("repository", "RETRIEVAL_EXAMPLES", "fail", figure, why=why)


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
