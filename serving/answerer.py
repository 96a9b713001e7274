"""Questions in, answers out: the stages between the judge's text and the engine's token ids.

render and tokenize (prompting) → engine → clean. The app around it knows HTTP, the engine below
it knows token ids; this module knows neither.
"""

import asyncio
import logging
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

from common.prompting import (
    literal_prompts,
    render_prompts,
    shorten_middle,
    shorten_text,
    system_prompt_for,
    tokenize_prompts,
)
from serving.batch_record import BatchRecord, log_batch
from serving.book_context import book_context
from serving.clean_answer import clean
from serving.draws import Chosen, Redraws, choose, drawn_to_each, draws_deadline, draws_of
from serving.engine.base import HANG_GRACE_S, Answer, Batch, Engine, EngineError, ModelError
from serving.resource_usage import resident_bytes
from serving.settings import Settings

log = logging.getLogger(__name__)

TokensOf = Callable[[str], int]

# Questions, and characters, that are tokenized in one go; between two chunks calls take turns.
CHUNK_QUESTIONS = 512
CHUNK_CHARACTERS = 200_000
# Longest wait past the deadline for an engine in recovery, which delivers nothing.
RECOVERY_GRACE_S = 0.2
# How often a waiting call checks whether its deadline was brought forward.
POLL_S = 0.5


class Answerer:
    """Answers questions with one engine and the model directory's own tokenizer."""

    def __init__(self, engine: Engine, settings: Settings):
        self.engine = engine
        self.settings = settings
        try:
            self.system_prompt = system_prompt_for(settings.model_dir, settings.system_prompt_file)
        except (OSError, ValueError) as error:
            raise ModelError(str(error)) from error
        # A tokenizer object is not thread-safe (the engine has its own): only this thread uses it.
        self._tokenizing = ThreadPoolExecutor(1, thread_name_prefix="tokenizer")
        self._tokenizer: Future[Any] = self._tokenizing.submit(self._load_tokenizer)
        self.book = book_context(settings)
        self._turns = self.book.turns if self.book else ()
        self._turn_tokens = 0  # of the worked examples, the same before every question
        self._running: set[Batch] = set()
        self._last_deadline = float("inf")
        # Called with the record of every answered call.
        self.observer: Callable[[BatchRecord], None] | None = None

    def start(self) -> None:
        """Load the tokenizer, then the engine. Raises ModelError or EngineError.

        Never at the same time: both import the same large libraries, and two threads in the middle
        of a circular import see half a module (seen with accelerate, on a cold disk).
        """
        self._tokenizer.result()
        from jinja2 import TemplateError  # what a broken chat template raises

        try:  # a missing or broken chat template shows before the engine loads for minutes
            self._tokenizing.submit(self._count_turns).result()
            self._tokenizing.submit(self._prepare, ["预热"]).result()
        except TemplateError as error:
            told = f"MODEL_DIR={self.settings.model_dir}: its chat template is broken ({error}): "
            raise ModelError(told + "copy the base model's") from error
        except ValueError as error:
            raise ModelError(f"MODEL_DIR={self.settings.model_dir}: {error}") from error
        self.engine.max_model_len += self._turn_tokens
        self.engine.start()
        context = self.engine.max_model_len
        if self._turn_tokens > context // 2:
            raise ModelError(
                f"RETRIEVAL_EXAMPLES={self.settings.retrieval_examples}: they take "
                f"{self._turn_tokens} of the context of {context} tokens; fewer or shorter ones"
            )

    def stop(self) -> None:
        """Free the device."""
        self.engine.stop()
        self._tokenizing.shutdown()

    async def answer(
        self,
        questions: Sequence[str],
        deadline: float,
        tokens_of: TokensOf | None = None,
        draws: int | None = None,
    ) -> list[str]:
        """One text a question, in order, by `deadline` (a `time.monotonic()` value).

        tokens_of: the exact tokens of a question's answer, for the warm-up; None: answers end by
        themselves or at the settings' max_tokens. draws: instead of the settings' answer_draws.

        Blank questions answer "" without the model; a question cut off at the deadline answers
        what there is. Raises EngineError when the engine is dead and nothing was answered.
        """
        began = time.monotonic()
        # Tokenizing or searching megabytes takes seconds: shorten them first, to well over what
        # fits.
        questions = [shorten_text(question, self._limit) for question in questions]
        asked = [index for index, question in enumerate(questions) if question.strip()]
        texts = [""] * len(questions)
        call = object()
        deadline = min(deadline, self._last_deadline)
        batches: list[Batch] = []
        count = (draws or self.settings.answer_draws) - 1
        redraws = self._redraws(deadline) if not count and tokens_of is None else None
        drawn: list[Batch] = redraws.batches if redraws is not None else []
        try:
            for part in _chunks([questions[index] for index in asked]):
                batch = await self._tokenized(part, deadline, call, tokens_of)
                if batch is None:
                    log.warning("the deadline came before all questions were tokenized")
                    break
                batches.append(batch)
                self._running.add(batch)
                batch.shorten_deadline(self._last_deadline)
                if redraws is not None:
                    redraws.watch(batch, part)
                self.engine.submit(batch)
            if count:
                drawn = self._draw(batches, count, deadline)
            await self._wait(batches)
            if redraws is not None:  # what others ask goes first: they may double a call's time
                now = time.monotonic()
                for batch in drawn:
                    batch.shorten_deadline(2 * now - began)
            await self._wait(drawn, grace=0)  # what is unfinished then does not count
            to_each = redraws.drawn() if redraws is not None else drawn_to_each(drawn, count)
            chosen = await self._chosen([questions[i] for i in asked], batches, to_each)
        except asyncio.CancelledError:  # the caller is gone
            for batch in batches:
                batch.cancel()
            raise
        finally:
            if redraws is not None:
                redraws.close()
            self._running.difference_update(batches, drawn)
            for batch in drawn:  # whatever has happened, nobody waits for more
                batch.cancel()
        for index, answer in zip(asked, chosen.answers, strict=False):
            texts[index] = clean(answer.text, questions[index])
        self._record(len(questions), len(asked), batches, chosen, time.monotonic() - began)
        return texts

    async def passages(self, questions: Sequence[str]) -> list[list[Any]]:
        """What of the book stands before each question (retrieval.search.Hit), best first."""
        book = self.book
        if book is None:
            return [[] for _ in questions]

        def chosen() -> list[list[Any]]:
            asked = [shorten_text(question, self._limit) for question in questions]
            return book.chosen(asked, *self._room(asked, self._limit))

        return await asyncio.get_running_loop().run_in_executor(self._tokenizing, chosen)

    def drain(self, seconds: float) -> None:
        """End running calls, and all later ones, within `seconds`. Any thread may call it."""
        self._last_deadline = min(self._last_deadline, time.monotonic() + seconds)
        for batch in list(self._running):
            last = self._last_deadline
            batch.shorten_deadline(draws_deadline(last) if batch.is_draws else last)

    async def _tokenized(
        self, questions: Sequence[str], deadline: float, call: object, tokens_of: TokensOf | None
    ) -> Batch | None:
        """A batch of these questions, or None when the deadline comes first."""
        left = deadline - time.monotonic()
        if left <= 0:
            return None
        made = asyncio.get_running_loop().run_in_executor(
            self._tokenizing, self._batch, questions, deadline, call, tokens_of
        )
        await asyncio.wait([made], timeout=left + RECOVERY_GRACE_S)
        if made.done():
            return made.result()
        made.cancel()
        return None

    def _redraws(self, deadline: float) -> Redraws | None:
        """What draws answers again that only repeat their questions; None: the setting is off."""
        count, temperature = self.settings.repeat_redraws, self.settings.draw_temperature
        if count == 0:
            return None
        return Redraws(self._submit_draws, count, temperature, draws_deadline(deadline))

    def _draw(self, batches: Sequence[Batch], count: int, deadline: float) -> list[Batch]:
        """Begin `count` further draws of the prompts of these batches."""
        until, temperature = draws_deadline(deadline), self.settings.draw_temperature
        drawn = [draws_of(batch, count, temperature, until) for batch in batches]
        for batch in drawn:
            self._submit_draws(batch)
        return drawn

    def _submit_draws(self, batch: Batch) -> None:
        batch.shorten_deadline(draws_deadline(self._last_deadline))
        self._running.add(batch)
        try:
            self.engine.submit(batch)
        except EngineError as error:  # dead: what it says of the first answers counts
            batch.fail(error)

    async def _chosen(
        self,
        questions: Sequence[str],
        batches: Sequence[Batch],
        drawn: Sequence[Sequence[Answer]],
    ) -> Chosen:
        """What to answer. Raises EngineError when the engine is dead and nothing was answered."""
        answers = _all_answers(batches)
        if not any(drawn):
            return Chosen(answers)
        until = min(batch.deadline for batch in batches)
        return await asyncio.get_running_loop().run_in_executor(
            None, choose, questions, answers, drawn, until
        )

    async def _wait(self, batches: Sequence[Batch], grace: float | None = None) -> None:
        """Until all are done, or their deadline has passed and the engine hangs or recovers: by
        `grace` seconds; None: as long as that usually takes."""
        pending = {asyncio.wrap_future(batch.done) for batch in batches}
        while pending:
            usual = RECOVERY_GRACE_S if self.engine.recovering else HANG_GRACE_S
            late = usual if grace is None else grace
            left = min(batch.deadline for batch in batches) + late - time.monotonic()
            if left <= 0:
                if grace is None:
                    log.error("the engine delivers nothing %.1f s past the deadline", late)
                return
            _, pending = await asyncio.wait(pending, timeout=min(left, POLL_S))

    def tokenizer(self) -> Any:
        """The model directory's tokenizer; not thread-safe, so only while no call runs."""
        return self._tokenizer.result()

    def _load_tokenizer(self) -> Any:
        from transformers import AutoTokenizer

        folder = self.settings.model_dir
        try:
            return AutoTokenizer.from_pretrained(folder)
        except Exception as error:  # the tokenizers library raises bare Exceptions
            why = " ".join(f"{type(error).__name__}: {error}".split())
            raise ModelError(f"MODEL_DIR={folder}: its tokenizer does not load: {why}") from error

    def _batch(
        self, questions: Sequence[str], deadline: float, call: object, tokens_of: TokensOf | None
    ) -> Batch:
        prompts = self._prepare(questions, deadline)
        room = [self.engine.max_model_len - len(prompt) for prompt in prompts]
        longest = self.settings.max_tokens
        wanted = map(tokens_of, questions) if tokens_of else [longest] * len(room)
        tokens = [min(w, r) for w, r in zip(wanted, room, strict=True)]
        return Batch(prompts, tokens, deadline, call, ignore_eos=tokens_of is not None)

    def _count_turns(self) -> None:
        """How much longer the worked examples make a prompt."""
        if not self._turns:
            return
        tokenizer = self._tokenizer.result()
        prompts = [
            render_prompts(tokenizer, ["预热"], self.system_prompt, turns)
            for turns in ((), self._turns)
        ]
        alone, shown = (len(tokenize_prompts(tokenizer, each)[0]) for each in prompts)
        self._turn_tokens = shown - alone
        log.info("worked examples: %d, %d tokens", len(self._turns), self._turn_tokens)

    def _prepare(self, questions: Sequence[str], deadline: float = float("inf")) -> list[list[int]]:
        tokenizer = self._tokenizer.result()
        context, limit, turns = self.engine.max_model_len, self._limit, self._turn_tokens
        if self.book is not None:
            room = self._room(questions, limit)
            questions = self.book.prompts(questions, *room, deadline)
        said = (questions, self.system_prompt, self._turns)
        prompts = tokenize_prompts(tokenizer, render_prompts(tokenizer, *said))
        for index, ids in literal_prompts(tokenizer, *said).items():
            prompts[index] = ids
        long = [index for index, prompt in enumerate(prompts) if len(prompt) > limit + turns]
        if long:
            log.warning(
                "%d prompts, the first at question %d: of up to %d tokens, each is cut to %d at "
                "the middle, so that an answer fits into the context of %d tokens (MAX_MODEL_LEN)",
                len(long),
                long[0],
                max(len(prompts[index]) for index in long),
                limit + turns,
                context,
            )
        for index in long:  # the examples stay whole
            prompts[index][turns:] = shorten_middle(prompts[index][turns:], limit)
        return prompts

    @property
    def _limit(self) -> int:
        """The longest prompt in tokens, worked examples not counted."""
        context = self.engine.max_model_len - self._turn_tokens
        return max(context - self.settings.max_tokens, context // 2)

    def _room(self, questions: Sequence[str], limit: int) -> tuple[list[int], TokensOf]:
        """What prompts of at most `limit` tokens leave for passages, and what counts tokens."""
        tokenizer = self._tokenizer.result()
        alone = tokenize_prompts(
            tokenizer, render_prompts(tokenizer, questions, self.system_prompt)
        )
        return (
            [limit - len(prompt) for prompt in alone],
            lambda text: len(tokenizer(text, add_special_tokens=False)["input_ids"]),
        )

    def _record(
        self,
        questions: int,
        asked: int,
        batches: Sequence[Batch],
        chosen: Chosen,
        seconds: float,
    ) -> None:
        answers = chosen.answers
        reasons = Counter(answer.finish_reason for answer in answers)
        tokens = sum(answer.tokens for answer in answers)
        record = BatchRecord(
            questions=questions,
            blank=questions - asked,
            prompt_tokens=sum(len(prompt) for batch in batches for prompt in batch.prompts),
            tokens=tokens,
            stop=reasons["stop"],
            length=reasons["length"],
            repeat=reasons["repeat"],
            cut=reasons["deadline"] + asked - len(answers),
            failed=reasons["error"],
            seconds=round(seconds, 4),
            tokens_per_second=round(tokens / seconds, 1) if seconds else 0.0,
            queue=len(self._running),
            memory_mb=resident_bytes() >> 20,
            draws=chosen.voted,
            draw_tokens=chosen.drawn_tokens,
            changed=chosen.changed,
        )
        log_batch(record)
        if self.observer is not None:
            self.observer(record)


def _all_answers(batches: Sequence[Batch]) -> list[Answer]:
    """The answers of a call's batches, in order. Raises EngineError when there is none at all."""
    answers: list[Answer] = []
    error: EngineError | None = None
    for batch in batches:
        try:
            answers += batch.answers()
        except EngineError as failed:  # other batches of the call may have answers
            error = failed
            answers += [Answer("", 0, "error")] * len(batch.prompts)
    if error is not None and not any(answer.tokens for answer in answers):
        raise error
    return answers


def _chunks(questions: Sequence[str]) -> Iterator[Sequence[str]]:
    """The questions in chunks of at most CHUNK_QUESTIONS, and of CHUNK_CHARACTERS unless one
    question alone has more."""
    start = characters = 0
    for index, question in enumerate(questions):
        full = index - start == CHUNK_QUESTIONS or characters + len(question) > CHUNK_CHARACTERS
        if full and index > start:
            yield questions[start:index]
            start, characters = index, 0
        characters += len(question)
    if start < len(questions):
        yield questions[start:]
