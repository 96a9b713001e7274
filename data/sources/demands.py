"""What a question is to ask for, by what its stretch of the book has to say."""

import re
from collections import Counter

from data.records import CODE, digest
from data.sources.spans import Span

# What has to stand in a stretch for a demand; the demands' words are in prompts/demands.md.
_MARKS = {
    "why": re.compile(r"因为|由于|因此|所以|为了|使得|从而|导致|避免|防止"),
    "contrast": re.compile(r"区别|不同于|相比|相对于|而不是|后者|与此相反|截然不同"),
    "number": re.compile(
        r"\d+(?:\.\d+)?\s*(?:[%×xX个次倍位字节]|[KMGT]?B\b|ms|ns|cycle|bit)|最[多少大小]|至[多少]|只有|必须"
    ),
}
DEFAULT = "what"


def demand_for(span: Span, used: Counter[str]) -> str:
    """One of DEMANDS that the span can answer, the one `used` least so far; counted into `used`."""
    fit = [name for name, marks in _MARKS.items() if marks.search(span.text)]
    names = [CODE] if span.kind == CODE else [*fit, DEFAULT]
    name = min(names, key=lambda name: (used[name], digest(span.text, name)))
    used[name] += 1
    return name
