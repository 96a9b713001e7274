"""Stands in for vLLM's OpenAI server: real HTTP by the same uvicorn, tokens by the clock.

`python -m chat --engine-python` runs what `script` writes as if it were a python with vLLM. A
request's `max_tokens` say how many tokens come, TOKEN_S how many seconds each takes. A connection
on which a request comes after more than IDLE_S without one is closed: what happens, now and then,
to a request that meets the end of vLLM's patience with an idle connection. As with vLLM, whoever
starts it may set that patience: KEEP_ALIVE_S.
"""

import asyncio
import json
import os
import sys
from pathlib import Path
from typing import Any

TOKEN_S, IDLE_S = "FAKE_TOKEN_S", "FAKE_IDLE_S"
KEEP_ALIVE_S = "VLLM_HTTP_TIMEOUT_KEEP_ALIVE"


def script(path: Path, python: Path) -> Path:
    """An executable that takes the place of `--engine-python`."""
    path.write_text(f'#!/bin/sh\nexec "{python}" "{Path(__file__).resolve()}" "$@"\n', "utf-8")
    path.chmod(0o755)
    return path


class FakeEngine:
    """An ASGI application: /health, /metrics, chat completions; those not streamed are empty."""

    def __init__(self, token_s: float):
        self._token_s = token_s
        self._generated = 0

    async def __call__(self, scope: dict[str, Any], receive: Any, send: Any) -> None:
        """One request."""
        if scope["type"] != "http":
            return
        if scope["path"] == "/health":
            await _whole(send, b"{}")
        elif scope["path"] == "/metrics":
            await _whole(send, f"vllm:generation_tokens_total {self._generated}\n".encode())
        else:
            body = b""
            while True:
                message = await receive()
                body += message.get("body", b"")
                if not message.get("more_body"):
                    break
            asked = json.loads(body)
            if asked["stream"]:
                await self._stream(asked, send)
            else:
                await asyncio.sleep(asked["max_tokens"] * self._token_s)
                await _whole(send, b"{}")

    async def _stream(self, asked: dict[str, Any], send: Any) -> None:
        await send(_start(b"text/event-stream; charset=utf-8"))
        loop = asyncio.get_running_loop()
        began, count = loop.time(), asked["max_tokens"]
        for number in range(count):
            # By the clock, so that a loop that is late catches up as an engine would.
            await asyncio.sleep(max(0, began + (number + 1) * self._token_s - loop.time()))
            self._generated += 1
            await _event(send, {"choices": [{"index": 0, "delta": {"content": f"{number} "}}]})
        usage = {"prompt_tokens": 1, "completion_tokens": count, "total_tokens": count + 1}
        await _event(send, {"choices": [], "usage": usage})
        await send({"type": "http.response.body", "body": b"data: [DONE]\n\n", "more_body": True})
        await send({"type": "http.response.body", "body": b""})


def _start(kind: bytes) -> dict[str, Any]:
    return {"type": "http.response.start", "status": 200, "headers": [(b"content-type", kind)]}


async def _whole(send: Any, body: bytes) -> None:
    await send(_start(b"text/plain"))
    await send({"type": "http.response.body", "body": body})


async def _event(send: Any, told: dict[str, Any]) -> None:
    told = {"id": "x", "object": "chat.completion.chunk", "created": 0, "model": "fake"} | told
    event = f"data: {json.dumps(told)}\n\n".encode()
    await send({"type": "http.response.body", "body": event, "more_body": True})


def main() -> None:
    """Serve at the `--port` of vLLM's command line."""
    import uvicorn
    from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

    patience = float(os.environ.get(KEEP_ALIVE_S) or os.environ.get(IDLE_S, "inf"))

    class Impatient(HttpToolsProtocol):
        heard: float | None = None

        def data_received(self, data: bytes) -> None:
            before, self.heard = self.heard, self.loop.time()
            if before and self.heard - before > patience:
                self.transport.close()
            else:
                super().data_received(data)

    uvicorn.run(
        FakeEngine(float(os.environ.get(TOKEN_S, "0.002"))),  # type: ignore[arg-type]
        port=int(sys.argv[sys.argv.index("--port") + 1]),
        http=Impatient,
        access_log=False,
        log_level="warning",
        timeout_graceful_shutdown=1,
    )


if __name__ == "__main__":
    main()
