"""Test sets: files of question-answer pairs that the judge can ask, one text a question."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from common.language import either
from common.pairs import PairFile, PairsError, refused, spots
from common.read_pairs import read_pairs


def read_testsets(paths: Sequence[str | Path]) -> list[PairFile]:
    """Several test sets. Raises PairsError as `read_testset` does, and for one that is given twice,
    whose questions would count twice."""
    real = [Path(path).resolve() for path in paths]
    if twice := [path for n, path in enumerate(real) if path in real[:n]]:
        raise PairsError(
            f"{twice[0]} 给了两次：它的题会算两遍",
            f"{twice[0]} is given twice: its questions would count twice",
        )
    return [read_testset(path) for path in paths]


def read_testset(path: str | Path) -> PairFile:
    """The questions of a test set, in file order, and the warnings about it.

    The judge sends one string a question. A turn with a talk before it is refused by its place; a
    system message is not asked, which is warned of, and so is an answer of weight 0, left out.
    Raises PairsError for these turns, and for a file that cannot be read.
    """
    found = read_pairs(path)
    talks = [pair.where for pair in found.pairs if pair.history]
    if talks:
        reason = either(
            "带前文对话的问题没法问：评测机每题只发一段文字；把问题写完整，或去掉这一行",
            "a question with a talk before it cannot be asked, since the judge sends one text a "
            "question; write the question so that it stands alone, or take the row out",
        )
        raise refused(found.path, ((place, reason) for place in talks))
    warnings = list(found.warnings)
    if unwanted := [pair.where for pair in found.pairs if not pair.learn]:
        where = spots(unwanted)
        warnings.append(
            either(
                f"{where}：回答的权重是 0，不能当参考答案",
                f"{where}: its answer has weight 0, so it is no reference",
            )
        )
    # A service with the book at hand puts passages before the question by itself.
    asked = [pair.alone for pair in found.pairs if pair.learn]
    if systems := [pair.where for pair in asked if pair.system]:
        where = spots(systems)
        warnings.append(
            either(
                f"{where}：它的系统提示不会发送；服务用自己的",
                f"{where}: its system message is not asked; the service has its own",
            )
        )
    return replace(found, pairs=asked, warnings=warnings)
