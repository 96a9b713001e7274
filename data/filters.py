"""Cleaning: each rule has a name, counts what it drops, and can be switched off.

A rule takes a pair and the text of its chunk ("" when there is none, as for merged pairs) and
says whether the pair may stay.
"""

import re
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from data.records import CODE, Pair
from data.sources.sentence import points_elsewhere
from data.text import ascii_terms, cjk_share, normalise, sentences

QUESTION_CHARS = (4, 120)
ANSWER_CHARS = (6, 1500)
MIN_FOUND = 0.5  # share of the answer's Chinese character pairs that must occur in its chunk
_LIST_NUMBER = re.compile(r"[（(]\d{1,2}[)）]|(?:^|\n|；)\s*\d{1,2}[.、)]")


def schema(pair: Pair, chunk: str) -> bool:
    """Question and answer are there, are text, and differ."""
    question, answer = pair.question, pair.answer
    return bool(question.strip() and answer.strip()) and normalise(question) != normalise(answer)


def language(pair: Pair, chunk: str) -> bool:
    """A Chinese book is asked in Chinese, and answered in Chinese or in code."""
    if chunk and cjk_share(chunk) < 0.1 and pair.kind != CODE:
        return True
    asked = cjk_share(pair.question) > 0.1
    return asked and (
        pair.kind in (CODE, "command") or bool(re.search("[\u4e00-\u9fff]", pair.answer))
    )


def length(pair: Pair, chunk: str) -> bool:
    """Question of 4 to 120 characters, answer of 6 to 1,500."""
    low, high = QUESTION_CHARS
    least, most = ANSWER_CHARS
    return low <= len(pair.question) <= high and least <= len(pair.answer) <= most


def elsewhere(pair: Pair, chunk: str) -> bool:
    """No pointer to 本章, 上图, "the text" or anything else the reader does not see."""
    answer = "" if pair.kind in (CODE, "command") else pair.answer
    return not (points_elsewhere(pair.question) or points_elsewhere(answer))


def grounded_terms(pair: Pair, chunk: str) -> bool:
    """Every identifier, English term and number of the pair occurs in its chunk or headings."""
    if not chunk:
        return True
    source = {term.lower() for term in ascii_terms(chunk + " " + " ".join(pair.path))}
    said = ascii_terms(_LIST_NUMBER.sub(" ", pair.answer)) + ascii_terms(pair.question)
    return all(term.lower() in source for term in said)


def grounded_content(pair: Pair, chunk: str) -> bool:
    """At least half of what the answer adds to the question occurs in its chunk.

    Counted in pairs of Chinese characters; words of the question itself do not count.
    """
    if not chunk:
        return True
    text = re.sub("[^\u4e00-\u9fff]+", " ", pair.answer)
    pairs = [word[i : i + 2] for word in text.split() for i in range(len(word) - 1)]
    pairs = [two for two in pairs if two not in pair.question]
    if len(pairs) < 5:
        return True
    return sum(1 for two in pairs if two in chunk) / len(pairs) >= MIN_FOUND


def truncated(pair: Pair, chunk: str) -> bool:
    """The answer ends where a sentence or a piece of code ends, its brackets closed."""
    answer = pair.answer.rstrip()
    if pair.kind in (CODE, "command"):
        return answer.count("{") == answer.count("}")
    if answer.count("```") % 2:
        return False
    if re.search(r"[，、：:,（(]$|(?:\.\.\.|…)。?$", answer):
        return False
    return (
        answer.endswith("```")
        or bool(re.search(r"[。！？.!?）)」”}\]；;`]$", answer))
        or (len(answer) < 60)
    )


def repeating(pair: Pair, chunk: str) -> bool:
    """No sentence said twice, no run of characters over and over."""
    if pair.kind in (CODE, "command"):
        return True
    said = [normalise(s) for s in sentences(pair.answer) if len(s) > 6]
    if len(said) != len(set(said)):
        return False
    text = normalise(pair.answer)
    runs = Counter(text[i : i + 12] for i in range(0, max(len(text) - 11, 0)))
    return not runs or max(runs.values()) <= 3


def informative(pair: Pair, chunk: str) -> bool:
    """The answer says more than the question."""
    return len(normalise(pair.answer)) >= 4 and normalise(pair.answer) not in normalise(
        pair.question
    )


RULES: dict[str, Callable[[Pair, str], bool]] = {
    rule.__name__: rule
    for rule in (
        schema,
        language,
        length,
        elsewhere,
        truncated,
        repeating,
        informative,
        grounded_terms,
        grounded_content,
    )
}


@dataclass
class Cleaner:
    """Applies the rules that are on; `dropped` counts pairs by the first rule that refused them."""

    off: frozenset[str] = frozenset()
    dropped: Counter[str] = field(default_factory=Counter)

    def __post_init__(self) -> None:
        """Raises ValueError for the name of a rule that does not exist."""
        unknown = self.off - RULES.keys()
        if unknown:
            raise ValueError(
                f"no cleaning rule {', '.join(sorted(unknown))}; there are: {', '.join(RULES)}"
            )

    def keep(self, pairs: Iterable[Pair], chunk: str) -> list[Pair]:
        """The pairs that every rule lets through."""
        kept = []
        for pair in pairs:
            reason = self.reason(pair, chunk)
            if reason:
                self.dropped[reason] += 1
            else:
                kept.append(pair)
        return kept

    def reason(self, pair: Pair, chunk: str) -> str:
        """Name of the first rule that refuses the pair, or ""."""
        for name, rule in RULES.items():
            if name not in self.off and not rule(pair, chunk):
                return name
        return ""
