"""HTTP routes of the judge's contract. The port opens when the model can answer.

uvicorn binds its socket after the lifespan's start-up, so loading there means that the judge's
first answer of `GET /` comes from a service that is ready.
"""

import asyncio
import logging
import os
import time
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from typing import Any

from fastapi import APIRouter, FastAPI, Request
from fastapi.responses import JSONResponse, Response
from starlette.requests import ClientDisconnect

from common.manifest import chain, read_manifest
from serving import __version__
from serving.answerer import Answerer
from serving.engine import devices
from serving.engine.base import EngineError
from serving.http import openapi as api_schema
from serving.http.admission import Entrance, OverloadedError
from serving.http.auth import Guard, without_secrets
from serving.http.metrics import CONTENT_TYPE, Metrics, memory_bytes
from serving.http.schema import BadRequestError, parse_predict
from serving.http.shutdown import ENGINE_LOST, hurry_on_term, leave_when_lost
from serving.memory import memory
from serving.settings import Settings
from serving.startup import Restart, start_answerer

log = logging.getLogger("serving.http.app")


# How often the reading of a body looks whether the service ends.
LOOK_EVERY_S = 0.5


class ClientGoneError(Exception):
    """The caller hung up before the answer."""


def create_app(settings: Settings, restart: Restart | None = None) -> FastAPI:
    """The service. Loading begins when the application starts, not here.

    restart: how the start-up ladder starts this process again; None: it does not.
    """

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        manifest = read_manifest(settings.model_dir)
        for line in chain(manifest) if manifest else ["no manifest.json in the model directory"]:
            log.info("model: %s", line)
        app.state.manifest = manifest
        answerer, app.state.startup = await start_answerer(settings, restart)
        answerer.observer = metrics.batch
        app.state.answerer = answerer
        if restart is not None:  # this process is the service, not a test's
            hurry_on_term(answerer, entrance, settings.shutdown_grace_s)
            watch = asyncio.create_task(leave_when_lost(answerer, entrance))
        yield
        lost = not answerer.engine.healthy()
        answerer.stop()
        if restart is not None:
            watch.cancel()
            if lost:
                logging.shutdown()
                os._exit(ENGINE_LOST)  # uvicorn has no way to choose the process's exit code

    def gauges() -> dict[str, float]:
        answerer: Answerer = app.state.answerer
        return {
            "engine_up": float(answerer.engine.healthy()),
            "engine_recovering": float(answerer.engine.recovering),
            "calls_in_progress": entrance.calls,
            "calls_refused": entrance.refused,
            "memory_bytes": memory_bytes(),
            **{f"engine_{name}": value for name, value in answerer.engine.stats().items()},
            **devices.usage(),
        }

    entrance = Entrance(settings.max_queue, settings.max_body_bytes)
    metrics = Metrics(gauges)
    app = FastAPI(
        title="textbook answers",
        version=__version__,
        lifespan=lifespan,
        responses=api_schema.EVERYWHERE,
    )
    operators = APIRouter(**api_schema.behind_token(settings.api_token))
    app.add_middleware(Guard, token=settings.api_token)

    def refused(status: int, error: Exception, **headers: str) -> JSONResponse:
        metrics.response(status)
        log.log(logging.ERROR if status >= 500 else logging.WARNING, "%d: %s", status, error)
        return JSONResponse({"error": str(error)}, status_code=status, headers=headers)

    @app.exception_handler(BadRequestError)
    async def bad_request(request: Request, error: BadRequestError) -> JSONResponse:
        return refused(error.status, error)

    @app.exception_handler(OverloadedError)
    async def overloaded(request: Request, error: OverloadedError) -> JSONResponse:
        return refused(503, error, **{"Retry-After": str(error.retry_after)})

    @app.exception_handler(EngineError)
    async def engine_error(request: Request, error: EngineError) -> JSONResponse:
        return refused(503, error)

    @app.exception_handler(ClientGoneError)
    async def client_gone(request: Request, error: ClientGoneError) -> JSONResponse:
        return refused(499, error)

    @app.get("/", **api_schema.HEALTH)
    async def health() -> JSONResponse:
        answerer: Answerer = app.state.answerer
        if not answerer.engine.healthy():
            return JSONResponse({"status": "engine stopped"}, status_code=503)
        return JSONResponse({"status": settings.serve_mode})

    @app.post("/predict", **api_schema.PREDICT)
    async def predict(request: Request) -> JSONResponse:
        began = time.monotonic()
        deadline = began + settings.predict_budget_s
        answerer: Answerer = app.state.answerer
        with entrance.enter():
            body = await _read_body(request, settings.max_body_bytes, deadline, entrance)
            with entrance.hold(len(body)):
                prompt = parse_predict(body).prompt
                questions = [prompt] if isinstance(prompt, str) else prompt
                answers = await _unless_gone(request, answerer.answer(questions, deadline))
        entrance.took(time.monotonic() - began)
        metrics.response(200)
        return JSONResponse({"response": answers[0] if isinstance(prompt, str) else answers})

    @operators.get("/healthz", **api_schema.LIVE)
    async def live() -> JSONResponse:
        up = app.state.answerer.engine.healthy()
        return JSONResponse({"live": up}, status_code=200 if up else 503)

    @operators.get("/readyz", **api_schema.READY)
    async def ready() -> JSONResponse:
        engine = app.state.answerer.engine
        yes = engine.healthy() and not engine.recovering and not entrance.full
        return JSONResponse({"ready": yes}, status_code=200 if yes else 503)

    @operators.get("/metrics", **api_schema.METRICS)
    async def metrics_page() -> Response:
        return Response(metrics.text(), media_type=CONTENT_TYPE)

    @operators.get("/info", **api_schema.INFO)
    async def info() -> dict[str, Any]:
        manifest = app.state.manifest
        return {
            "version": __version__,
            "model": {
                "name": manifest.name if manifest else settings.model_dir.name,
                "demo": bool(manifest and manifest.demo),
                "manifest": manifest.model_dump() if manifest else None,
            },
            "engine": without_secrets(app.state.answerer.engine.info()),
            "startup": app.state.startup,
            "memory": memory(),
            "settings": without_secrets(settings.model_dump(mode="json")),
        }

    app.include_router(operators)
    return app


async def _read_body(request: Request, limit: int, deadline: float, entrance: Entrance) -> bytes:
    """The body. Raises BadRequestError: 413 when it is too large, 408 when it does not end in
    time or before the service does."""

    async def read() -> bytes:
        body = bytearray()
        async for piece in request.stream():
            body += piece
            if len(body) > limit:
                raise BadRequestError(413, f"body: over {limit} bytes (MAX_BODY_BYTES)")
        return bytes(body)

    length = request.headers.get("content-length", "")
    if length.isdecimal() and int(length) > limit:
        raise BadRequestError(413, f"body: over {limit} bytes (MAX_BODY_BYTES)")
    reading = asyncio.ensure_future(read())
    try:
        while not reading.done():
            left = deadline - time.monotonic()
            if left <= 0 or entrance.closed:
                raise BadRequestError(408, "body: it did not end within PREDICT_BUDGET_S")
            await asyncio.wait({reading}, timeout=min(left, LOOK_EVERY_S))
        return reading.result()
    except ClientDisconnect as error:
        raise ClientGoneError("the client left while sending") from error
    finally:
        reading.cancel()


async def _unless_gone(request: Request, answering: Coroutine[Any, Any, list[str]]) -> list[str]:
    """The answers; when the client hangs up first, its questions are dropped.

    Raises ClientGoneError then.
    """

    async def gone() -> None:
        while (await request.receive())["type"] != "http.disconnect":
            pass

    answers = asyncio.ensure_future(answering)
    leaving = asyncio.ensure_future(gone())
    try:
        await asyncio.wait({answers, leaving}, return_when=asyncio.FIRST_COMPLETED)
        if answers.done():
            return answers.result()
    finally:
        leaving.cancel()
        answers.cancel()
    raise ClientGoneError("the client left before its answer")
