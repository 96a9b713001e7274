"""Token, header limit and secrets, on the real application with an engine that answers at once."""

import asyncio
import logging
import re

import httpx
import pytest

from serving.http.middleware import MAX_HEADER_BYTES
from serving.http.redaction import without_secrets
from serving.settings import Settings
from tests.instant_engine import instant_app, running_app

TOKEN = "长-sesame-令牌"


def get(path: str, headers: dict[str, str | bytes] | None = None, **settings: object):
    async def go() -> httpx.Response:
        async with running_app(instant_app(Settings(**settings))) as client:
            return await client.get(path, headers=headers or {})

    return asyncio.run(go())


@pytest.mark.parametrize(
    "path", ["/info", "/metrics", "/healthz", "/readyz", "/docs", "/openapi.json", "/none"]
)
def test_with_a_token_everything_but_the_judges_paths_asks_for_it(path: str) -> None:
    wrong = [{}, {"Authorization": "Bearer no"}, {"Authorization": f"Basic {TOKEN}".encode()}]
    for headers in [*wrong, {"Authorization": b"Bearer "}]:
        assert get(path, headers, api_token=TOKEN).status_code == 401
    right = {"Authorization": f"bearer {TOKEN}".encode()}
    assert get(path, right, api_token=TOKEN).status_code == (404 if path == "/none" else 200)
    assert get(path).status_code == (404 if path == "/none" else 200)


def test_the_judge_needs_no_token() -> None:
    async def go() -> list[int]:
        async with running_app(instant_app(Settings(api_token=TOKEN))) as client:
            replies = [await client.get("/"), await client.post("/predict", json={"prompt": "?"})]
            return [reply.status_code for reply in replies]

    assert asyncio.run(go()) == [200, 200]


def test_an_empty_token_is_none() -> None:
    assert get("/info", api_token="").status_code == 200


def test_headers_have_a_limit() -> None:
    assert get("/", {"X": "y" * MAX_HEADER_BYTES}).status_code == 431


def test_no_secret_is_shown(caplog: pytest.LogCaptureFixture) -> None:
    engine_args = {"hf_token": "hf_geheim", "max_num_batched_tokens": 77, "a": {"api_key": "k9"}}
    settings = {"api_token": TOKEN, "engine_args": engine_args}
    with caplog.at_level(logging.DEBUG):
        reply = get("/info", {"Authorization": f"Bearer {TOKEN}".encode()}, **settings)
    shown = reply.json()["settings"]
    assert shown["engine_args"] == {
        "hf_token": "***",
        "max_num_batched_tokens": 77,
        "a": {"api_key": "***"},
    }
    for secret in (TOKEN, "hf_geheim", "k9"):
        assert secret not in reply.text + caplog.text + str(Settings(**settings).api_token)
    assert without_secrets([{"password": ""}, 1]) == [{"password": ""}, 1]
    assert without_secrets({"retrieval_tokens": 1200, "hf_tokens": "abc"}) == {
        "retrieval_tokens": 1200,
        "hf_tokens": "***",
    }


def test_the_docs_need_no_network() -> None:
    page = get("/docs").text
    assert "POST /predict" in page and "GET /metrics" in page
    assert not re.search(r"""(src|href)=["'](https?:)?//""", page)
