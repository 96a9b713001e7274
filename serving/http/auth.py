"""The optional token (API_TOKEN): asked for by every path but the judge's."""

import hmac
from typing import Annotated

from fastapi import HTTPException, Security
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer
from pydantic import SecretStr
from starlette.requests import Request

# What the judge calls: it has no token.
OPEN_PATHS = ("/", "/predict")

_bearer = HTTPBearer(auto_error=False, description="API_TOKEN")


class TokenAuth:
    """A FastAPI dependency: raises HTTPException 401 unless the request carries the token."""

    def __init__(self, token: str):
        self._token = token.encode()

    async def __call__(
        self, given: Annotated[HTTPAuthorizationCredentials | None, Security(_bearer)] = None
    ) -> None:
        """Compare in constant time: the time must not tell how much of a guess is right."""
        # Starlette decodes headers as Latin-1; the token may be any UTF-8.
        credentials = given.credentials.strip().encode("latin-1") if given else b""
        if not hmac.compare_digest(credentials, self._token):
            raise HTTPException(
                401,
                "Authorization: Bearer … with the service's API_TOKEN needed",
                {"WWW-Authenticate": "Bearer"},
            )

    async def check(self, request: Request) -> None:
        """The same for a request that reached no route of ours."""
        if request.url.path not in OPEN_PATHS:
            await self(await _bearer(request))


def token_auth(token: SecretStr | None) -> TokenAuth | None:
    """The dependency for this token; None when none is set."""
    value = token.get_secret_value() if token else ""
    return TokenAuth(value) if value else None
