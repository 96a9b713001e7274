"""Is a page's text layer text? Wrong encodings are told by measure."""

import re
from collections.abc import Sequence

from common.language import either
from data.pdf.chars import Char
from data.text import CJK

MIN_CHARS = 200  # fewer say too little for the frequency measures
_PRIVATE = re.compile("[\ue000-\uf8ff\U000f0000-\U0010ffff]")
# The 60 commonest characters of modern Chinese: a third or more of any running text.
_COMMON = frozenset(
    "的一是不了在人有我他这个们中来上大为和国地到以说时要就出会可也你对生能而子那得于着下自之"
    "年过发后作里用道行所然家种事成方多法数"
)
_VOWELS = re.compile("[aeiouAEIOU]")


def fault(chars: Sequence[Char]) -> str:
    """Why the characters of a page are no text, or "" when they are."""
    shown = [c for c in chars if not c.text.isspace()]
    if not shown:
        return either("没有文字层", "no text layer")
    count = len(shown)
    broken = sum(c.broken or bool(_PRIVATE.match(c.text)) and not c.math for c in shown)
    if broken > count * 0.3 and broken > 10:
        return either("字体没有字符编码", "its font does not say which characters it shows")
    text = "".join(c.text for c in shown)
    ideographs = re.findall(f"[{CJK}]", text)
    if len(ideographs) >= MIN_CHARS:
        known = sum(_in_gb2312(c) for c in ideographs)
        common = sum(c in _COMMON for c in ideographs)
        if known < len(ideographs) * 0.7 and common < len(ideographs) * 0.05:
            return _garbled()
        if common < len(ideographs) * 0.015:
            return _garbled()
    strange = sum(0x80 <= ord(c) <= 0x24F for c in text)
    if count >= 40 and strange > count * 0.3:
        return _garbled()
    letters = re.findall("[A-Za-z]", text)
    if len(letters) >= MIN_CHARS and len(letters) > count * 0.6:
        vowels = len(_VOWELS.findall("".join(letters)))
        if not 0.2 < vowels / len(letters) < 0.6:
            return _garbled()
    return ""


def _garbled() -> str:
    return either("文字层是乱码", "its text layer is garbled")


def _in_gb2312(character: str) -> bool:
    try:
        character.encode("gb2312")
    except UnicodeEncodeError:
        return False
    return True
