"""The judge's contract as data: what `POST /predict` takes and gives, and how errors are worded."""

import json

from pydantic import BaseModel


class PredictRequest(BaseModel):
    """`prompt`: one question, or all of them at once."""

    prompt: str | list[str]


class PredictResponse(BaseModel):
    """`response`: the same shape as the request's `prompt`, in the same order."""

    response: str | list[str]


class BadRequestError(ValueError):
    """A request that cannot be answered: an HTTP status and a message naming the field."""

    def __init__(self, status: int, message: str):
        super().__init__(message)
        self.status = status


EXPECTED = 'expected {"prompt": "a question"} or {"prompt": ["question", ...]}'


def parse_predict(body: bytes) -> PredictRequest:
    """The request in a body. Raises BadRequestError: 400 for broken JSON, 422 for a wrong shape."""
    try:
        # No number is ever used: floats are read in no time, integers of a million digits are not.
        data = json.loads(body, parse_int=float)
    except (ValueError, RecursionError) as error:
        raise BadRequestError(400, f"body: not valid JSON ({error}); {EXPECTED}") from error
    if not isinstance(data, dict):
        raise BadRequestError(422, f"body: a JSON {_kind(data)}; {EXPECTED}")
    if "prompt" not in data:
        raise BadRequestError(422, f"prompt: missing; {EXPECTED}")
    prompt = data["prompt"]
    if isinstance(prompt, list):
        for index, item in enumerate(prompt):
            _check_text(f"prompt[{index}]", item)
    else:
        _check_text("prompt", prompt)
    return PredictRequest(prompt=prompt)


def _check_text(field: str, value: object) -> None:
    if not isinstance(value, str):
        raise BadRequestError(422, f"{field}: a JSON {_kind(value)}, not a string; {EXPECTED}")
    try:
        value.encode()
    except UnicodeEncodeError as error:  # JSON can write half a surrogate pair, text cannot
        raise BadRequestError(422, f"{field}: not valid Unicode ({error.reason})") from error


def _kind(value: object) -> str:
    names = {dict: "object", list: "array", str: "string", bool: "boolean", type(None): "null"}
    return names.get(type(value), "number")
