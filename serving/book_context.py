"""The book at hand: passages of the index before each question (RETRIEVAL_DIR)."""

import logging
import math
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any

from common.manifest import ManifestError, chain, read_manifest
from common.model_shape import ShapeError, shape_of
from serving.engine.arguments import read_config
from serving.engine.base import ModelError
from serving.settings import Settings

log = logging.getLogger(__name__)

# Characters of a question that are searched for: what a person asks is shorter.
SEARCHED_CHARACTERS = 2000
# Part of a call's time in which a reranker must be done: answers without its order score, no
# answers do not.
RERANKING_SHARE = 0.25


class BookContext:
    """Finds passages for questions, as many as the settings and the context allow.

    turns: worked examples, (user, assistant), that stand before every question.
    """

    def __init__(self, settings: Settings):
        """Load the index. Raises ModelError naming what is wrong with it."""
        # Here, not above: a service without an index needs none of these packages.
        try:
            from retrieval.examples import examples_of, turns_of
            from retrieval.prompt import FORM, fitting, with_passages
            from retrieval.search import Retriever

            began = time.monotonic()
            self._retriever = Retriever.load(
                settings.retrieval_dir,
                settings.retrieval_encoder,
                settings.retrieval_reranker,
                rerank_first=settings.retrieval_rerank_first,
            )
            self._manifest = read_manifest(settings.retrieval_dir)
        except (ImportError, ValueError, OSError) as error:
            raise ModelError(f"RETRIEVAL_DIR={settings.retrieval_dir}: {error}") from error
        try:
            shown = settings.retrieval_examples  # "auto" where nobody settled it: none
            self._examples = examples_of(False if shown == "auto" else shown)
        except (ValueError, OSError) as error:
            told = f"RETRIEVAL_EXAMPLES={settings.retrieval_examples}: {error}"
            raise ModelError(told) from error
        self.turns = turns_of(self._examples)
        self._count = settings.retrieval_passages
        self._budget = settings.retrieval_tokens
        self._why = settings.retrieval_why
        self._form, self._fitting, self._with_passages = FORM, fitting, with_passages
        self._sizes: dict[str, int] = {}
        self._searching = threading.Lock()  # an encoder is one thread's at a time
        for line in chain(self._manifest) if self._manifest else []:
            log.info("retrieval: %s", line)
        log.info(
            "retrieval: %d passages, %s, loaded in %.1f s",
            *(len(self._retriever.passages), self._retriever.method, time.monotonic() - began),
        )

    def prompts(
        self,
        questions: Sequence[str],
        rooms: Sequence[int],
        tokens: Callable[[str], int],
        deadline: float = math.inf,
    ) -> list[str]:
        """Each question with its passages before it; see `chosen`."""
        began = time.monotonic()
        chosen = self.chosen(questions, rooms, tokens, deadline)
        log.info("retrieval: %d questions in %.3f s", len(chosen), time.monotonic() - began)
        return [
            self._with_passages(question, [hit.passage for hit in hits])
            for question, hits in zip(questions, chosen, strict=True)
        ]

    def chosen(
        self,
        questions: Sequence[str],
        rooms: Sequence[int],
        tokens: Callable[[str], int],
        deadline: float = math.inf,
    ) -> list[list[Any]]:
        """What stands before each question (retrieval.search.Hit), best first.

        rooms: tokens that each question's prompt leaves free in the context; where not even the
        shortest passage fits, the question stands alone. tokens: counts those of a text.
        deadline: of the answers, a `time.monotonic()` value.
        """
        form = self._size(self._form, tokens)
        searched = [question[:SEARCHED_CHARACTERS] for question in questions]
        with self._searching:
            now = time.monotonic()
            until = now + RERANKING_SHARE * (deadline - now)
            found = self._retriever.search(searched, self._count, until=until)
        chosen = []
        for hits, room in zip(found, rooms, strict=True):
            kept = self._fitting(
                [hit.passage for hit in hits],
                lambda text: self._size(text, tokens),
                min(room - form, self._budget),
            )
            chosen.append([hit for hit in hits if hit.passage in kept])
        return chosen

    def info(self) -> dict[str, Any]:
        """Facts for `GET /info`."""
        return {
            "books": self._manifest.name if self._manifest else None,
            "passages": len(self._retriever.passages),
            "method": self._retriever.method,
            "passages_a_question": self._count,
            "tokens_a_question": self._budget,
            "examples": [example.question for example in self._examples],
            "examples_why": self._why,
            "manifest": self._manifest.model_dump() if self._manifest else None,
        }

    def _size(self, text: str, tokens: Callable[[str], int]) -> int:
        """Tokens of a passage; it may stand before many questions."""
        if text not in self._sizes:
            self._sizes[text] = tokens(text)
        return self._sizes[text]


def serves_book(settings: Settings) -> bool:
    """Whether the settings name an index. The default folder may be empty."""
    folder = settings.retrieval_dir
    named = "retrieval_dir" in settings.model_fields_set
    there = folder is not None and (named or (folder / "passages.jsonl").is_file())
    return bool(there and settings.retrieval_passages)


def settled(settings: Settings) -> Settings:
    """The settings with what RETRIEVAL_EXAMPLES=auto comes to for this model and index.

    Raises ModelError for a model directory without a config.json.
    """
    if settings.retrieval_examples != "auto":
        return settings
    if not serves_book(settings):
        return settings.model_copy(update={"retrieval_examples": False})
    from retrieval.examples_auto import automatic

    config = read_config(settings)
    try:
        shape = shape_of(config, "config.json")
    except ShapeError:
        shape = None
    try:
        manifest = read_manifest(settings.model_dir)
    except ManifestError as error:
        why = f"auto: off, {error}"
        log.warning("RETRIEVAL_EXAMPLES=%s", why)
        return settings.model_copy(update={"retrieval_examples": False, "retrieval_why": why})
    chosen = automatic(shape, config.get("max_position_embeddings"), manifest)
    unset = chosen.settings.keys() - settings.model_fields_set
    log.info("RETRIEVAL_EXAMPLES=%s", chosen.why)
    more = {name: chosen.settings[name] for name in unset}
    update = {"retrieval_examples": chosen.examples, "retrieval_why": chosen.why, **more}
    return settings.model_copy(update=update)


def book_context(settings: Settings) -> BookContext | None:
    """The index that the settings name; None: questions are asked alone.

    Raises ModelError when RETRIEVAL_DIR is set and holds none. The default folder may be empty.
    """
    if serves_book(settings):
        return BookContext(settings)
    if settings.retrieval_examples not in ("auto", False):
        log.warning("no index is served: RETRIEVAL_EXAMPLES does nothing")
    return None
