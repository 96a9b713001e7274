"""Traditional Chinese as Simplified, Taiwan's terms as the mainland's, so that texts compare."""

import re
from functools import cache
from typing import Any

_HAN = re.compile("[\u3400-\u9fff\uf900-\ufaff\U00020000-\U0003ffff]+")


@cache
def _converter(between: str) -> Any:
    from opencc import OpenCC  # loaded where texts are compared; not in the image

    return OpenCC(between)


def simplified(text: str) -> str:
    """The text with its Chinese in Simplified characters and the mainland's terms.

    Simplified text stays as it is, but for words of Taiwan's that it holds. Only runs of Chinese
    characters reach the library: it ends at a NUL and refuses half a surrogate.

    >>> simplified("請問什麼是執行緒塊？")
    '请问什么是线程块？'
    """
    plain = _HAN.sub(lambda run: _converter("tw2sp").convert(run[0]), text)
    return plain.replace("甚么", "什么")  # Hong Kong's 甚麼


def traditional(text: str) -> str:
    """The other way: as Taiwan writes it."""
    return _HAN.sub(lambda run: _converter("s2twp").convert(run[0]), text)
