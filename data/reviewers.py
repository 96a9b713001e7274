"""The models that can review: a teacher behind HTTP, a local one through vLLM, or how likely that
one finds an answer."""

from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

from common.json_reply import ReplyError
from common.language import either
from data.fluency import FluencyReviewer, means_of
from data.interrupt import noted_interrupts
from data.options import settings_from
from data.review import SCHEMA, Reviewer
from data.sources import SourceError
from data.sources.teacher import TeacherSettings, TeacherSource
from data.sources.vllm_source import VllmSettings, load_engine, model_digest, structured

REPLY_TOKENS = 160


def make_reviewer(name: str, options: Mapping[str, Any]) -> Reviewer:
    """The reviewer of this name as the options say. Raises ValueError for missing ones."""
    known: dict[str, Callable[[Mapping[str, Any]], Reviewer]] = {
        "teacher": _teacher,
        "vllm": _vllm,
        "fluency": _fluency,
    }
    if name not in known:
        raise ValueError(
            either(
                f"--review {name}：应是 {' 或 '.join(known)}",
                f"--review {name}: expected {' or '.join(known)}",
            )
        )
    return known[name](options)


def _teacher(options: Mapping[str, Any]) -> Reviewer:
    settings = settings_from(TeacherSettings, options, "--review teacher")
    source = TeacherSource(settings)

    def one(asked: list[dict[str, str]]) -> str | ReplyError:
        try:
            return source.complete(asked, "review", SCHEMA)
        except ReplyError as error:
            return error  # not judged: the pair stays, and is counted as unrated

    def ask(chats: Sequence[list[dict[str, str]]]) -> Iterator[str | ReplyError]:
        """Replies in order. On Ctrl-C or when the endpoint refuses, those under way still come."""
        waiting = iter(chats)
        running: deque[Future[str | ReplyError]] = deque()
        fatal: BaseException | None = None
        with noted_interrupts() as noted, ThreadPoolExecutor(settings.concurrency) as pool:
            while True:
                if noted.is_set():
                    fatal = fatal or KeyboardInterrupt()
                while not fatal and len(running) < settings.concurrency:
                    if (chat := next(waiting, None)) is None:
                        break
                    running.append(pool.submit(one, chat))
                if not running:
                    break
                try:
                    reply = running.popleft().result()
                except SourceError as error:
                    fatal, reply = fatal or error, ReplyError(str(error))
                yield reply
        if fatal:
            raise fatal

    used = source.usage.line
    return Reviewer(ask, f"teacher/{settings.model}", settings.prompts, used)


def _vllm(options: Mapping[str, Any]) -> Reviewer:
    settings = settings_from(VllmSettings, options, "--review vllm")
    loaded: list[Any] = []

    def ask(chats: Sequence[list[dict[str, str]]]) -> list[str]:
        from vllm import SamplingParams

        if not loaded:
            loaded.append(load_engine(settings))
        params = SamplingParams(temperature=0.0, max_tokens=REPLY_TOKENS, **structured(SCHEMA))
        outputs = loaded[0].chat(
            list(chats), params, chat_template_kwargs={"enable_thinking": False}
        )
        return [output.outputs[0].text for output in outputs]

    return Reviewer(ask, f"vllm/{model_digest(Path(settings.model))}", settings.prompts)


def _fluency(options: Mapping[str, Any]) -> Reviewer:
    settings = settings_from(VllmSettings, options, "--review fluency")
    model = f"fluency/{model_digest(Path(settings.model))}"
    return FluencyReviewer(lambda chats: [], model, means=means_of(settings))
