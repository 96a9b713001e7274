"""What people read, in their language: Chinese, or English with KIT_LANGUAGE=en.

Both texts stand side by side in the code, so that who changes one sees the other. Log lines of the
service, and names of fields and options, are English everywhere.
"""

import os
from collections.abc import Callable
from typing import Any, Literal, TypeVar

Told = TypeVar("Told")
Function = TypeVar("Function", bound=Callable[..., Any])


def language() -> Literal["zh", "en"]:
    """The language of messages and reports. A value of neither ends the program in one line."""
    chosen = os.environ.get("KIT_LANGUAGE", "zh")
    if chosen not in ("zh", "en"):
        raise SystemExit(f"KIT_LANGUAGE={chosen!r}: zh or en")  # no message could be told
    return chosen


def either(zh: Told, en: Told) -> Told:
    """The one of two texts (or tables of texts) that says the same in the reader's language."""
    return zh if language() == "zh" else en


def in_chinese(zh: str) -> Callable[[Function], Function]:
    """Decorates a command: `zh` is its docstring, which is its --help, unless English is asked."""

    def decorate(function: Function) -> Function:
        function.__doc__ = either(zh, function.__doc__)
        return function

    return decorate


class BilingualError(Exception):
    """An error told in the reader's language: raised with both texts, as for `either`, or with one
    that is told as it is."""

    def __init__(self, zh: str, en: str | None = None) -> None:
        super().__init__(zh if en is None else either(zh, en))
