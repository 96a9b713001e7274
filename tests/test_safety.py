"""What strangers may send and see. Application and middleware are real; the engine answers at
once, because none of this reaches it."""

import asyncio
import logging
import re
from pathlib import Path

import httpx
import pytest

from serving.http.admission import Entrance, OverloadedError
from serving.http.app import create_app
from serving.http.auth import MAX_HEADER_BYTES, without_secrets
from serving.http.metrics import Metrics
from serving.settings import Settings
from tests.instant_engine import running_app

TOKEN = "长-sesame-令牌"


def get(path: str, headers: dict[str, str | bytes] | None = None, **settings: object):
    async def go() -> httpx.Response:
        async with running_app(create_app(Settings(**settings))) as client:
            return await client.get(path, headers=headers or {})

    return asyncio.run(go())


@pytest.mark.parametrize("path", ["/info", "/metrics", "/healthz", "/readyz", "/docs", "/none"])
def test_with_a_token_everything_but_the_judges_paths_asks_for_it(path: str) -> None:
    wrong = [{}, {"Authorization": "Bearer no"}, {"Authorization": f"Basic {TOKEN}".encode()}]
    for headers in [*wrong, {"Authorization": b"Bearer "}]:
        assert get(path, headers, api_token=TOKEN).status_code == 401
    right = {"Authorization": f"bearer {TOKEN}".encode()}
    assert get(path, right, api_token=TOKEN).status_code == (404 if path == "/none" else 200)
    assert get(path).status_code == (404 if path == "/none" else 200)


def test_the_judge_needs_no_token() -> None:
    async def go() -> list[int]:
        async with running_app(create_app(Settings(api_token=TOKEN))) as client:
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


def test_the_entrance_counts_calls_and_bytes_and_closes() -> None:
    entrance = Entrance(2, 10)
    with entrance.enter(), entrance.enter():
        with pytest.raises(OverloadedError, match="MAX_QUEUE") as caught, entrance.enter():
            pass
        assert caught.value.retry_after >= 1
        with entrance.hold(155), pytest.raises(OverloadedError, match="bytes"), entrance.hold(10):
            pass
    assert (entrance.calls, entrance.bytes, entrance.refused) == (0, 0, 2)
    with entrance.hold(1000):  # whatever its size, what comes alone comes in
        pass
    entrance.closed = True
    with pytest.raises(OverloadedError, match="stopping"), entrance.enter():
        pass


def test_metrics_name_what_happened() -> None:
    metrics = Metrics(lambda: {"engine_up": 1.0})
    metrics.response(200)
    text = metrics.text().decode()
    assert 'serving_responses_total{status="200"} 1.0' in text
    assert "serving_engine_up 1.0" in text


def test_a_call_leaves_one_line_and_its_figures() -> None:
    async def go() -> tuple[str, list[str]]:
        async with running_app(create_app(Settings())) as client:
            await client.post("/predict", json={"prompt": ["一", "", "二二"]})
            return (await client.get("/metrics")).text, []

    text, _ = asyncio.run(go())
    assert "serving_batch_questions_sum 3.0" in text
    assert 'serving_answers_total{reason="blank"} 1.0' in text
    assert 'serving_answers_total{reason="stop"} 2.0' in text


def test_the_dashboard_asks_for_figures_that_exist() -> None:
    """All but the engine's and the device's own, which this engine has none of."""
    text = Path(__file__).parents[1].joinpath("bench/grafana.json").read_text("utf-8")
    asked = set(re.findall(r"serving_\w+", text))

    async def go() -> str:
        async with running_app(create_app(Settings())) as client:
            await client.post("/predict", json={"prompt": "?"})
            return (await client.get("/metrics")).text

    there = set(re.findall(r"^serving_\w+", asyncio.run(go()), re.M))
    stats = {"running", "waiting", "slots", "faults", "remakes", "blamed"}
    there |= {f"serving_engine_{name}" for name in stats}
    assert {name for name in asked - there if "_device_" not in name} == set()
