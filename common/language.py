"""What people read, in their language: Chinese, or English with KIT_LANGUAGE=en.

Both texts stand side by side in the code, so that who changes one sees the other. Log lines of the
service, and names of fields and options, are English everywhere.
"""

import os
from typing import Literal


def language() -> Literal["zh", "en"]:
    """The language of messages and reports. Raises ValueError for a value of neither."""
    chosen = os.environ.get("KIT_LANGUAGE", "zh")
    if chosen not in ("zh", "en"):
        raise ValueError(f"KIT_LANGUAGE={chosen!r}: zh or en")
    return chosen


def either(zh: str, en: str) -> str:
    """The one of two texts that says the same in the reader's language."""
    return zh if language() == "zh" else en
