"""ASGI middleware for every path: a limit of header bytes, and HEAD answered like GET."""

import json
from typing import Any

# Sum of names and values; browsers and proxies stay below 8 KiB.
MAX_HEADER_BYTES = 32 * 1024


class HeaderLimit:
    """Answers 431 where the headers are over MAX_HEADER_BYTES."""

    def __init__(self, app: Any):
        self._app = app

    async def __call__(self, scope: dict[str, Any], receive: Any, send: Any) -> None:
        """Pass a request on, or refuse it."""
        headers = scope.get("headers", [])
        if sum(len(name) + len(value) for name, value in headers) <= MAX_HEADER_BYTES:
            await self._app(scope, receive, send)
            return
        body = json.dumps({"error": f"headers: over {MAX_HEADER_BYTES} bytes"}).encode()
        answer = [
            (b"content-type", b"application/json"),
            (b"content-length", str(len(body)).encode()),
            (b"connection", b"close"),
        ]
        await send({"type": "http.response.start", "status": 431, "headers": answer})
        await send({"type": "http.response.body", "body": body})


class HeadAsGet:
    """Lets the GET routes answer HEAD; the server, which knows the real method, drops the body."""

    def __init__(self, app: Any):
        self._app = app

    async def __call__(self, scope: dict[str, Any], receive: Any, send: Any) -> None:
        """Pass a request on, HEAD as GET."""
        if scope.get("method") == "HEAD":
            scope = {**scope, "method": "GET"}
        await self._app(scope, receive, send)
