"""Word-level differences between a reference and an answer, for the eye of a reader.

Words that hold tokens of the judge are compared as the judge does, by longest common subsequence:
what is marked there is what cost score. All other words are compared with difflib.
"""

from dataclasses import dataclass
from difflib import SequenceMatcher
from itertools import groupby

from judging.scoring import common_subsequence, judge_words

LONGEST_TEXT = 6000  # characters compared; difflib needs quadratic time


@dataclass(frozen=True)
class Piece:
    """A stretch of text. `differs`: only this side has it; `counts`: the judge counts it."""

    text: str
    differs: bool
    counts: bool


def differences(reference: str, answer: str) -> tuple[list[Piece], list[Piece]]:
    """Reference and answer as pieces, those marked that the other side lacks.

    The pieces join to the texts, of which at most LONGEST_TEXT characters are taken.
    """
    left = judge_words(reference[:LONGEST_TEXT])
    right = judge_words(answer[:LONGEST_TEXT])
    kept_left, kept_right = common_subsequence(
        [token for _, tokens in left for token in tokens],
        [token for _, tokens in right for token in tokens],
    )
    matcher = SequenceMatcher(
        None, [word for word, _ in left], [word for word, _ in right], autojunk=False
    )
    same_left: set[int] = set()
    same_right: set[int] = set()
    for block in matcher.get_matching_blocks():
        same_left.update(range(block.a, block.a + block.size))
        same_right.update(range(block.b, block.b + block.size))
    return _pieces(left, kept_left, same_left), _pieces(right, kept_right, same_right)


def _pieces(
    words: list[tuple[str, list[str]]], kept_tokens: set[int], same_words: set[int]
) -> list[Piece]:
    marked: list[Piece] = []
    token = 0
    for index, (word, tokens) in enumerate(words):
        if tokens:
            differs = any(place not in kept_tokens for place in range(token, token + len(tokens)))
            token += len(tokens)
        else:
            # Marks and blanks differ everywhere and say nothing.
            differs = index not in same_words and any(map(str.isalnum, word))
        marked.append(Piece(word, differs, bool(tokens)))
    return [
        Piece("".join(piece.text for piece in group), differs, counts)
        for (differs, counts), group in groupby(
            marked, key=lambda piece: (piece.differs, piece.differs and piece.counts)
        )
    ]
