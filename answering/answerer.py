"""Questions in, answers out: the stages between the judge's text and the engine's token ids.

render and tokenize (prompting) → engine → clean. The app around it knows HTTP, the engine below
it knows token ids; this module knows neither.
"""

import asyncio
import logging
import re
import time
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

from .engine import HANG_GRACE_S, Answer, Batch, Engine
from .prompting import render_prompts, shorten_middle, system_prompt_for, tokenize_prompts
from .settings import Settings

log = logging.getLogger("answering.answers")


class Answerer:
    """Answers questions with one engine and the model directory's own tokenizer."""

    def __init__(self, engine: Engine, settings: Settings):
        self.engine = engine
        self.settings = settings
        self.system_prompt = system_prompt_for(settings.model_dir, settings.system_prompt_file)
        # A tokenizer object is not thread-safe, and the engine uses its own: one thread for ours.
        self._tokenizing = ThreadPoolExecutor(1, thread_name_prefix="tokenizer")
        self._tokenizer: Future[Any] = self._tokenizing.submit(self._load_tokenizer)

    def start(self) -> None:
        """Load engine and tokenizer, side by side. Raises EngineError, OSError or ValueError."""
        self.engine.start()
        self._tokenizer.result()
        self._tokenizing.submit(self._prepare, ["预热"]).result()

    def stop(self) -> None:
        """Free the device."""
        self.engine.stop()
        self._tokenizing.shutdown()

    async def answer(
        self, questions: Sequence[str], deadline: float, max_tokens: int | None = None
    ) -> list[str]:
        """One text a question, in order, by `deadline` (a `time.monotonic()` value).

        max_tokens: longest answer, the settings' when None.

        Blank questions answer "" without the model; a question cut off at the deadline answers
        what there is. Raises EngineError when the engine is dead and nothing was answered.
        """
        asked = [index for index, question in enumerate(questions) if question.strip()]
        texts = [""] * len(questions)
        if not asked:
            return texts
        loop = asyncio.get_running_loop()
        batch = await loop.run_in_executor(
            self._tokenizing,
            self._batch,
            [questions[index] for index in asked],
            deadline,
            max_tokens or self.settings.max_tokens,
        )
        self.engine.submit(batch)
        patience = max(0.0, deadline - time.monotonic()) + HANG_GRACE_S
        done, _ = await asyncio.wait([asyncio.wrap_future(batch.done)], timeout=patience)
        if not done:
            log.error(
                "the engine hangs: %.0f s past the deadline, finished answers only", HANG_GRACE_S
            )
        answers = batch.answers()
        for index, answer in zip(asked, answers, strict=True):
            texts[index] = clean(answer.text)
        _log_batch(answers)
        return texts

    def tokenizer(self) -> Any:
        """The model directory's tokenizer; not thread-safe, so only for use while nothing runs."""
        return self._tokenizer.result()

    def _load_tokenizer(self) -> Any:
        from transformers import AutoTokenizer

        return AutoTokenizer.from_pretrained(self.settings.model_dir)

    def _batch(self, questions: Sequence[str], deadline: float, max_tokens: int) -> Batch:
        prompts = self._prepare(questions)
        room = [self.engine.max_model_len - len(prompt) for prompt in prompts]
        return Batch(prompts, [min(max_tokens, r) for r in room], deadline)

    def _prepare(self, questions: Sequence[str]) -> list[list[int]]:
        tokenizer = self._tokenizer.result()
        prompts = tokenize_prompts(
            tokenizer, render_prompts(tokenizer, questions, self.system_prompt)
        )
        context = self.engine.max_model_len
        limit = max(context - self.settings.max_tokens, context // 2)
        for index, prompt in enumerate(prompts):
            if len(prompt) > limit:
                log.warning(
                    "question %d: its prompt of %d tokens is cut to %d at the middle, so that "
                    "an answer fits into the context of %d tokens (MAX_MODEL_LEN)",
                    index,
                    len(prompt),
                    limit,
                    context,
                )
                prompts[index] = shorten_middle(prompt, limit)
        return prompts


_THINK_BLOCK = re.compile(r"<think>.*?</think>", re.DOTALL)
_MARKS = re.compile(r"</?think>|<\|[a-z_]+\|>")


def clean(text: str) -> str:
    """The answer as the judge gets it: no think block, no special tokens, no outer whitespace.

    Never empty because of that: when nothing else is left, the block's content stays.
    """
    without_block = _MARKS.sub("", _THINK_BLOCK.sub("", text)).strip()
    return without_block or _MARKS.sub("", text).strip()


def _log_batch(answers: Sequence[Answer]) -> None:
    reasons: dict[str, int] = {}
    for answer in answers:
        reasons[answer.finish_reason] = reasons.get(answer.finish_reason, 0) + 1
    tokens = sum(answer.tokens for answer in answers)
    log.info("%d answers, %d tokens, ended by %s", len(answers), tokens, reasons)
