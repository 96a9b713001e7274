"""What every route can answer, for the OpenAPI schema; tests hold it against the running service.

Left out, because no caller can act on them: 499, which the log gets when the caller has left, and
500, which would be a bug.
"""

from typing import Any, Literal

from fastapi.responses import Response
from pydantic import BaseModel, Field

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
    """The engine is lost; the process is about to end."""

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
    retrieval: dict[str, Any] | None = Field(description="the index in use; null: none")
    draws: dict[str, Any] | None = Field(description="answers drawn to a question; null: one")
    startup: dict[str, Any]
    memory: dict[str, int | None] = Field(description="bytes")
    settings: dict[str, Any]


class FoundPassage(BaseModel):
    """A passage that stands before a question, and where the book has it."""

    book: str
    path: list[str] = Field(description="headings, outermost first")
    start: int = Field(description="character in the book's text")
    page: int | None = Field(description="on which it begins, from 1; null: a book without pages")
    score: float
    text: str


class Passages(BaseModel):
    """For each question its passages, best first; none without an index."""

    passages: list[list[FoundPassage]]


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
        415: _refusal("The body is compressed."),
        422: _refusal("The body is JSON of another shape."),
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
PASSAGES: dict[str, Any] = {
    "response_model": Passages,
    "responses": PREDICT["responses"],
    "openapi_extra": PREDICT["openapi_extra"],
}

NEEDS_TOKEN: Responses = {
    401: _refusal("API_TOKEN is missing or wrong.", **{"WWW-Authenticate": _WWW_AUTHENTICATE})
}
