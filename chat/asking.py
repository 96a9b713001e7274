"""One question to one model, its answer as it grows, and how fast it came."""

import asyncio
import contextlib
import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import openai

from chat.errors import LoadError, NotLoadedError
from chat.registry import Registry, Target
from common.prompting import messages_for

Turns = Sequence[tuple[str, str]]  # (user, assistant), the oldest first
SHOWN_EVERY_S = 0.1
TEMPLATE_TOKENS = 64  # what a chat template writes around the turns, generously


@dataclass(frozen=True)
class Sampling:
    """How an answer is drawn. The defaults are the service's: greedy, at most 640 tokens."""

    temperature: float = 0.0
    top_p: float = 1.0
    max_tokens: int = 640


@dataclass(frozen=True)
class Reply:
    """An answer so far. first_s: seconds to its first words; seconds: until now; tokens: as vLLM
    counts them, at the end; left_out: the oldest turns that found no room in the context; error:
    why there is no (whole) answer."""

    model: str
    text: str = ""
    first_s: float | None = None
    seconds: float = 0.0
    tokens: int = 0
    finish: str = ""
    left_out: int = 0
    error: str = ""

    @property
    def tokens_per_s(self) -> float | None:
        """Tokens a second after the first one; None where too few came."""
        if self.tokens < 2 or self.first_s is None or self.seconds <= self.first_s:
            return None
        return (self.tokens - 1) / (self.seconds - self.first_s)


async def ask(
    registry: Registry,
    name: str,
    question: str,
    history: Turns = (),
    system: str | None = None,
    sampling: Sampling | None = None,
    tokens: Callable[[Target, str], int] | None = None,
) -> AsyncGenerator[Reply, None]:
    """The reply as it grows; the model or adapter is loaded first where it is not.

    system: None for the model's own system prompt. tokens: counts those of a text; with it, the
    oldest turns are left out where the talk is longer than the context. Never raises for what an
    engine says: the last reply tells the error. Closing the iterator ends the answer.
    """
    sampling = sampling or Sampling()
    reply = Reply(name)
    try:
        target = await registry.target(name, load=True)
    except (NotLoadedError, LoadError) as error:
        yield replace(reply, error=str(error))
        return
    engine = target.engine
    prompt = target.system_prompt if system is None else system
    if tokens:
        room = engine.context - sampling.max_tokens - TEMPLATE_TOKENS
        kept = fitting_turns(history, lambda text: tokens(target, text), room, [prompt, question])
        reply = replace(reply, left_out=len(history) - len(kept))
        history = kept
    client = openai.AsyncOpenAI(
        base_url=f"{engine.url}/v1",
        api_key=engine.key,
        max_retries=0,
        timeout=None,
        http_client=registry.client,
    )
    began = time.monotonic()
    with engine.busy():
        try:
            stream = await client.chat.completions.create(
                model=target.name,
                messages=messages_for(question, prompt, history),  # type: ignore[arg-type]
                temperature=sampling.temperature,
                top_p=sampling.top_p,
                max_tokens=sampling.max_tokens,
                stream=True,
                stream_options={"include_usage": True},
                extra_body={"chat_template_kwargs": {"enable_thinking": False}},
            )
            async with stream:
                async for event in stream:
                    reply = _grown(reply, event, time.monotonic() - began)
                    yield reply
        except openai.OpenAIError as error:
            engine.check()
            yield replace(reply, error=engine.problem or str(error))


async def paced(replies: AsyncGenerator[Reply, None]) -> AsyncIterator[Reply]:
    """The newest reply every so often, and the last one: a page that is slow to draw must not slow
    down the reading, or the speed that is measured there would be the page's."""
    newest: list[Reply] = []

    async def read() -> None:
        async with contextlib.aclosing(replies):
            async for reply in replies:
                newest[:] = [reply]

    reading = asyncio.create_task(read())
    try:
        while not reading.done():
            await asyncio.wait([reading], timeout=SHOWN_EVERY_S)
            if newest:
                yield newest[0]
        await reading
    finally:  # stopped: the engine need not go on
        reading.cancel()
        await asyncio.wait([reading])


def fitting_turns(
    history: Turns, tokens: Callable[[str], int], room: int, others: Sequence[str]
) -> list[tuple[str, str]]:
    """The latest turns that fit into `room` tokens beside `others`."""
    room -= sum(map(tokens, others))
    kept: list[tuple[str, str]] = []
    for user, assistant in reversed(history):
        room -= tokens(user) + tokens(assistant) + 16  # what the template writes around them
        if room < 0:
            break
        kept.insert(0, (user, assistant))
    return kept


def _grown(reply: Reply, event: Any, seconds: float) -> Reply:
    if event.usage:
        reply = replace(reply, tokens=event.usage.completion_tokens)
    for choice in event.choices:
        if said := choice.delta.content:
            first = seconds if reply.first_s is None else reply.first_s
            reply = replace(reply, text=reply.text + said, first_s=first, seconds=seconds)
        if choice.finish_reason:
            reply = replace(reply, finish=choice.finish_reason, seconds=seconds)
    return reply
