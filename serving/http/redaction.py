"""Secrets kept out of what the service shows."""

import re
from typing import Any

_SECRET_NAME = re.compile(r"token|secret|password|passwd|api_?key|credential", re.IGNORECASE)
# Names of lengths and formats that contain the word.
_NO_SECRET = re.compile(r"max_.*token|num_.*token|batched_token|tokeniz|token_id", re.IGNORECASE)


def without_secrets(value: Any, name: str = "") -> Any:
    """The same JSON value with everything that is named like a secret replaced by `***`."""
    if isinstance(value, dict):
        return {key: without_secrets(item, str(key)) for key, item in value.items()}
    if isinstance(value, list):
        return [without_secrets(item, name) for item in value]
    if isinstance(value, int) and name.endswith("_tokens"):
        return value  # how many
    if value and _SECRET_NAME.search(name) and not _NO_SECRET.search(name):
        return "***"
    return value
