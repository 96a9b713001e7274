"""Traditional Chinese as Simplified, Taiwan's terms as the mainland's, so that texts compare."""

import re
from functools import cache
from typing import Any

_BLOCKS = ((0x3400, 0x9FFF), (0xF900, 0xFAFF))
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


@cache
def character_table() -> dict[int, str]:
    """Traditional character → its Simplified one, for `str.translate`: spelling alone, and Taiwan's
    words stay Taiwan's. For what has no OpenCC, such as the service.

    >>> "核函數由執行緒執行".translate(character_table())
    '核函数由执行绪执行'
    """
    signs = [chr(code) for first, last in _BLOCKS for code in range(first, last + 1)]
    simple = ((sign, _converter("t2s").convert(sign)) for sign in signs)
    return {ord(sign): to for sign, to in simple if to != sign and len(to) == 1}
