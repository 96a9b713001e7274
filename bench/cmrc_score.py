"""EM and F1 as CMRC 2018 counts them (Cui et al. 2019, arXiv:1810.07366).

By the definition of its evaluation script: text in lower case without punctuation; F1 over the
longest run of segments that answer and reference share, a Chinese character being a segment and
other text being cut by NLTK; EM for equal text. Of several references the best counts.
"""

from collections.abc import Sequence
from difflib import SequenceMatcher
from itertools import groupby

from nltk.tokenize import NLTKWordTokenizer

# Its own list; ASCII full stops, commas and brackets are not in it.
PUNCTUATION = frozenset("-:_*^/\\~`+=，。：？！“”；’《》·、「」（）－～『』")
# The script calls nltk.word_tokenize, which also looks for the ends of sentences, by a model to
# download. Here a stretch between Chinese characters is one sentence.
_WORDS = NLTKWordTokenizer()


def bare(text: str) -> str:
    """A text in lower case without punctuation."""
    return "".join(char for char in text.lower().strip() if char not in PUNCTUATION)


def segments(text: str) -> list[str]:
    """What F1 counts: each Chinese character, and the words between them."""
    found: list[str] = []
    for chinese, run in groupby(bare(text), lambda char: "\u4e00" <= char <= "\u9fa5"):
        stretch = "".join(run)
        found += stretch if chinese else _WORDS.tokenize(stretch)
    return found


def f1(references: Sequence[str], answer: str) -> float:
    """F1 of an answer, 0 to 1."""
    return max(_f1(segments(reference), segments(answer)) for reference in references)


def em(references: Sequence[str], answer: str) -> float:
    """1 for an answer that is one of the references, else 0."""
    return float(any(bare(reference) == bare(answer) for reference in references))


def _f1(reference: list[str], answer: list[str]) -> float:
    whole = (0, len(reference), 0, len(answer))
    shared = SequenceMatcher(None, reference, answer, autojunk=False).find_longest_match(*whole)
    # 2PR / (P + R) with P = shared / answer, R = shared / reference.
    return 2 * shared.size / (len(reference) + len(answer)) if shared.size else 0.0
