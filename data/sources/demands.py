"""What a question is to ask for, by what its stretch of the book has to say."""

import re
from collections import Counter
from collections.abc import Collection, Sequence

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
_MORE_MARKS = {
    "how": re.compile(r"通过|利用|使用|调用|采用|首先|然后|步骤|方法|实现|需要先"),
    "effect": re.compile(r"如果|否则|当|会|限制|代价|只能|不能|开销|影响|提[高升]|减少|降低"),
}
DEFAULT, TERM = "what", "term"


def demand_for(span: Span, used: Counter[str]) -> str:
    """One of DEMANDS that the span can answer, the one `used` least so far; counted into `used`."""
    fit = [name for name, marks in _MARKS.items() if marks.search(span.text)]
    names = [CODE] if span.kind == CODE else [*fit, DEFAULT]
    name = min(names, key=lambda name: (used[name], digest(span.text, name)))
    used[name] += 1
    return name


def demands_for(
    span: Span, terms: Sequence[str], count: int, asked: Collection[str]
) -> list[tuple[str, str]]:
    """`count` demands that the span can answer, as (name, term), fewer where it says less.

    First those that its words call for, then what it is about, then single names of `terms` that
    were not `asked` about.
    """
    prose = [n for n, marks in {**_MARKS, **_MORE_MARKS}.items() if marks.search(span.text)]
    names = [*([CODE] if span.kind == CODE else []), DEFAULT, *prose]
    about = [(TERM, term) for term in terms if term not in asked]
    # Every other question is about one name: general ones to one stretch soon say the same.
    general = [(name, "") for name in names]
    mixed = general[:2]
    for place in range(max(len(general) - 2, len(about))):
        mixed += [*about[place : place + 1], *general[2 + place : 3 + place]]
    return mixed[:count]
