"""The judge's contract as data: what `POST /predict` takes and gives, and how errors are worded."""

import json
import logging

from pydantic import BaseModel

log = logging.getLogger(__name__)


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
# A body with more broken characters than this share is in another encoding, GBK perhaps: better
# refused than answered as nonsense.
MAX_BROKEN_SHARE = 0.1


def parse_predict(body: bytes) -> PredictRequest:
    """The request in a body. Raises BadRequestError: 400 for broken JSON, 422 for a wrong shape.

    A broken character costs nothing but itself: the judge fails a batch that is not answered 200.
    Bytes that are no UTF-8 become U+FFFD; half surrogate pairs and NULs, which JSON can spell and
    text cannot hold, are left out.
    """
    try:
        # strict: raw control characters in strings are let through. No number is ever used, and
        # floats are read in no time, integers of a million digits are not.
        data = json.loads(_decode(body), strict=False, parse_int=float, object_pairs_hook=_object)
    except BadRequestError:
        raise
    except UnicodeDecodeError as error:
        raise BadRequestError(400, f"body: not UTF-8 ({error}); send it as UTF-8") from error
    except (ValueError, RecursionError) as error:
        raise BadRequestError(400, f"body: not valid JSON ({error}); {EXPECTED}") from error
    if not isinstance(data, dict):
        raise BadRequestError(422, f"body: a JSON {_kind(data)}; {EXPECTED}")
    if "prompt" not in data:
        raise BadRequestError(422, f"prompt: missing; {EXPECTED}")
    prompt = data["prompt"]
    if isinstance(prompt, list):
        prompt = [_text(f"prompt[{index}]", item) for index, item in enumerate(prompt)]
    else:
        prompt = _text("prompt", prompt)
    return PredictRequest(prompt=prompt)


def _object(fields: list[tuple[str, object]]) -> dict[str, object]:
    """Raises BadRequestError for a prompt that is given twice: one would go unanswered."""
    found = dict(fields)
    if len(found) < len(fields) and [name for name, _ in fields].count("prompt") > 1:
        raise BadRequestError(422, f"prompt: given twice in one object; {EXPECTED}")
    return found


def _decode(body: bytes) -> str:
    """The body as text. Raises UnicodeDecodeError when it is in no encoding of JSON's."""
    encoding = json.detect_encoding(body)
    try:
        return body.decode(encoding, "surrogatepass")
    except UnicodeDecodeError:
        text = body.decode(encoding, "replace")
        if text.count("\ufffd") > MAX_BROKEN_SHARE * len(text):
            raise
        log.warning("body: bytes that are not %s, read as U+FFFD", encoding)
        return text


def _text(field: str, value: object) -> str:
    if not isinstance(value, str):
        raise BadRequestError(422, f"{field}: a JSON {_kind(value)}, not a string; {EXPECTED}")
    # UTF-16 is where surrogates are real: two halves become one character, lone ones go.
    text = value.encode("utf-16", "surrogatepass").decode("utf-16", "ignore").replace("\0", "")
    if text != value:
        log.warning("%s: broken characters left out (half surrogate pairs or NULs)", field)
    return text


def _kind(value: object) -> str:
    names = {dict: "object", list: "array", str: "string", bool: "boolean", type(None): "null"}
    return names.get(type(value), "number")
