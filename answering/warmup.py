"""Made-up questions answered before the port opens, so that the first real call meets no surprise.

Kernels compile and graphs are captured for the batch sizes that will occur; the system prompt's
KV cache is filled. The questions are nobody's test questions.
"""

import logging
import time

from .answerer import Answerer

log = logging.getLogger("answering.warmup")

TOPICS = ("春天的花", "山里的雨", "河边的桥", "城市的夜", "海上的风", "田野的路", "冬天的雪")

# Enough steps to meet every kernel; the shapes that matter come from the number of questions.
ANSWER_TOKENS = 16


def warm_up_questions(count: int) -> list[str]:
    """`count` different questions of slightly different lengths about nothing in any textbook."""
    return [
        f"请用一句话描写{TOPICS[i % len(TOPICS)]}" + "，" * (i % 3) + f"第{i + 1}种写法。"
        for i in range(count)
    ]


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
        await answerer.answer(warm_up_questions(size), time.monotonic() + left, ANSWER_TOKENS)
    spent = time.monotonic() - began
    log.info("warm-up: %s questions in %.1f s", " + ".join(map(str, sizes)), spent)
    return spent
