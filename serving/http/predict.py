"""The judge's contract: `GET /` and `POST /predict`."""

import asyncio
import time
from collections.abc import Coroutine
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse
from starlette.requests import ClientDisconnect

from serving.http import openapi
from serving.http.admission import Admission
from serving.http.schema import BadRequestError, parse_predict
from serving.http.state import state_of

# How often the reading of a body checks whether the service is stopping.
POLL_S = 0.5

router = APIRouter()


class ClientGoneError(Exception):
    """The caller hung up before the answer."""


@router.get("/", **openapi.HEALTH)
async def health(request: Request) -> JSONResponse:
    """Ready, and how to ask; the port is closed before."""
    service = state_of(request)
    if not service.answerer.engine.healthy():
        return JSONResponse({"status": "engine stopped"}, status_code=503)
    return JSONResponse({"status": service.settings.serve_mode})


@router.post("/predict", **openapi.PREDICT)
async def predict(request: Request) -> JSONResponse:
    """Answer one question, or all of them at once."""
    service = state_of(request)
    settings, admission = service.settings, service.admission
    began = time.monotonic()
    deadline = began + settings.predict_budget_s
    with admission.admit():
        body = await read_body(request, settings.max_body_bytes, deadline, admission)
        with admission.reserve(len(body)):
            prompt = parse_predict(body).prompt
            questions = [prompt] if isinstance(prompt, str) else prompt
            answering = service.answerer.answer(questions, deadline)
            answers = await _cancel_on_disconnect(request, answering)
    admission.record(time.monotonic() - began)
    service.metrics.response(200)
    return JSONResponse({"response": answers[0] if isinstance(prompt, str) else answers})


async def read_body(request: Request, limit: int, deadline: float, admission: Admission) -> bytes:
    """The body. Raises BadRequestError: 413 when it is too large, 408 when it does not end in
    time or before the service does; ClientGoneError when the caller hangs up."""

    async def read() -> bytes:
        body = bytearray()
        async for piece in request.stream():
            body += piece
            if len(body) > limit:
                raise BadRequestError(413, f"body: over {limit} bytes (MAX_BODY_BYTES)")
        return bytes(body)

    if (packed := request.headers.get("content-encoding", "identity")) != "identity":
        raise BadRequestError(415, f"body: Content-Encoding {packed}; send it uncompressed")
    length = request.headers.get("content-length", "")
    if length.isdecimal() and int(length) > limit:
        raise BadRequestError(413, f"body: over {limit} bytes (MAX_BODY_BYTES)")
    reading = asyncio.ensure_future(read())
    try:
        while not reading.done():
            left = deadline - time.monotonic()
            if left <= 0 or admission.closed:
                raise BadRequestError(408, "body: it did not end within PREDICT_BUDGET_S")
            await asyncio.wait({reading}, timeout=min(left, POLL_S))
        return reading.result()
    except ClientDisconnect as error:
        raise ClientGoneError("the client left while sending") from error
    finally:
        reading.cancel()


async def _cancel_on_disconnect(
    request: Request, answering: Coroutine[Any, Any, list[str]]
) -> list[str]:
    """The answers. Raises ClientGoneError, and drops the questions, when the client hangs up
    first."""

    async def disconnected() -> None:
        while (await request.receive())["type"] != "http.disconnect":
            pass

    answers = asyncio.ensure_future(answering)
    disconnect = asyncio.ensure_future(disconnected())
    try:
        await asyncio.wait({answers, disconnect}, return_when=asyncio.FIRST_COMPLETED)
        if answers.done():
            return answers.result()
    finally:
        disconnect.cancel()
        answers.cancel()
    raise ClientGoneError("the client left before its answer")
