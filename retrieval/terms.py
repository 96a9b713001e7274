"""A text as BM25 counts it: pairs of Chinese characters, and Latin words with their parts.

Pairs of neighbouring characters instead of jieba's words: they need no dictionary in the image,
and find the same passages (docs/retrieval.md has both). `cudaMemcpyAsync` also counts as cuda,
memcpy and async, since a question often names a part of an identifier only.
"""

import re
import unicodedata
from collections.abc import Mapping, Sequence

_RUN = re.compile(r"[a-zA-Z0-9_]+|[\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff]+")
_PART = re.compile(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])|\d+")

# Share of an answer's terms that a passage must hold to be taken for the one that holds the answer.
OVERLAP = 0.5


def index_terms(text: str, folding: Mapping[int, str] | None = None) -> list[str]:
    """The terms of a text, in order, repeated as often as they occur.

    folding: for `str.translate`, such as Traditional characters as Simplified ones.

    >>> index_terms("线程块 cudaMemcpy")
    ['线程', '程块', 'cudamemcpy', 'cuda', 'memcpy']
    """
    found: list[str] = []
    for run in _RUN.findall(unicodedata.normalize("NFKC", text).translate(folding or {})):
        if not run[0].isascii():
            found += [run[i : i + 2] for i in range(len(run) - 1)] or [run]
            continue
        found.append(run.lower())
        parts = _PART.findall(run)
        if len(parts) > 1:
            found += [part.lower() for part in parts if len(part) > 1]
    return found


def shares_of_terms(answer: str, passages: Sequence[set[str]]) -> list[float]:
    """How much of an answer's terms each passage holds, 0 to 1. passages: the terms of each."""
    wanted = set(index_terms(answer))
    return [len(wanted & found) / max(1, len(wanted)) for found in passages]
