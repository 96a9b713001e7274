"""Pairs from any OpenAI-compatible endpoint, through the official client."""

from collections import Counter, deque
from collections.abc import Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from threading import Lock
from typing import Any

from pydantic import model_validator

from common.chat_client import (
    ChatClient,
    EndpointError,
    EndpointRefusesError,
    RefusedError,
    key_of,
    reply_text,
)
from common.json_reply import ReplyError
from common.language import either
from data.interrupt import noted_interrupts
from data.options import option
from data.records import Chunk, Pair
from data.sources import Estimate, SourceError
from data.sources.prompts import (
    ModelSettings,
    estimate_tokens,
    failure_notes,
    messages,
    prompt_version,
    schema,
)
from data.sources.replies import read_reply
from data.sources.usage import Usage

ASSUMED_TOKENS_PER_SECOND = 50  # of one call; only for the estimate
ENDPOINT_FAILURES = 5  # in a row, each after the client's own retries: then the source stops


class TeacherSettings(ModelSettings):
    """Where and how to ask.

    `retries` is per call, with the client's exponential backoff; `reply_attempts` is how often a
    chunk is asked about before its replies count as unusable.
    """

    base_url: str = option(
        "", "teacher：OpenAI 兼容接口的地址", "teacher: OpenAI-compatible endpoint"
    )
    key_env: str = option(
        "OPENAI_API_KEY",
        "teacher：密钥在哪个环境变量里",
        "teacher: environment variable that holds the key",
    )
    concurrency: int = option(8, "teacher：同时几个请求", "teacher: calls at once", ge=1)
    timeout: float = option(
        120, "teacher：一次请求最多几秒", "teacher: seconds a call may take", name="call-timeout"
    )
    max_pairs: int = option(
        0, "够这么多对就不再问；0：不限", "stop asking after so many pairs; 0: no limit"
    )
    max_tokens: int = option(
        0, "teacher：这次最多用多少词元；0：不限", "teacher: budget of this run; 0: no limit"
    )
    price_in: float = option(
        0, "teacher：一百万提示词词元的价格", "teacher: price of a million prompt tokens", ge=0
    )
    price_out: float = option(
        0, "teacher：一百万回答词元的价格", "teacher: price of a million answer tokens", ge=0
    )
    retries: int = 4
    reply_attempts: int = 3

    @model_validator(mode="after")
    def _endpoint_is_named(self) -> "TeacherSettings":
        given = {"--base-url": self.base_url, "--model": self.model}
        missing = [name for name, value in given.items() if not value]
        if missing:
            raise ValueError(
                either(
                    f"需要 {' 和 '.join(missing)}",
                    f"needs {' and '.join(missing)}",
                )
            )
        return self


class TeacherSource:
    """Asks a model behind HTTP about each chunk; every answered chunk is kept."""

    name = "teacher"
    one_batch = False

    def __init__(self, settings: TeacherSettings) -> None:
        self.settings = settings
        asked = f"{settings.per_chunk}/{settings.wordings}"
        self.fingerprint = f"teacher/{prompt_version(settings)}/{settings.model}/{asked}"
        self.notes: list[str] = []
        self.usage = Usage(settings.price_in, settings.price_out)
        self._lock = Lock()
        self._client: ChatClient | None = None

    def estimate(self, chunks: Sequence[Chunk]) -> Estimate:
        """One call a chunk; tokens and time are rough."""
        prompt, answer = estimate_tokens(chunks, self.settings)
        seconds = answer / ASSUMED_TOKENS_PER_SECOND / self.settings.concurrency
        speed = ASSUMED_TOKENS_PER_SECOND
        basis = either(f"假定每个请求每秒 {speed} 词元", f"assuming {speed} tokens/s a call")
        return Estimate(len(chunks), prompt, answer, seconds, basis)

    def pairs(self, chunks: Sequence[Chunk]) -> Iterator[tuple[Chunk, list[Pair]]]:
        """Pairs chunk by chunk as replies come; see PairSource.

        A chunk whose replies stay unusable is left out and noted. Raises SourceError when the
        endpoint refuses the key or model, or stops answering. Before it raises, also on Ctrl-C,
        calls under way are waited for and their pairs yielded: nothing paid for is lost.
        """
        if not chunks:
            return
        client = self._connected()
        waiting = deque(chunks)
        running: dict[Future[list[Pair]], Chunk] = {}
        failures: Counter[str] = Counter()
        made = in_a_row = 0
        fatal: BaseException | None = None
        with noted_interrupts() as noted, ThreadPoolExecutor(self.settings.concurrency) as pool:
            while running or (waiting and not fatal):
                if noted.is_set() and not fatal:
                    # Raised once the calls under way are done: they are paid for.
                    fatal = KeyboardInterrupt()
                    continue
                while (
                    waiting
                    and not fatal
                    and len(running) < self.settings.concurrency
                    and self._within_budget(made)
                ):
                    chunk = waiting.popleft()
                    running[pool.submit(self._ask, chunk)] = chunk
                if not running:
                    self.notes.append(
                        either(
                            f"teacher：预算用完了，还有 {len(waiting)} 个文本块没有问；"
                            "加大预算再运行，会接着做",
                            f"teacher: the budget is used up, {len(waiting)} chunks were not "
                            "asked; run again with a larger one to go on",
                        )
                    )
                    break
                # In short waits, so that Ctrl-C is seen before the next call is made.
                done, _ = wait(running, timeout=0.2, return_when=FIRST_COMPLETED)
                for future in done:
                    chunk = running.pop(future)
                    try:
                        pairs = future.result()
                    except ReplyError as error:
                        failures[f"{str(error)[:120]}: {' › '.join(chunk.path)[:60]}"] += 1
                        # An address that never gave a completion will not give one later.
                        in_a_row += not client.served
                        if not client.served and in_a_row >= ENDPOINT_FAILURES:
                            fatal = SourceError(
                                f"teacher：接口拒绝，或不是 OpenAI 兼容接口：{error}",
                                f"teacher: the endpoint refuses, or is no such one: {error}",
                            )
                    except EndpointError as error:
                        said = f"no reply ({str(error)[:120]})"
                        failures[f"{said}: {' › '.join(chunk.path)[:60]}"] += 1
                        in_a_row += 1
                        if in_a_row >= ENDPOINT_FAILURES:
                            fatal = SourceError(
                                f"teacher：{self.settings.base_url} 不再回答（{error}）；"
                                "做好的问答都留着：再运行同一条命令会接着做",
                                f"teacher: {self.settings.base_url} stopped answering "
                                f"({error}); pairs made so far are kept: run the same command "
                                "again to go on",
                            )
                    except SourceError as error:
                        fatal = error
                    else:
                        in_a_row = 0
                        made += len(pairs)
                        yield chunk, pairs
        self.notes += failure_notes(
            self.name, failures, either("；再运行会重试", "; run again to retry")
        )
        if fatal:
            raise fatal

    def _within_budget(self, made: int) -> bool:
        settings = self.settings
        pairs_left = not settings.max_pairs or made < settings.max_pairs
        return pairs_left and (not settings.max_tokens or self.usage.tokens < settings.max_tokens)

    def _connected(self) -> ChatClient:
        with self._lock:
            if self._client is None:
                self._client = self._connect()
            return self._client

    def _connect(self) -> ChatClient:
        settings = self.settings
        try:
            key = key_of(settings.key_env)
        except EndpointRefusesError as error:
            raise SourceError(f"teacher: {error}") from None
        return ChatClient(
            settings.base_url,
            settings.model,
            key,
            settings.timeout,
            settings.retries,
            settings.reply_tokens,
            noted=lambda text: self.notes.append(f"teacher: {text}"),
        )

    def _ask(self, chunk: Chunk) -> list[Pair]:
        """One chunk's pairs. Raises ReplyError, EndpointError or SourceError."""
        last: ReplyError | None = None
        for _ in range(self.settings.reply_attempts):
            try:
                asked = messages(chunk, self.settings)
                reply = self._call(asked, "pairs", schema(self.settings), chunk.id)
                return self._read(reply, chunk)
            except RefusedError:
                raise
            except ReplyError as error:
                last = error
        raise last or ReplyError("no reply")

    def complete(self, asked: list[dict[str, str]], name: str, form: dict[str, Any]) -> str:
        """The text of one completion that is to fit the schema `form`, for other uses than pairs.

        Raises ReplyError where it could not be had, SourceError when the endpoint is no use.
        """
        try:
            return reply_text(self._call(asked, name, form, name))
        except EndpointError as error:
            raise ReplyError(f"no reply ({error})") from error

    def _call(
        self, asked: list[dict[str, str]], name: str, form: dict[str, Any], chunk: str
    ) -> Any:
        def used(prompt: int, answer: int) -> None:
            self.usage.add(chunk, prompt, answer)

        try:
            return self._connected().call(asked, name, form, used)
        except EndpointRefusesError as error:
            raise SourceError(f"teacher: {error}") from error

    def _read(self, reply: Any, chunk: Chunk) -> list[Pair]:
        text = reply_text(reply)
        try:
            return read_reply(text, chunk, self.name, self.settings.per_chunk)
        except ReplyError as error:
            if reply.choices[0].finish_reason != "length":
                raise
            said = "cut off at the endpoint's token limit (ask for fewer: --per-chunk)"
            raise ReplyError(said) from error
