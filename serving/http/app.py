"""The application: routes, error answers, start and end. The port opens when the model can answer.

uvicorn binds its socket after the lifespan's start-up, so loading there means that the judge's
first answer of `GET /` comes from a service that is ready.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from common.manifest import ManifestError, chain, read_manifest
from serving import __version__
from serving.answerer import Answerer
from serving.engine.base import EngineError, ModelError
from serving.http import openapi, predict
from serving.http.admission import Admission, OverloadedError
from serving.http.auth import TokenAuth, token_auth
from serving.http.metrics import Metrics
from serving.http.middleware import HeadAsGet, HeaderLimit
from serving.http.operators import operators_router
from serving.http.schema import BadRequestError
from serving.http.shutdown import (
    CANNOT_START,
    ENGINE_LOST,
    drain_on_signal,
    exit_process,
    stop_when_engine_lost,
)
from serving.http.state import ServiceState
from serving.resource_usage import device_use, resident_bytes
from serving.settings import Settings
from serving.startup import Restart, start_answerer

log = logging.getLogger(__name__)

# Makes a warm answerer, and facts about its start.
Start = Callable[[Settings, Restart | None], Awaitable[tuple[Answerer, dict[str, Any]]]]


def create_app(
    settings: Settings, restart: Restart | None = None, start: Start = start_answerer
) -> FastAPI:
    """The service. Loading begins when the application starts, not here.

    restart: how a start that fails restarts this process; None: this process is not the service's
    own (a test's), is not restarted and sees no signals.
    """
    admission = Admission(settings.max_queue, settings.max_body_bytes)
    service = ServiceState(settings, admission, Metrics(lambda: _gauges(service)))

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        async with _running(service, restart, start):
            yield

    app = FastAPI(
        title="textbook answers",
        version=__version__,
        lifespan=lifespan,
        responses=openapi.EVERYWHERE,
        # Both are among the operators' routes, behind the token.
        openapi_url=None,
        docs_url=None,
    )
    app.state.service = service
    app.add_middleware(HeadAsGet)
    app.add_middleware(HeaderLimit)
    auth = token_auth(settings.api_token)
    _add_error_answers(app, service.metrics, auth)
    app.include_router(predict.router)
    app.include_router(operators_router(auth))
    return app


@asynccontextmanager
async def _running(
    service: ServiceState, restart: Restart | None, start: Start
) -> AsyncIterator[None]:
    """Load before, free after; a lost engine ends the process."""
    settings = service.settings
    try:
        service.manifest = read_manifest(settings.model_dir)
    except ManifestError as error:  # it only tells where the model came from
        log.warning("model: %s", error)
    for line in chain(service.manifest) if service.manifest else ["no manifest"]:
        log.info("model: %s", line)
    try:
        answerer, service.startup = await start(settings, restart)
    except ModelError as error:
        log.critical("the service cannot start: %s", error)
        if restart is not None:
            exit_process(CANNOT_START)  # without uvicorn's traceback, which would hide the reason
        raise
    answerer.observer = service.metrics.batch
    service.answerer, service.settings = answerer, answerer.settings  # with what `auto` came to
    if restart is None:
        yield
        answerer.stop()
        return
    drain_on_signal(answerer, service.admission, settings.shutdown_grace_s)
    watch = asyncio.create_task(stop_when_engine_lost(answerer))
    yield
    lost = not answerer.engine.healthy()
    answerer.stop()
    watch.cancel()
    if lost:
        exit_process(ENGINE_LOST)


def _gauges(service: ServiceState) -> dict[str, float]:
    engine = service.answerer.engine
    return {
        "engine_up": float(engine.healthy()),
        "engine_recovering": float(engine.recovering),
        "calls_in_progress": service.admission.calls,
        "calls_refused": service.admission.refused,
        "memory_bytes": resident_bytes(),
        **{f"engine_{name}": value for name, value in engine.stats().items()},
        **device_use(),
    }


def _add_error_answers(app: FastAPI, metrics: Metrics, auth: TokenAuth | None) -> None:
    """Every error is answered as `{"error": reason}`."""

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

    @app.exception_handler(predict.ClientGoneError)
    async def client_gone(request: Request, error: predict.ClientGoneError) -> JSONResponse:
        return refused(499, error)

    @app.exception_handler(HTTPException)
    async def http_error(request: Request, error: HTTPException) -> JSONResponse:
        """Of the framework: 401, 404, 405. Without the token every other path is 401."""
        if auth is not None and error.status_code != 401:
            try:
                await auth.check(request)
            except HTTPException as unauthorised:
                error = unauthorised
        return JSONResponse(
            {"error": error.detail}, status_code=error.status_code, headers=error.headers
        )
