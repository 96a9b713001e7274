"""Phrases that several rules need: titles, claims, actions, and what refers to something unseen."""

import re
from collections.abc import Sequence

from data.sources.rules.nouns import core, is_owner, leading_term, tags
from data.sources.sentence import is_standalone

# A term's English name in brackets, which belongs to it: 线程束（warp）.
ENGLISH = r"(?:\s*[（(][^（）()]{1,60}[)）])?"
_NUMBERING = re.compile(
    r"^(?:第.{1,4}[章节篇部]|附录[A-Z]?|[A-Z](?:\.\d+)+\.?(?=\s)|[\d.]+|[一二三四五六七八九十]+、|[（(]?\d+[)）.、]|※)\s*"
)


def unnumbered(title: str) -> str:
    """A heading without its number: 第1章, 附录A, A.1, 1.2, 一、, (1)."""
    return _NUMBERING.sub("", title)


def title_term(path: Sequence[str]) -> str:
    """The innermost heading without its number, brackets and Markdown."""
    return core(unnumbered(path[-1]).strip("`* ")) if path else ""


def gap(text: str) -> str:
    """The space that parts Chinese from an ASCII word after it, or none."""
    return " " if re.match(r"[A-Za-z_<]", text.strip()) else ""


def spaced(text: str) -> str:
    """`text` as it stands after Chinese: with a space before an ASCII word."""
    return gap(text) + text


def refers_to_unseen(sentence: str) -> bool:
    """Does a sentence hold 这种, 我们, 它, 其中一 and the like, which refer to another sentence?"""
    return bool(
        re.search(r"这[个种样些里]|那[个种样些]|我们|咱们|它们?|其中[一之]|同样的", sentence)
    )


def is_claim(text: str) -> bool:
    """A clause with its own subject, fit to stand after 为什么."""
    if re.match(r"\S{1,4}[了着]", text) or re.search(r"这[个种些样]|它|我们", text):
        return False
    return is_owner(leading_term(text, 20)) and is_standalone(text)


def is_action(text: str) -> bool:
    """A verb phrase without pronouns, fit to stand after 如何."""
    words = tags(text)
    return (
        bool(words)
        and words[0][1][0] in "vd"
        and is_standalone(text)
        and not re.search(r"这|它|我们|该|其(?!他)|此", text)
        and names_something(text)
    )


def names_something(question: str) -> bool:
    """Does a question say what it is about, without pronouns?"""
    if re.search(r"这|那|它|该|此|我们|上面|下面|其[中他]|两者", question):
        return False
    return bool(re.search(r"[A-Za-z]{2,}", question)) or any(
        flag[0] == "n" and len(word) > 1 for word, flag in tags(question)
    )
