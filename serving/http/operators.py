"""What operators ask: health probes, metrics, facts and the API's description. Behind API_TOKEN,
where that is set."""

import time
from typing import Any

from fastapi import APIRouter, Depends, Request
from fastapi.responses import HTMLResponse, JSONResponse, Response

from serving import __version__
from serving.http import openapi
from serving.http.auth import TokenAuth
from serving.http.docs_page import docs_page
from serving.http.metrics import CONTENT_TYPE
from serving.http.predict import read_body
from serving.http.redaction import without_secrets
from serving.http.schema import parse_predict
from serving.http.state import state_of
from serving.resource_usage import memory


def operators_router(auth: TokenAuth | None) -> APIRouter:
    """The routes, each behind `auth`; None: open."""
    router = APIRouter()
    if auth is not None:
        router = APIRouter(dependencies=[Depends(auth)], responses=openapi.NEEDS_TOKEN)
    router.get("/healthz", **openapi.LIVE)(live)
    router.get("/readyz", **openapi.READY)(ready)
    router.get("/metrics", **openapi.METRICS)(metrics)
    router.get("/info", **openapi.INFO)(info)
    router.post("/passages", **openapi.PASSAGES)(passages)
    router.get("/openapi.json", include_in_schema=False)(schema)
    router.get("/docs", include_in_schema=False)(docs)
    return router


async def live(request: Request) -> JSONResponse:
    """Whether the process is worth keeping."""
    up = state_of(request).answerer.engine.healthy()
    return JSONResponse({"live": up}, status_code=200 if up else 503)


async def ready(request: Request) -> JSONResponse:
    """Whether the next call would be taken."""
    service = state_of(request)
    engine = service.answerer.engine
    yes = engine.healthy() and not engine.recovering and not service.admission.full
    return JSONResponse({"ready": yes}, status_code=200 if yes else 503)


async def metrics(request: Request) -> Response:
    """Figures for Prometheus."""
    return Response(state_of(request).metrics.text(), media_type=CONTENT_TYPE)


async def info(request: Request) -> dict[str, Any]:
    """Model, engine and settings, without secrets."""
    service = state_of(request)
    settings, manifest = service.settings, service.manifest
    return {
        "version": __version__,
        "model": {
            "name": manifest.name if manifest else settings.model_dir.name,
            "demo": bool(manifest and manifest.demo),
            "manifest": manifest.model_dump() if manifest else None,
        },
        "engine": without_secrets(service.answerer.engine.info()),
        "retrieval": book.info() if (book := service.answerer.book) else None,
        "draws": {"answers": settings.answer_draws, "temperature": settings.draw_temperature}
        if settings.answer_draws > 1
        else None,
        "startup": service.startup,
        "memory": memory(),
        "settings": without_secrets(settings.model_dump(mode="json")),
    }


async def passages(request: Request) -> JSONResponse:
    """What stands before these questions: the same body as POST /predict, nothing is answered."""
    service = state_of(request)
    settings, admission = service.settings, service.admission
    deadline = time.monotonic() + settings.predict_budget_s
    with admission.admit():
        body = await read_body(request, settings.max_body_bytes, deadline, admission)
        with admission.reserve(len(body)):
            prompt = parse_predict(body).prompt
            questions = [prompt] if isinstance(prompt, str) else prompt
            found = await service.answerer.passages(questions)
    return JSONResponse(
        {
            "passages": [
                [
                    {
                        "book": hit.passage.book,
                        "path": list(hit.passage.path),
                        "start": hit.passage.start,
                        "page": hit.passage.page,
                        "score": hit.score,
                        "text": hit.passage.text,
                    }
                    for hit in hits
                ]
                for hits in found
            ]
        }
    )


async def schema(request: Request) -> JSONResponse:
    """The OpenAPI schema."""
    return JSONResponse(request.app.openapi())


async def docs(request: Request) -> HTMLResponse:
    """The same for people."""
    return HTMLResponse(docs_page(request.app.openapi()))
