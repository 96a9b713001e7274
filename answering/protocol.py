"""The judge's contract as data: what `POST /predict` takes and gives, and how errors are worded."""

import json

from pydantic import BaseModel, StrictStr, ValidationError


class PredictRequest(BaseModel):
    """`prompt`: one question, or all of them at once."""

    prompt: StrictStr | list[StrictStr]


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
        data = json.loads(body)
    except (json.JSONDecodeError, UnicodeDecodeError, RecursionError) as error:
        raise BadRequestError(400, f"body: not valid JSON ({error}); {EXPECTED}") from error
    if not isinstance(data, dict):
        raise BadRequestError(422, f"body: a JSON {_kind(data)}; {EXPECTED}")
    if "prompt" not in data:
        raise BadRequestError(422, f"prompt: missing; {EXPECTED}")
    prompt = data["prompt"]
    if isinstance(prompt, list):
        for index, item in enumerate(prompt):
            if not isinstance(item, str):
                raise BadRequestError(422, f"prompt[{index}]: a JSON {_kind(item)}, not a string")
    elif not isinstance(prompt, str):
        raise BadRequestError(422, f"prompt: a JSON {_kind(prompt)}; {EXPECTED}")
    try:
        return PredictRequest(prompt=prompt)
    except ValidationError as error:  # a lone surrogate is a string to JSON, but is no text
        where = error.errors()[0]["loc"]
        index = next((part for part in where if isinstance(part, int)), None)
        field = "prompt" if index is None else f"prompt[{index}]"
        raise BadRequestError(422, f"{field}: not valid Unicode text") from error


def _kind(value: object) -> str:
    names = {dict: "object", list: "array", str: "string", bool: "boolean", type(None): "null"}
    return names.get(type(value), "number")
