"""JSON values as rows may hold them: no field twice, no half character."""

import json
import re
from collections import Counter
from typing import Any

from common.language import either
from common.row_talks import RowError

ESCAPED_SURROGATE = re.compile(r"\\u[dD][89a-fA-F]")


def not_json(reason: object) -> RowError:
    """The error of a text that is none."""
    return RowError(f"不是 JSON（{reason}）", f"not JSON ({reason})")


def parsed(line: str) -> Any:
    """One JSON value. Raises RowError."""
    try:
        row = json.loads(line, object_pairs_hook=unlike_names)
    except RowError:
        raise
    except (ValueError, RecursionError) as error:
        raise not_json(error) from None
    return whole_characters(row) if ESCAPED_SURROGATE.search(line) else row


def unlike_names(fields: list[tuple[str, Any]]) -> dict[str, Any]:
    """The object of these fields. Raises RowError where two have one name."""
    found = dict(fields)
    if len(found) < len(fields):
        double = next(name for name, n in Counter(name for name, _ in fields).items() if n > 1)
        raise RowError(f"{double}：在一个对象里出现两次", f"{double}: stands twice in one object")
    return found


def whole_characters(row: Any) -> Any:
    """The row itself. Raises RowError where a text of it has half a surrogate pair."""
    waiting: list[tuple[str, Any]] = [("", row)]
    while waiting:
        name, value = waiting.pop()
        if isinstance(value, dict):
            waiting += [(f"{name}.{key}" if name else key, each) for key, each in value.items()]
            waiting += [(name or either("字段名", "a field's name"), key) for key in value]
        elif isinstance(value, list):
            waiting += [(name, each) for each in value]
        elif isinstance(value, str):
            try:
                value.encode()
            except UnicodeEncodeError as error:
                where = _printable(name)
                raise RowError(
                    f"{where}：第 {error.start} 个字符是半个代理对",
                    f"{where}: half a surrogate pair at character {error.start}",
                ) from None
    return row


def _printable(text: str) -> str:
    return text.encode("utf-8", "backslashreplace").decode()
