"""The API: OpenAI's paths passed on to the engine of the model named, and models in and out."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Coroutine
from typing import Any

import aiohttp
import anyio
from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse, Response, StreamingResponse
from pydantic import BaseModel

from chat.engine import Engine
from chat.errors import LoadError, NotLoadedError
from chat.listing import status
from chat.registry import Registry, Target

HUNG_UP_EVERY_S = 0.25
# Each piece of a stream costs a system call here and one at the client, several times what vLLM's
# token itself costs to read. So all streams together send at most this many pieces a second; what
# comes meanwhile goes out joined. One stream is never held up by it, fifty wait 20 ms at most.
PIECES_PER_S = 2500
UNPACED = 3  # pieces: the role, the first words
SHORTEST_WAIT_S = 0.002  # a timer that is shorter costs more than it saves


class ModelName(BaseModel):
    """Which model to load; switch: unload the others first."""

    model: str
    switch: bool = False


class AdapterName(BaseModel):
    """vLLM's own words for an adapter. `lora_path` may be left out: only adapters of the catalogue
    are loaded, whatever path is named."""

    lora_name: str
    lora_path: str | None = None


def prepared(body: dict[str, Any], target: Target) -> dict[str, Any]:
    """A chat request as the model was trained to be asked: its own system prompt where the request
    has none, thinking off where it does not say; see common.prompting."""
    messages = body.get("messages")
    body = {**body, "model": target.name}
    if isinstance(messages, list):
        roles = [each.get("role") for each in messages if isinstance(each, dict)]
        if target.system_prompt and not {"system", "developer"} & set(roles):
            system = {"role": "system", "content": target.system_prompt}
            body["messages"] = [system, *messages]
        switches = body.get("chat_template_kwargs")
        if switches is None or isinstance(switches, dict):
            body["chat_template_kwargs"] = {"enable_thinking": False, **(switches or {})}
    return body


def routes(registry: Registry) -> APIRouter:
    """The API over a registry."""
    router = APIRouter()

    @router.get("/health")
    async def health() -> dict[str, Any]:
        return {"status": "ok", "loaded": registry.names()}

    @router.get("/v1/models")
    async def models() -> dict[str, Any]:
        rows = [
            {"id": name, "object": "model", "created": 0, "owned_by": "kit"}
            | {"parent": None if name == engine.model.id else engine.model.id}
            | {"max_model_len": engine.context}
            for engine in registry.ready()
            for name in (engine.model.id, *engine.adapters)
        ]
        return {"object": "list", "data": rows}

    @router.post("/v1/chat/completions")
    async def chat_completions(request: Request) -> Response:
        return await _passed(registry, request, "chat/completions")

    @router.post("/v1/completions")
    async def completions(request: Request) -> Response:
        return await _passed(registry, request, "completions")

    @router.post("/v1/load_lora_adapter")
    async def load_adapter(name: AdapterName) -> Response:
        return await _told(registry.load_adapter(name.lora_name), {"loaded": name.lora_name})

    @router.post("/v1/unload_lora_adapter")
    async def unload_adapter(name: AdapterName) -> Response:
        return await _told(registry.unload_adapter(name.lora_name), {"unloaded": name.lora_name})

    @router.get("/chat/models")
    async def known() -> dict[str, Any]:
        return {"models": await anyio.to_thread.run_sync(status, registry)}

    @router.post("/chat/models/load")
    async def load(name: ModelName) -> Response:
        return await _told(registry.load(name.model, name.switch), {"loaded": name.model})

    @router.post("/chat/models/unload")
    async def unload(name: ModelName) -> Response:
        try:
            freed = await registry.unload(name.model)
        except NotLoadedError as error:
            return _error(404, str(error), "model_not_loaded")
        return JSONResponse({"unloaded": name.model, "freed": freed.as_json()})

    return router


async def _passed(registry: Registry, request: Request, path: str) -> Response:
    try:
        body = json.loads(await request.body())
    except ValueError as error:
        return _error(400, f"the body is not JSON: {error}", "invalid_request")
    if not isinstance(body, dict) or not isinstance(body.get("model", ""), str):
        return _error(400, "the body is no object with a `model`", "invalid_request")
    try:
        target = await registry.target(body.get("model") or "")
    except NotLoadedError as error:
        return _error(404, str(error), "model_not_loaded")
    except LoadError as error:
        return _error(503, str(error), "model_load_failed")
    passed = prepared(body, target) if path == "chat/completions" else body | {"model": target.name}
    engine = target.engine
    url = f"{engine.url}/v1/{path}"
    with contextlib.ExitStack() as stack:
        stack.enter_context(engine.busy())
        try:
            sending = registry.stream.post(url, json=passed, headers=engine.headers)
            answer = await _unless_hung_up(sending, request)
        except aiohttp.ClientError as error:
            engine.check()
            why = engine.problem or f"{type(error).__name__} {error}"
            return _error(502, f"{target.name}: its engine did not answer: {why}", "engine_failed")
        if answer is None:
            return Response(status_code=499)  # nobody is there to read it
        held = stack.pop_all()  # until the last byte is out, or the client has gone
    return StreamingResponse(
        _chunks(answer, engine, held),
        answer.status,
        media_type=answer.headers.get("content-type", "application/json"),
        headers={"cache-control": "no-cache", "x-accel-buffering": "no"},
    )


async def _chunks(
    answer: aiohttp.ClientResponse, engine: Engine, held: contextlib.ExitStack
) -> AsyncIterator[bytes]:
    # Closing the answer, as Starlette does when the client has gone, makes vLLM abort the request.
    streamed = answer.content_type == "text/event-stream"
    pieces = 0
    try:
        while piece := await answer.content.readany():
            yield piece
            pieces += 1
            wait = engine.in_flight / PIECES_PER_S
            if streamed and pieces >= UNPACED and wait >= SHORTEST_WAIT_S:
                await asyncio.sleep(wait)
    except aiohttp.ClientError as error:
        engine.check()
        why = engine.problem or type(error).__name__
        told = {"message": f"the engine ended in mid-answer: {why}", "type": "engine_failed"}
        yield f"data: {json.dumps({'error': told})}\n\n".encode()
    finally:
        held.close()
        answer.close()  # nothing to do once it is read to its end


async def _unless_hung_up(
    sending: Coroutine[Any, Any, aiohttp.ClientResponse], request: Request
) -> aiohttp.ClientResponse | None:
    """The engine's answer; None when the client went away before it began."""
    task = asyncio.create_task(sending)
    try:
        while not task.done():
            await asyncio.wait([task], timeout=HUNG_UP_EVERY_S)
            if not task.done() and await request.is_disconnected():
                return None
        return await task
    finally:
        if task.cancel():  # nobody waits for it any more
            await asyncio.wait([task])


async def _told(action: Any, done: dict[str, Any]) -> Response:
    try:
        await action
    except NotLoadedError as error:
        return _error(404, str(error), "model_not_loaded")
    except LoadError as error:
        return _error(503, str(error), "model_load_failed")
    return JSONResponse(done)


def _error(status: int, message: str, code: str) -> Response:
    """In OpenAI's form, which its client turns into an exception with this message."""
    told = {"message": message, "type": code, "param": None, "code": status}
    return JSONResponse({"error": told}, status_code=status)
