"""One HTTP exchange with a service: its body or the problem in words, and what a body holds."""

import asyncio
import json
import re
import time
from dataclasses import dataclass
from typing import Any

import httpx

from common.language import either

_SURROGATES = re.compile("[\ud800-\udfff]")


@dataclass(frozen=True)
class Exchange:
    """One HTTP exchange: the body of an HTTP 200, or the problem in words. late: the time limit
    ended it; unconnected: no connection could be made; refused: it was answered HTTP 4xx."""

    seconds: float
    body: bytes = b""
    problem: str | None = None
    late: bool = False
    unconnected: bool = False
    refused: bool = False


def make_client(url: str) -> httpx.AsyncClient:
    """A client without proxies (which may be set for 127.0.0.1, too) and a new connection per call.

    `send` limits the time: httpx's own limits restart with every byte received.
    """
    limits = httpx.Limits(max_keepalive_connections=0)
    return httpx.AsyncClient(base_url=url, timeout=None, limits=limits, trust_env=False)


async def send(
    client: httpx.AsyncClient, method: str, path: str, body: Any, limit: float
) -> Exchange:
    """One request and its whole reply, within `limit` seconds."""
    start = time.perf_counter()
    try:
        response = await asyncio.wait_for(client.request(method, path, json=body), max(limit, 0))
        seconds = time.perf_counter() - start
    except (asyncio.TimeoutError, TimeoutError):
        seconds = time.perf_counter() - start
        return Exchange(
            seconds,
            problem=either(f"{limit:.3g} 秒内没有回复", f"no reply within {limit:.3g} s"),
            late=True,
        )
    except httpx.HTTPError as error:
        seconds = time.perf_counter() - start
        problem = f"{type(error).__name__}: {error}".rstrip(": ")
        return Exchange(seconds, problem=problem, unconnected=isinstance(error, httpx.ConnectError))
    if response.status_code != 200:
        detail = " ".join(response.content[:200].decode("utf-8", "replace").split())
        problem = f"HTTP {response.status_code} {detail}".rstrip()
        return Exchange(seconds, problem=problem, refused=400 <= response.status_code < 500)
    return Exchange(seconds, response.content)


def parsed(body: bytes) -> Any:
    """The body as JSON, or None when it is not (a body of `null` included)."""
    try:
        return json.loads(body)
    except (ValueError, RecursionError):  # not JSON, not Unicode, or nested without end
        return None


def response_field(body: bytes) -> tuple[Any, str | None]:
    """`response` of a reply, and the problem in words when there is none."""
    reply = parsed(body)
    if not isinstance(reply, dict):
        start = body[:60].decode("utf-8", "replace")
        return None, either(
            f"回复不是 JSON 对象（开头是 {start!r}）",
            f"the reply is no JSON object (it begins {start!r})",
        )
    if "response" not in reply:
        names = ", ".join(map(repr, list(reply)[:5])) or either("什么也没有", "nothing")
        return None, either(
            f'回复里没有字段 "response"（有 {names}）',
            f'the reply has no field "response" (it has {names})',
        )
    return reply["response"], None


def text_of(value: Any) -> str:
    """An answer, "" unless it is text.

    Lone surrogates, which JSON can escape but UTF-8 cannot encode, become U+FFFD. The character
    count stays, and neither counts as a token.
    """
    return _SURROGATES.sub("\ufffd", value) if isinstance(value, str) else ""


def kind_of(value: Any) -> str:
    """What JSON calls a value."""
    names = {
        dict: either("对象", "an object"),
        list: either("列表", "a list"),
        str: either("文本", "a text"),
        bool: either("布尔值", "a boolean"),
        type(None): "null",
    }
    return names.get(type(value), either("数字", "a number"))
