"""Who may come in: this machine, or whoever has the token; and how much they may send.

Pure ASGI, so that streamed answers pass through untouched.
"""

import hmac
from collections.abc import Awaitable, Callable, MutableMapping
from http.cookies import CookieError, SimpleCookie
from typing import Any
from urllib.parse import parse_qs, urlsplit

from starlette.datastructures import Headers
from starlette.responses import HTMLResponse, JSONResponse, RedirectResponse, Response

from chat.settings import ChatSettings, is_loopback

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
COOKIE = "chat_token"
WRONG = "<p>令牌不对 · wrong token</p>"
# The browser refuses whatever a page, or a model's words in it, would fetch from elsewhere.
POLICY = (
    "default-src 'self'; script-src 'self' 'unsafe-inline' 'unsafe-eval'; "
    "style-src 'self' 'unsafe-inline'; img-src 'self' data: blob:; font-src 'self' data:; "
    "connect-src 'self'; media-src 'self' data: blob:; worker-src 'self' blob:; "
    "object-src 'none'; base-uri 'self'; form-action 'self'; frame-ancestors 'self'"
)
LOGIN = """<!doctype html><meta charset="utf-8"><title>chat</title>
<body style="font-family:system-ui;max-width:24em;margin:15vh auto">
<form method="get" action="/"><label>访问令牌 · access token<br>
<input type="password" name="token" autofocus style="width:100%;font-size:1.2em"></label>
<p><button>进入 · enter</button></p></form>"""


class Access:
    """The gate before everything: host and origin, token, size of the body, and the policy."""

    def __init__(self, app: Any, settings: ChatSettings):
        self._app = app
        self._token = settings.token
        self._limit = settings.upload_mb << 20

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request."""
        if scope["type"] != "http":
            if scope["type"] != "websocket":  # nothing here speaks it
                await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        if refusal := self._refusal(scope, headers):
            await refusal(scope, receive, send)
            return
        bounded = _Bounded(receive, self._limit)

        async def guarded(message: MutableMapping[str, Any]) -> None:
            if message["type"] == "http.response.start":
                extra = [
                    (b"content-security-policy", POLICY.encode()),
                    (b"x-content-type-options", b"nosniff"),
                    (b"referrer-policy", b"no-referrer"),
                ]
                message = {**message, "headers": [*message.get("headers", []), *extra]}
                bounded.answered = True
            await send(message)

        try:
            await self._app(scope, bounded.receive, guarded)
        except _TooLargeError:
            if bounded.answered:
                raise
            await self._too_large()(scope, receive, send)

    def _refusal(self, scope: Scope, headers: Headers) -> Response | None:
        host = _host_of(headers.get("host", ""))
        if not self._token and not is_loopback(host):
            # A name that resolves to 127.0.0.1 in some page's browser (DNS rebinding).
            return _error(403, f"this server answers as 127.0.0.1 or localhost, not as {host!r}")
        origin = headers.get("origin")
        if origin and urlsplit(origin).netloc != headers.get("host", ""):
            return _error(403, f"requests of pages from {origin} are refused")
        if self._token and (refusal := self._without_token(scope, headers)):
            return refusal
        length = headers.get("content-length", "0")
        if length.isdigit() and int(length) > self._limit:
            return self._too_large()
        return None

    def _without_token(self, scope: Scope, headers: Headers) -> Response | None:
        asked = parse_qs(scope.get("query_string", b"").decode("latin-1"))
        if scope["method"] == "GET" and self._same(asked.get("token", [""])[0]):
            # Out of the address bar, and into a cookie that scripts cannot read.
            answer = RedirectResponse(scope["path"] or "/", status_code=303)
            answer.set_cookie(COOKIE, self._token, httponly=True, samesite="strict")
            return answer
        kind, _, given = headers.get("authorization", "").partition(" ")
        if kind.lower() == "bearer" and self._same(given.strip()):
            return None
        if self._same(_cookie(headers.get("cookie", ""))):
            return None
        if "text/html" in headers.get("accept", ""):
            told = WRONG if asked.get("token") else ""
            return HTMLResponse(LOGIN + told, status_code=401)
        return _error(401, "the token is missing or wrong: Authorization: Bearer TOKEN")

    def _same(self, given: str) -> bool:
        return hmac.compare_digest(given.encode(), self._token.encode())

    def _too_large(self) -> Response:
        return _error(413, f"at most {self._limit >> 20} MB a request (--upload-mb)")


class _TooLargeError(Exception):
    pass


class _Bounded:
    """Counts a body that does not tell its length."""

    def __init__(self, receive: Receive, limit: int):
        self._receive = receive
        self._left = limit
        self.answered = False

    async def receive(self) -> MutableMapping[str, Any]:
        message = await self._receive()
        self._left -= len(message.get("body", b""))
        if self._left < 0:
            raise _TooLargeError
        return message


def _error(status: int, message: str) -> Response:
    told = {"message": message, "type": "access_error", "code": status}
    return JSONResponse({"error": told}, status_code=status)


def _host_of(header: str) -> str:
    return urlsplit(f"//{header}").hostname or ""


def _cookie(header: str) -> str:
    try:
        found = SimpleCookie(header).get(COOKIE)
    except CookieError:
        return ""
    return found.value if found else ""
