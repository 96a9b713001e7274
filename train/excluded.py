"""Test questions choose no checkpoint and are not learned: rows that are a test set are refused."""

import re
import unicodedata
from collections.abc import Iterable, Mapping
from pathlib import Path

from common.language import BilingualError
from common.manifest import file_record, read_manifest
from common.pairs import Pair
from common.read_pairs import read_pairs
from common.simplified import simplified
from train.recipe import Recipe

SHORTEST_INSIDE = 8  # characters of a test question that counts inside another question


class ExcludedError(BilingualError, ValueError):
    """Rows that hold test questions; the message names file and question."""


def refuse_excluded_files(recipe: Recipe, files: Iterable[Path]) -> None:
    """Raise ExcludedError for a file that is, byte for byte, a test set which the build of
    dataset_dir has kept out of it."""
    manifest = read_manifest(recipe.dataset_dir)
    kept_out = manifest.settings.get("excluded", {}) if manifest else {}
    for path in files:
        if path.is_file() and (sha := file_record(path).sha256) in kept_out.values():
            name = next(name for name, digest in kept_out.items() if digest == sha)
            raise ExcludedError(
                f"{path} 就是做数据时排除的测试集 {name}：用它挑检查点，测试分数就不可信了",
                f"{path} is the test set {name} that the data was built without: a checkpoint "
                "chosen by it makes the test score worthless",
            )


def refuse_test_questions(recipe: Recipe, rows: Mapping[str, Iterable[Pair]]) -> None:
    """Raise ExcludedError where a row asks a question of the recipe's `exclude`, whatever its
    spaces, punctuation, width of letters and script (Traditional Chinese). rows: by what they are
    for.

    `data check-leak` also finds questions in other words.
    """
    if not recipe.exclude:
        return
    tests = {
        _letters(pair.question): (pair.question, path.name)
        for path in recipe.exclude
        for pair in read_pairs(path).pairs
    }
    long = [letters for letters in tests if len(letters) >= SHORTEST_INSIDE]
    for role, pairs in rows.items():
        found = []
        for pair in pairs:
            for text in (pair.alone.question, *(asked for asked, _ in pair.history)):
                asked = _letters(text)
                hit = asked if asked in tests else next((t for t in long if t in asked), None)
                if hit is not None:
                    found.append(tests[hit])
        if found:
            count, (question, name) = len(found), found[0]
            raise ExcludedError(
                f"{role}：有 {count} 行问的是测试集 {name} 的题，第一道：{question}。"
                "去掉它们（bash run.sh data build … --exclude 测试集，或 data check-leak）",
                f"{role}: {count} rows ask questions of the test set {name}, the first: "
                f"{question}. Take them out (bash run.sh data build … --exclude TESTSET, or "
                "data check-leak)",
            )


def _letters(text: str) -> str:
    return simplified(re.sub(r"[\W_]+", "", unicodedata.normalize("NFKC", text)).casefold())
