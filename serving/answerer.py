"""Questions in, answers out: the stages between the judge's text and the engine's token ids.

render and tokenize (prompting) → engine → clean. The app around it knows HTTP, the engine below
it knows token ids; this module knows neither.
"""

import asyncio
import logging
import re
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
from serving.engine.base import HANG_GRACE_S, Answer, Batch, Engine, EngineError
from serving.http.metrics import BatchRecord, log_batch, memory_bytes
from serving.settings import Settings

log = logging.getLogger("serving.answers")

TokensOf = Callable[[str], int]

# Questions, and characters, that are made into token ids in one go: calls take turns between.
CHUNK_QUESTIONS = 512
CHUNK_CHARACTERS = 200_000
# How late an answer may be while the engine is being mended and delivers nothing.
LATE_S = 0.2
# How often a waiting call looks whether its deadline was brought forward.
LOOK_EVERY_S = 0.5


class Answerer:
    """Answers questions with one engine and the model directory's own tokenizer."""

    # For measurements: the exact tokens of a question's answer, whatever the model would do.
    tokens_of: TokensOf | None = None

    def __init__(self, engine: Engine, settings: Settings):
        self.engine = engine
        self.settings = settings
        self.system_prompt = system_prompt_for(settings.model_dir, settings.system_prompt_file)
        # A tokenizer object is not thread-safe, and the engine uses its own: one thread for ours.
        self._tokenizing = ThreadPoolExecutor(1, thread_name_prefix="tokenizer")
        self._tokenizer: Future[Any] = self._tokenizing.submit(self._load_tokenizer)
        self._running: set[Batch] = set()
        self._end = float("inf")
        # Told of every answered call, beside the log.
        self.observer: Callable[[BatchRecord], None] | None = None

    def start(self) -> None:
        """Load tokenizer, then engine. Raises EngineError, OSError or ValueError.

        Never side by side: both import the same large libraries, and two threads in the middle of
        a circular import see half a module. On a host that reads its files for the first time,
        the start of the service died of that (accelerate's, seen on an H100's host).
        """
        self._tokenizer.result()
        self.engine.start()
        self._tokenizing.submit(self._prepare, ["预热"]).result()

    def stop(self) -> None:
        """Free the device."""
        self.engine.stop()
        self._tokenizing.shutdown()

    async def answer(
        self, questions: Sequence[str], deadline: float, tokens_of: TokensOf | None = None
    ) -> list[str]:
        """One text a question, in order, by `deadline` (a `time.monotonic()` value).

        tokens_of: the exact tokens of a question's answer, for warm-up and measurements; None:
        answers end by themselves or at the settings' max_tokens.

        Blank questions answer "" without the model; a question cut off at the deadline answers
        what there is. Raises EngineError when the engine is dead and nothing was answered.
        """
        began = time.monotonic()
        asked = [index for index, question in enumerate(questions) if question.strip()]
        texts = [""] * len(questions)
        call = object()
        tokens_of = tokens_of or self.tokens_of
        deadline = min(deadline, self._end)
        batches: list[Batch] = []
        try:
            for part in _chunks([questions[index] for index in asked]):
                batch = await self._in_time(deadline, part, call, tokens_of)
                if batch is None:
                    log.warning("deadline: not even all questions were read")
                    break
                batches.append(batch)
                self._running.add(batch)
                batch.hurry(self._end)
                self.engine.submit(batch)
            await self._wait(batches)
        except asyncio.CancelledError:  # nobody waits for the answers any more
            for batch in batches:
                batch.cancel()
            raise
        finally:
            self._running.difference_update(batches)
        answers = _all_answers(batches)
        for index, answer in zip(asked, answers, strict=False):
            texts[index] = clean(answer.text)
        self._tell(len(questions), len(asked), batches, answers, time.monotonic() - began)
        return texts

    def hurry(self, seconds: float) -> None:
        """End what runs in `seconds` at most, and everything that still comes. Any thread's."""
        self._end = min(self._end, time.monotonic() + seconds)
        for batch in list(self._running):
            batch.hurry(self._end)

    async def _in_time(
        self, deadline: float, questions: Sequence[str], call: object, tokens_of: TokensOf | None
    ) -> Batch | None:
        """A batch of these questions, or None when the deadline comes first."""
        left = deadline - time.monotonic()
        if left <= 0:
            return None
        made = asyncio.get_running_loop().run_in_executor(
            self._tokenizing, self._batch, questions, deadline, call, tokens_of
        )
        await asyncio.wait([made], timeout=left + LATE_S)
        if made.done():
            return made.result()
        made.cancel()
        return None

    async def _wait(self, batches: Sequence[Batch]) -> None:
        """Until all are done, or their deadline has passed and the engine hangs or is mended."""
        pending = {asyncio.wrap_future(batch.done) for batch in batches}
        while pending:
            grace = LATE_S if self.engine.recovering else HANG_GRACE_S
            left = min(batch.deadline for batch in batches) + grace - time.monotonic()
            if left <= 0:
                log.error("the engine delivers nothing %.1f s past the deadline", grace)
                return
            _, pending = await asyncio.wait(pending, timeout=min(left, LOOK_EVERY_S))

    def tokenizer(self) -> Any:
        """The model directory's tokenizer; not thread-safe, so only for use while nothing runs."""
        return self._tokenizer.result()

    def _load_tokenizer(self) -> Any:
        from transformers import AutoTokenizer

        return AutoTokenizer.from_pretrained(self.settings.model_dir)

    def _batch(
        self, questions: Sequence[str], deadline: float, call: object, tokens_of: TokensOf | None
    ) -> Batch:
        prompts = self._prepare(questions)
        room = [self.engine.max_model_len - len(prompt) for prompt in prompts]
        longest = self.settings.max_tokens
        wanted = map(tokens_of, questions) if tokens_of else [longest] * len(room)
        tokens = [min(w, r) for w, r in zip(wanted, room, strict=True)]
        return Batch(prompts, tokens, deadline, call, ignore_eos=tokens_of is not None)

    def _prepare(self, questions: Sequence[str]) -> list[list[int]]:
        tokenizer = self._tokenizer.result()
        context = self.engine.max_model_len
        limit = max(context - self.settings.max_tokens, context // 2)
        # A text of megabytes would be cut after seconds of work: cut it before, far from the limit.
        questions = [shorten_text(question, limit) for question in questions]
        prompts = tokenize_prompts(
            tokenizer, render_prompts(tokenizer, questions, self.system_prompt)
        )
        for index, ids in literal_prompts(tokenizer, questions, self.system_prompt).items():
            prompts[index] = ids
        long = [index for index, prompt in enumerate(prompts) if len(prompt) > limit]
        if long:
            log.warning(
                "%d prompts, the first at question %d: of up to %d tokens, each is cut to %d at "
                "the middle, so that an answer fits into the context of %d tokens (MAX_MODEL_LEN)",
                len(long),
                long[0],
                max(len(prompts[index]) for index in long),
                limit,
                context,
            )
        for index in long:
            prompts[index] = shorten_middle(prompts[index], limit)
        return prompts

    def _tell(
        self,
        questions: int,
        asked: int,
        batches: Sequence[Batch],
        answers: Sequence[Answer],
        seconds: float,
    ) -> None:
        reasons = Counter(answer.finish_reason for answer in answers)
        tokens = sum(answer.tokens for answer in answers)
        record = BatchRecord(
            questions=questions,
            blank=questions - asked,
            prompt_tokens=sum(len(prompt) for batch in batches for prompt in batch.prompts),
            tokens=tokens,
            stop=reasons["stop"],
            length=reasons["length"],
            cut=reasons["deadline"] + asked - len(answers),
            failed=reasons["error"],
            seconds=round(seconds, 4),
            tokens_per_second=round(tokens / seconds, 1) if seconds else 0.0,
            queue=len(self._running),
            memory_mb=memory_bytes() >> 20,
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
        except EngineError as failed:  # of this batch nothing, of others perhaps something
            error = failed
            answers += [Answer("", 0, "error")] * len(batch.prompts)
    if error is not None and not any(answer.tokens for answer in answers):
        raise error
    return answers


def _chunks(questions: Sequence[str]) -> Iterator[Sequence[str]]:
    """The questions in runs of at most CHUNK_QUESTIONS and, but for a first one, characters."""
    start = characters = 0
    for index, question in enumerate(questions):
        full = index - start == CHUNK_QUESTIONS or characters + len(question) > CHUNK_CHARACTERS
        if full and index > start:
            yield questions[start:index]
            start, characters = index, 0
        characters += len(question)
    if start < len(questions):
        yield questions[start:]


_THINK_BLOCK = re.compile(r"<think>.*?</think>", re.DOTALL)
_MARKS = re.compile(r"</?think>|<\|[a-z_]+\|>")


def clean(text: str) -> str:
    """The answer as the judge gets it: no think block, no special tokens, no outer whitespace.

    Never empty because of that: when nothing else is left, the block's content stays.
    """
    without_block = _MARKS.sub("", _THINK_BLOCK.sub("", text)).strip()
    return without_block or _MARKS.sub("", text).strip()
