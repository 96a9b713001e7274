"""Made-up questions answered before the port opens, so that the first real call runs at full speed.

Kernels compile, and the system prompt's KV cache is filled. The answers end a few at a time,
because the first step with another number of running answers is slower than later ones, and the
judge's only call is the first (figures in bench/README.md). The questions are nobody's test
questions.
"""

import logging
import time

from serving.answerer import Answerer

log = logging.getLogger(__name__)

TOPICS = ("春天的花", "山里的雨", "河边的桥", "城市的夜", "海上的风", "田野的路", "冬天的雪")

# Tokens of the shortest answers: all prompts are computed before the first answer ends.
ANSWER_TOKENS = 16
# Answers that end together: the distance between vLLM's own CUDA graph sizes.
END_TOGETHER = 8


def warm_up_questions(count: int) -> list[str]:
    """`count` different questions of slightly different lengths about nothing in any textbook."""
    return [
        f"请用一句话描写{TOPICS[i % len(TOPICS)]}" + "，" * (i % 3) + f"第{i + 1}种写法。"
        for i in range(count)
    ]


def warm_up_lengths(count: int) -> list[int]:
    """Tokens of each of `count` answers: each step END_TOGETHER fewer run, towards the end half as
    many, so that every graph size down to 1 occurs."""
    lengths: list[int] = []
    tokens = ANSWER_TOKENS
    while (running := count - len(lengths)) > 0:
        lengths += [tokens] * max(1, min(END_TOGETHER, running // 2))
        tokens += 1
    return lengths


def sampled(answerer: Answerer) -> int:
    """Answers to one question with at least one drawn, where a call may come to draw."""
    settings = answerer.settings
    return max(settings.answer_draws, 2 if settings.repeat_redraws else 1)


async def warm_up(answerer: Answerer, seconds: float) -> float:
    """Answer one question, then as many as the engine takes at once (the memory's peak).

    Stops after `seconds`; returns the seconds spent.
    """
    began = time.monotonic()
    sizes = (1, answerer.engine.warmup_questions)
    for size in sizes:
        left = seconds - (time.monotonic() - began)
        if left <= 0:
            log.warning("warm-up stopped before %d questions: no time left", size)
            break
        questions = warm_up_questions(size)
        lengths = dict(zip(questions, warm_up_lengths(size), strict=True))
        # Further draws once, for what sampling needs beside (kernels that compile when first used):
        # many would only take longer.
        draws = sampled(answerer) if size == 1 else 1
        await answerer.answer(questions, time.monotonic() + left, lengths.__getitem__, draws)
    spent = time.monotonic() - began
    log.info("warm-up: %s questions in %.1f s", " + ".join(map(str, sizes)), spent)
    return spent
