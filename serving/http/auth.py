"""What a stranger may send and see: header sizes, the optional token, secrets kept out of sight."""

import hmac
import json
import re
from typing import Any

from pydantic import SecretStr

# Sum of names and values; browsers and proxies stay below 8 KiB.
MAX_HEADER_BYTES = 32 * 1024
# What the judge calls: it has no token.
OPEN_PATHS = ("/", "/predict")

_SECRET_NAME = re.compile(r"token|secret|password|passwd|api_?key|credential", re.IGNORECASE)
# Names of lengths and formats that hold the word and no secret.
_NO_SECRET = re.compile(r"max_.*token|num_.*token|batched_token|tokeniz|token_id", re.IGNORECASE)


class Guard:
    """ASGI middleware: header limit for all, the token for all but the judge's paths."""

    def __init__(self, app: Any, token: SecretStr | None):
        self._app = app
        given = token.get_secret_value() if token else ""
        self._token = given.encode() if given else None

    async def __call__(self, scope: dict[str, Any], receive: Any, send: Any) -> None:
        """Pass a request on, or answer 431 or 401."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = scope["headers"]
        if sum(len(name) + len(value) for name, value in headers) > MAX_HEADER_BYTES:
            await _refuse(send, 431, f"headers: over {MAX_HEADER_BYTES} bytes")
        elif (
            self._token is not None
            and scope["path"] not in OPEN_PATHS
            and not self._known(dict(headers).get(b"authorization", b""))
        ):
            await _refuse(send, 401, "Authorization: Bearer … with the service's API_TOKEN needed")
        else:
            await self._app(scope, receive, send)

    def _known(self, given: bytes) -> bool:
        scheme, _, token = given.partition(b" ")
        # The comparison takes as long for a wrong token as for the right one.
        same = hmac.compare_digest(token.strip(), self._token or b"")
        return same and scheme.lower() == b"bearer"


def without_secrets(value: Any, name: str = "") -> Any:
    """The same JSON value with everything that is named like a secret replaced by `***`."""
    if isinstance(value, dict):
        return {key: without_secrets(item, str(key)) for key, item in value.items()}
    if isinstance(value, list):
        return [without_secrets(item, name) for item in value]
    if value and _SECRET_NAME.search(name) and not _NO_SECRET.search(name):
        return "***"
    return value


async def _refuse(send: Any, status: int, why: str) -> None:
    body = json.dumps({"error": why}, ensure_ascii=False).encode()
    headers = [
        (b"content-type", b"application/json"),
        (b"content-length", str(len(body)).encode()),
        (b"connection", b"close"),
    ]
    if status == 401:
        headers.append((b"www-authenticate", b"Bearer"))
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
