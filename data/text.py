"""Text helpers shared by reading, rules, filters and the contamination check."""

import re
import unicodedata
from functools import lru_cache

CJK = "\u3400-\u9fff\uf900-\ufaff"
_INVISIBLE = re.compile("[\u200b-\u200f\u2060\ufeff\u00ad]")
_LONGEST_GAP = 200
_GAP = re.compile(rf"[ \t]{{{_LONGEST_GAP},}}|\n{{{_LONGEST_GAP},}}")
_TIGHT_MARKS = "，。；：、！？（）《》「」『』【】"
_WORDLESS = re.compile(r"[\W_]+")
# A sentence ends at 。！？； or ．(the full stop of mathematical books), or at .!? before a space,
# with any closing quotes; never inside a number, an identifier such as `a.b`, or brackets that are
# still open (see `sentences`).
_STOP = re.compile(
    r"[。！？；!?]+[”’」』）)\"]*|(?<=[\u3400-\u9fff）)」”$])．|\.(?=\s+[A-Z\u3400-\u9fff])|;(?=\s|$)|\n+"
)
# Identifiers, English terms and numbers: what the judge's ROUGE-L sees of a Chinese answer.
ASCII_TERM = re.compile(r"[A-Za-z_][A-Za-z0-9_]*|\d+(?:\.\d+)?")


def without_long_gaps(text: str) -> str:
    """Hundreds of blanks or empty lines in a row say no more than some, and take patterns hours."""
    return _GAP.sub(lambda gap: gap.group()[:_LONGEST_GAP], text)


def tidy(text: str) -> str:
    """Drop invisible characters, turn odd spaces into plain ones, strip."""
    text = _INVISIBLE.sub("", text).replace("\u00a0", " ").replace("\u3000", " ")
    return re.sub(r"[ \t]+", " ", text).strip()


def join_lines(first: str, second: str) -> str:
    """Join two lines of one paragraph: hyphenation undone, no space inside Chinese."""
    first, second = first.rstrip(), second.lstrip()
    if not first or not second:
        return first + second
    if re.search(r"[A-Za-z]-$", first[-2:]) and second[0].islower():
        word = re.search(r"[\w-]+-$", first[-100:])  # of a long paragraph its end alone
        # "just-in-" + "time" keeps its hyphen, "paral-" + "lel" loses it.
        keep = word is not None and "-" in word.group()[:-1]
        return first + second if keep else first[:-1] + second
    spaced = first[-1].isascii() or second[0].isascii()
    if first[-1] in _TIGHT_MARKS or second[0] in _TIGHT_MARKS:
        spaced = False  # Chinese punctuation has its own room
    return first + (" " if spaced else "") + second


def sentences(text: str, semicolons: bool = True) -> list[str]:
    """Sentences with their end marks; brackets and quotes are never cut open.

    With `semicolons` off, clauses parted by ； stay together.

    >>> sentences("A 是 B（例如 C。D）。E 为 1.5。")
    ['A 是 B（例如 C。D）。', 'E 为 1.5。']
    """
    found, start = [], 0
    for stop in _STOP.finditer(text):
        if not semicolons and stop.group()[0] in "；;":
            continue
        piece = text[start : stop.end()]
        opened = sum(piece.count(c) for c in "（(「『“") - sum(piece.count(c) for c in "）)」』”")
        # An unclosed bracket of a careless author must not swallow the rest of the paragraph.
        if opened > 0 and len(piece) < 200 and "\n" not in stop.group():
            continue
        found.append(piece.strip())
        start = stop.end()
    found.append(text[start:].strip())
    return [piece for piece in found if piece]


@lru_cache(maxsize=4096)
def normalise(text: str) -> str:
    """For comparing: NFKC, lower case, no spaces, punctuation or Markdown signs."""
    return _WORDLESS.sub("", unicodedata.normalize("NFKC", text).lower())


def ascii_terms(text: str) -> list[str]:
    """Identifiers, English words and numbers, in order."""
    return ASCII_TERM.findall(unicodedata.normalize("NFKC", text))


def fenced(code: str, language: str = "") -> str:
    """Code as Markdown, its fence longer than any that it holds."""
    marks = max(re.findall(r"^\s*(`{3,})", code, re.M), key=len, default="``") + "`"
    return f"{marks}{language}\n{code}\n{marks}"


def cjk_share(text: str) -> float:
    """Chinese characters among all letters and digits, 0 to 1 (0 for none)."""
    letters = [c for c in text if c.isalnum()]
    if not letters:
        return 0.0
    return sum(1 for c in letters if re.match(f"[{CJK}]", c)) / len(letters)
