"""The figures of `GET /metrics`, and the dashboard made for them."""

import asyncio
import re
from pathlib import Path

from serving.http.metrics import Metrics
from serving.settings import Settings
from tests.instant_engine import instant_app, running_app


def test_metrics_name_what_happened() -> None:
    metrics = Metrics(lambda: {"engine_up": 1.0})
    metrics.response(200)
    text = metrics.text().decode()
    assert 'serving_responses_total{status="200"} 1.0' in text
    assert "serving_engine_up 1.0" in text


def test_a_call_leaves_one_line_and_its_figures() -> None:
    async def go() -> tuple[str, list[str]]:
        async with running_app(instant_app(Settings())) as client:
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
        async with running_app(instant_app(Settings())) as client:
            await client.post("/predict", json={"prompt": "?"})
            return (await client.get("/metrics")).text

    there = set(re.findall(r"^serving_\w+", asyncio.run(go()), re.M))
    stats = {"running", "waiting", "slots", "faults", "restarts", "bad_prompts"}
    there |= {f"serving_engine_{name}" for name in stats}
    assert {name for name in asked - there if "_device_" not in name} == set()
