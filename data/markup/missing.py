"""Words of a source that its reading lacks: told by comparing, whatever the converter says."""

import re

from common.language import either
from data.losses import TEXT, Loss
from data.text import CJK

_RUN = re.compile(f"[{CJK}]{{4,}}")
_GRAM = 4


def missing(source: str, text: str) -> list[Loss]:
    """Runs of Chinese in a source whose words do not stand in the text, each named once."""
    bare = re.sub(rf"[^{CJK}]", "", text)
    known = {bare[place : place + _GRAM] for place in range(len(bare) - _GRAM + 1)}
    why = either("源文里有，读出的文字里没有", "in the source, not in the text that was read")
    found: dict[str, None] = {}
    for run in _RUN.findall(source):
        grams = [run[place : place + _GRAM] for place in range(len(run) - _GRAM + 1)]
        if sum(gram in known for gram in grams) < len(grams) / 2:
            found[run[:30]] = None
    return [Loss(TEXT, run, why) for run in found]
