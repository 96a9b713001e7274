"""The judge's protocol over HTTP, with its time limits and its treatment of malformed replies.

`GET /` is asked until it answers HTTP 200; `{"status": "batch"}` means one `POST /predict` with all
questions, anything else one call a question. The clock runs around the POST calls.

What the judge does is known for a late batch (the submission fails), for too few answers (the
missing ones count as "") and for single questions not answered in time (they count as ""). Where
its rules are silent we assume:

- further answers than questions are ignored;
- a batch reply that is no HTTP 200, no JSON, or whose `response` is no list of texts fails the
  submission, and no answer of it counts: a broken contract must show as a failure, not as a low
  score;
- a single reply like that counts as "" and the next question is asked; when no question at all
  gets a usable reply, the submission fails.
"""

import asyncio
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import httpx

from common.facts import HEALTH_LIMIT_S, PREDICT_LIMIT_S
from common.language import BilingualError, either, language
from judging.exchange import Exchange, kind_of, make_client, parsed, response_field, send, text_of
from judging.scoring import padded

Mode = Literal["batch", "serial"]

_POLL_EVERY_S = 1.0
_POLL_LIMIT_S = 10.0
_INFO_LIMIT_S = 5.0
_PASSAGES_LIMIT_S = 30.0
_NAMED_QUESTIONS = 5


class ServiceNotReadyError(BilingualError, RuntimeError):
    """The service did not answer `GET /` in time: the judge would fail the submission."""


class NothingListensError(ServiceNotReadyError):
    """No connection could be made, and nobody asked to wait for the port to open."""


@dataclass(frozen=True)
class Health:
    """The first HTTP 200 of `GET /`: its `status` field, the mode that follows, seconds waited."""

    status: Any
    mode: Mode
    seconds: float
    warnings: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Replies:
    """What came back for a list of questions.

    answers: as many as questions, "" where the judge would count "".
    seconds: per question, the seconds of its own call; None in a batch and where none was made.
    total_seconds: of all POST calls together, failed and interrupted ones included.
    unanswered: questions without a usable reply (an empty text is usable).
    failure: why the judge would fail the submission, or None.
    """

    mode: Mode
    answers: list[str]
    seconds: list[float | None]
    total_seconds: float
    unanswered: int
    failure: str | None = None
    warnings: list[str] = field(default_factory=list)


def check_url(url: str) -> str:
    """The service's address without a slash at its end. Raises ValueError when it is none."""
    try:
        address = httpx.URL(url)
    except httpx.InvalidURL as error:
        raise ValueError(
            either(f"{url!r} 不是网址：{error}", f"{url!r} is no URL: {error}")
        ) from error
    if address.scheme not in ("http", "https") or not address.host:
        raise ValueError(
            either(
                f"{url!r} 不是网址：应写成 http://主机:端口",
                f"{url!r} is no URL: expected http://HOST:PORT",
            )
        )
    if address.port is not None and not 0 < address.port < 65536:
        raise ValueError(
            either(f"{url!r}：端口要在 1 到 65535 之间", f"{url!r}: a port is from 1 to 65535")
        )
    if address.path.rstrip("/").endswith("/predict") or address.query or address.fragment:
        raise ValueError(
            either(
                f"{url!r}：只给服务的地址，不带 /predict 和 ? 之后的部分",
                f"{url!r}: give the service's address alone, without /predict or a query",
            )
        )
    return url.rstrip("/")


def wait_for_service(url: str, limit: float = HEALTH_LIMIT_S, wait_for_port: bool = True) -> Health:
    """Ask `GET /` until it answers HTTP 200, at most `limit` seconds.

    wait_for_port: as the judge does, who has just started the container; False gives up at once
    with NothingListensError when no connection can be made, or another program answers. Raises
    ServiceNotReadyError with the last problem seen.
    """
    return asyncio.run(_wait_for_service(url, limit, wait_for_port))


def fetch_info(url: str) -> dict[str, Any] | None:
    """What `GET /info` says of model, engine and settings; None from services without it."""

    async def fetch() -> Exchange:
        async with make_client(url) as client:
            return await send(client, "GET", "/info", None, _INFO_LIMIT_S)

    body = parsed(asyncio.run(fetch()).body)
    return body if isinstance(body, dict) else None


def fetch_passages(url: str, questions: Sequence[str]) -> list[list[dict[str, Any]]] | None:
    """What `POST /passages` says stands before each question, best first: objects with `book`,
    `path` (headings, outermost first) and `start`. None from services that do not say it."""

    async def fetch() -> Exchange:
        async with make_client(url) as client:
            body = {"prompt": list(questions)}
            return await send(client, "POST", "/passages", body, _PASSAGES_LIMIT_S)

    body = parsed(asyncio.run(fetch()).body)
    rows = body.get("passages") if isinstance(body, dict) else None
    if not isinstance(rows, list) or len(rows) != len(questions):
        return None
    if not all(isinstance(row, list) and all(isinstance(p, dict) for p in row) for row in rows):
        return None
    return rows


def ask(
    url: str,
    questions: Sequence[str],
    mode: Mode,
    limit: float = PREDICT_LIMIT_S,
    on_reply: Callable[[int], None] | None = None,
) -> Replies:
    """Send the questions as the judge would in `mode`, `limit` seconds in total.

    `on_reply` is called with the number of questions done. Never raises for what a service does.
    """
    ask_all = _ask_batch if mode == "batch" else _ask_serial
    return asyncio.run(ask_all(url, list(questions), limit, on_reply or (lambda done: None)))


async def _wait_for_service(url: str, limit: float, wait_for_port: bool) -> Health:
    problem = ""
    async with make_client(url) as client:
        start = time.perf_counter()
        while (left := limit - (time.perf_counter() - start)) > 0:
            exchange = await send(client, "GET", "/", None, min(left, _POLL_LIMIT_S))
            if exchange.problem is None:
                return _health(exchange.body, time.perf_counter() - start)
            if exchange.unconnected and not wait_for_port:
                if "SSL" in exchange.problem:
                    zh, en = f"{url} 那里说的不是 HTTPS", f"no HTTPS is spoken at {url}"
                else:
                    zh, en = f"{url} 上没有服务", f"nothing listens at {url}"
                told = exchange.problem
                raise NothingListensError(f"{zh}（{told}）", f"{en} ({told})")
            if exchange.refused and not wait_for_port:
                told = exchange.problem
                raise NothingListensError(
                    f"{url} 上是别的程序，不是答题服务（GET / 得到 {told}）：端口对吗？",
                    f"another program than the service answers at {url} (GET / gave {told}): "
                    "is it the right port?",
                )
            # The last poll may be late only because little time was left: keep the earlier problem.
            problem = problem if exchange.late and problem else exchange.problem
            await asyncio.sleep(min(_POLL_EVERY_S, left))
    raise ServiceNotReadyError(
        f"GET {url}/ 在 {limit:g} 秒内没有给出 HTTP 200（最后一次：{problem}）；服务在运行吗？",
        f"GET {url}/ gave no HTTP 200 within {limit:g} s (last: {problem}); "
        "is the service running?",
    )


def _health(body: bytes, seconds: float) -> Health:
    reply = parsed(body)
    if isinstance(reply, dict) and "status" in reply:
        status = reply["status"]
        return Health(status, "batch" if status == "batch" else "serial", seconds)
    warning = either(
        'GET / 没有给出 status：给 {"status": "batch"} 才会一次发送全部问题',
        'GET / says no status: {"status": "batch"} would let all questions go in one call',
    )
    return Health(None, "serial", seconds, [warning])


async def _ask_batch(
    url: str, questions: list[str], limit: float, on_reply: Callable[[int], None]
) -> Replies:
    async with make_client(url) as client:
        exchange = await send(client, "POST", "/predict", {"prompt": questions}, limit)
    count = len(questions)

    def replies(response: list[str], failure: str | None, *warnings: str) -> Replies:
        answers = padded([text_of(item) for item in response], count)
        missing = max(count - len(response), 0)
        times = [None] * count
        return Replies("batch", answers, times, exchange.seconds, missing, failure, list(warnings))

    if exchange.late:
        late = either(
            f"这一批在 {limit:g} 秒内没有答完", f"the batch was not answered within {limit:g} s"
        )
        return replies([], late)
    if exchange.problem:
        return replies([], f"POST /predict: {exchange.problem}")
    response, problem = response_field(exchange.body)
    if problem is None and not isinstance(response, list):
        kind = kind_of(response)
        problem = either(
            f"response 是{kind}，应是 {count} 个文本的列表",
            f"response is {kind}, expected a list of {count} texts",
        )
    if problem:
        return replies([], f"POST /predict: {problem}")
    wrong = [index for index, item in enumerate(response[:count]) if not isinstance(item, str)]
    if wrong:
        kind = kind_of(response[wrong[0]])
        told = either(
            f"response[{wrong[0]}] 是{kind}，应是文本",
            f"response[{wrong[0]}] is {kind}, expected text",
        )
        return replies([], f"POST /predict: {told}")
    on_reply(count)
    if len(response) < count:
        missing = count - len(response)
        told = either(
            f"末尾缺 {missing} 个回答，按空回答计",
            f"{missing} answers are missing at the end, counted as empty",
        )
        return replies(response, None, told)
    if len(response) > count:
        extra = len(response) - count
        told = either(
            f"回答比问题多 {extra} 个，多的不计",
            f"{extra} answers more than questions, ignored",
        )
        return replies(response, None, told)
    return replies(response, None)


async def _ask_serial(
    url: str, questions: list[str], limit: float, on_reply: Callable[[int], None]
) -> Replies:
    answers: list[str] = []
    seconds: list[float | None] = []
    problems: dict[str, list[int]] = {}
    spent = 0.0
    async with make_client(url) as client:
        for number, question in enumerate(questions, 1):
            exchange = await send(client, "POST", "/predict", {"prompt": question}, limit - spent)
            spent += exchange.seconds
            answer, problem = "", exchange.problem
            if problem is None:
                response, problem = response_field(exchange.body)
                if problem is None and not isinstance(response, str):
                    kind = kind_of(response)
                    problem = either(
                        f"response 是{kind}，应是文本", f"response is {kind}, expected text"
                    )
                answer = text_of(response)
            answers.append(answer)
            seconds.append(exchange.seconds)
            if exchange.late:
                problem = either(
                    f"总共 {limit:g} 秒内没有答到", f"not answered within {limit:g} s in total"
                )
                problems.setdefault(problem, []).extend(range(number, len(questions) + 1))
                break
            if problem:
                problems.setdefault(problem, []).append(number)
            on_reply(number)
    unanswered = sum(len(numbers) for numbers in problems.values())
    warnings = [f"{_numbered(numbers)}: {problem}" for problem, numbers in problems.items()]
    failure = None
    if questions and unanswered == len(questions):
        first = next(iter(problems))
        failure = either(
            f"没有一题得到可用的回复（{first}）", f"no question got a usable reply ({first})"
        )
    return Replies(
        "serial",
        padded(answers, len(questions)),
        [*seconds, *[None] * (len(questions) - len(seconds))],
        spent,
        unanswered,
        failure,
        warnings,
    )


def _numbered(numbers: Sequence[int]) -> str:
    """'question 3' or 'questions 3, 4, 5, 6, 7 and 20 more', counted from 1."""
    named = ", ".join(map(str, numbers[:_NAMED_QUESTIONS]))
    more = len(numbers) - _NAMED_QUESTIONS
    if language() == "zh":
        return f"第 {named} 题" + (f"，另有 {more} 题" if more > 0 else "")
    return f"question{'s' * (len(numbers) > 1)} {named}" + (f" and {more} more" if more > 0 else "")
