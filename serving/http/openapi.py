"""What every route can answer, for the OpenAPI schema; tests hold it against the running service.

Not in it, because no caller can act on them: 499, which is for the log when the caller has left,
and 500, which would be a bug.
"""

from typing import Any, Literal

from fastapi import Security
from fastapi.responses import Response
from fastapi.security import HTTPBearer
from pydantic import BaseModel, Field, SecretStr

from common.manifest import Manifest
from serving.http.schema import PredictRequest, PredictResponse

Responses = dict[int | str, dict[str, Any]]


class Refusal(BaseModel):
    """Why a request is not answered, naming the field and what to do."""

    error: str


class Status(BaseModel):
    """How the judge is to ask: all questions in one call, or one a call."""

    status: Literal["batch", "serial"]


class Stopped(BaseModel):
    """The engine is lost; the process ends soon."""

    status: Literal["engine stopped"]


class Live(BaseModel):
    """Whether the process is worth keeping."""

    live: bool


class Ready(BaseModel):
    """Whether the next call would be taken."""

    ready: bool


class Model(BaseModel):
    """The model that answers, and where it came from."""

    name: str
    demo: bool = Field(description="a demo of the flow: its scores must say so")
    manifest: Manifest | None


class Info(BaseModel):
    """What runs here; secrets are replaced by `***`."""

    version: str
    model: Model
    engine: dict[str, Any]
    startup: dict[str, Any]
    memory: dict[str, int | None] = Field(description="bytes")
    settings: dict[str, Any]


def _refusal(description: str, **headers: dict[str, Any]) -> dict[str, Any]:
    return {"model": Refusal, "description": description, "headers": headers}


_RETRY_AFTER = {
    "description": "seconds; not there when the engine failed",
    "schema": {"type": "integer", "minimum": 1, "maximum": 60},
}
_WWW_AUTHENTICATE = {"required": True, "schema": {"const": "Bearer"}}

EVERYWHERE: Responses = {431: _refusal("Headers too large.")}

HEALTH: dict[str, Any] = {
    "response_model": Status,
    "responses": {503: {"model": Stopped, "description": "The engine is lost."}},
}
PREDICT: dict[str, Any] = {
    "response_model": PredictResponse,
    "responses": {
        400: _refusal("The body is not JSON."),
        408: _refusal("The body did not end within PREDICT_BUDGET_S, or before the service did."),
        413: _refusal("The body is over MAX_BODY_BYTES."),
        422: _refusal("The body is JSON of another shape, or its text is not valid Unicode."),
        503: _refusal(
            "Too many calls at once, or the engine failed.", **{"Retry-After": _RETRY_AFTER}
        ),
    },
    "openapi_extra": {
        "requestBody": {
            "description": "The Content-Type is not looked at.",
            "content": {"application/json": {"schema": PredictRequest.model_json_schema()}},
            "required": True,
        }
    },
}
LIVE: dict[str, Any] = {
    "response_model": Live,
    "responses": {503: {"model": Live, "description": "The engine is lost."}},
}
READY: dict[str, Any] = {
    "response_model": Ready,
    "responses": {503: {"model": Ready, "description": "Lost, recovering, full or stopping."}},
}
METRICS: dict[str, Any] = {
    "response_class": Response,  # PlainTextResponse would call the refusals, which are JSON, text
    "responses": {200: {"content": {"text/plain": {"schema": {"type": "string"}}}}},
}
INFO: dict[str, Any] = {"response_model": Info}


def behind_token(token: SecretStr | None) -> dict[str, Any]:
    """Arguments of a router whose paths ask for the token, where there is one: the schema names
    it. safety.Guard is what checks it."""
    if not (token and token.get_secret_value()):
        return {}
    unknown = _refusal("API_TOKEN is missing or wrong.", **{"WWW-Authenticate": _WWW_AUTHENTICATE})
    named = HTTPBearer(auto_error=False, description="API_TOKEN")
    return {"dependencies": [Security(named)], "responses": {401: unknown}}
