"""The service for tests/test_deadlines.py: answers that never end by themselves (unless ENDLESS=0),
and a budget that may be changed between calls."""

import os

from bench.measured_engine import MeasuredAnswerer, build_measured
from serving.http.app import create_app
from serving.logging_setup import set_up_logging
from serving.settings import Settings, load_settings
from serving.startup import restart_process, start_answerer

set_up_logging()
settings = load_settings()


def build_endless(engine: str, settings: Settings) -> MeasuredAnswerer:
    answerer = build_measured(engine, settings)
    if os.environ.get("ENDLESS") != "0":
        answerer.tokens_of = lambda question: settings.max_tokens
    return answerer


async def start(settings: Settings, restart):
    return await start_answerer(settings, restart, build_endless)


app = create_app(settings, restart_process, start)


@app.post("/budget/{seconds}")
async def set_budget(seconds: float) -> None:
    """PREDICT_BUDGET_S from now on."""
    service = app.state.service
    service.settings = service.settings.model_copy(update={"predict_budget_s": seconds})
