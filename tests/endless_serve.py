"""The service with answers that never end by themselves, for tests/test_deadlines.py."""

from bench.measured_engine import MeasuredAnswerer, build_measured
from serving.http.app import create_app
from serving.logging_setup import set_up_logging
from serving.settings import Settings, load_settings
from serving.startup import restart_process, start_answerer

set_up_logging()
settings = load_settings()


def build_endless(engine: str, settings: Settings) -> MeasuredAnswerer:
    answerer = build_measured(engine, settings)
    answerer.tokens_of = lambda question: settings.max_tokens
    return answerer


async def start(settings: Settings, restart):
    return await start_answerer(settings, restart, build_endless)


app = create_app(settings, restart_process, start)
