"""HTTP routes of the judge's contract. The port opens when the model can answer.

uvicorn binds its socket after the lifespan's start-up, so loading there means that the judge's
first answer of `GET /` comes from a service that is ready.
"""

import logging
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse

from . import __version__
from .answerer import Answerer
from .engine import EngineError
from .manifest import chain, read_manifest
from .memory import memory
from .protocol import BadRequestError, PredictRequest, PredictResponse, parse_predict
from .settings import Settings
from .startup import Restart, start_answerer

log = logging.getLogger("answering.app")


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
        app.state.answerer, app.state.startup = await start_answerer(settings, restart)
        yield
        app.state.answerer.stop()

    app = FastAPI(title="textbook answers", version=__version__, lifespan=lifespan)

    @app.exception_handler(BadRequestError)
    async def bad_request(request: Request, error: BadRequestError) -> JSONResponse:
        log.warning("%d: %s", error.status, error)
        return JSONResponse({"error": str(error)}, status_code=error.status)

    @app.exception_handler(EngineError)
    async def engine_error(request: Request, error: EngineError) -> JSONResponse:
        log.error("500: %s", error)
        return JSONResponse({"error": str(error)}, status_code=500)

    @app.get("/")
    async def health() -> JSONResponse:
        answerer: Answerer = app.state.answerer
        if not answerer.engine.healthy():
            return JSONResponse({"status": "engine stopped"}, status_code=503)
        return JSONResponse({"status": settings.serve_mode})

    @app.post(
        "/predict",
        response_model=PredictResponse,
        openapi_extra={
            "requestBody": {
                "content": {"application/json": {"schema": PredictRequest.model_json_schema()}},
                "required": True,
            }
        },
    )
    async def predict(request: Request) -> JSONResponse:
        deadline = time.monotonic() + settings.predict_budget_s
        prompt = parse_predict(await _read_body(request, settings.max_body_bytes)).prompt
        answerer: Answerer = app.state.answerer
        if isinstance(prompt, str):
            return JSONResponse({"response": (await answerer.answer([prompt], deadline))[0]})
        return JSONResponse({"response": await answerer.answer(prompt, deadline)})

    @app.get("/info")
    async def info() -> dict[str, Any]:
        manifest = app.state.manifest
        return {
            "version": __version__,
            "model": {
                "name": manifest.name if manifest else settings.model_dir.name,
                "demo": bool(manifest and manifest.demo),
                "manifest": manifest.model_dump() if manifest else None,
            },
            "engine": app.state.answerer.engine.info(),
            "startup": app.state.startup,
            "memory": memory(),
            "settings": settings.model_dump(mode="json"),
        }

    return app


async def _read_body(request: Request, limit: int) -> bytes:
    body = bytearray()
    async for piece in request.stream():
        body += piece
        if len(body) > limit:
            raise BadRequestError(413, f"body: over {limit} bytes (MAX_BODY_BYTES)")
    return bytes(body)
