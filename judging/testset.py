"""Test sets: files of question-answer pairs that the judge can ask, one text a question."""

from dataclasses import replace
from pathlib import Path

from common.pairs import PairFile, refused, spots
from common.read_pairs import read_pairs


def read_testset(path: str | Path) -> PairFile:
    """The questions of a test set, in file order, and the warnings about it.

    The judge sends one string a question. A turn with a talk before it is refused by its place; a
    system message is not asked, which is warned of, and so is an answer of weight 0, left out.
    Raises PairsError for these turns, and for a file that cannot be read.
    """
    found = read_pairs(path)
    talks = [pair.where for pair in found.pairs if pair.history]
    if talks:
        reason = (
            "a question with a talk before it cannot be asked, since the judge sends one text a "
            "question; write the question so that it stands alone, or take the row out"
        )
        raise refused(found.path, ((place, reason) for place in talks))
    warnings = list(found.warnings)
    if unwanted := [pair.where for pair in found.pairs if not pair.learn]:
        warnings.append(f"{spots(unwanted)}: its answer has weight 0, so it is no reference")
    # A service with the book at hand puts passages before the question by itself.
    asked = [pair.alone for pair in found.pairs if pair.learn]
    if systems := [pair.where for pair in asked if pair.system]:
        warnings.append(
            f"{spots(systems)}: its system message is not asked; the service has its own"
        )
    return replace(found, pairs=asked, warnings=warnings)
