"""The dev split that settings are selected on; one that contains test questions is refused."""

import json
from collections.abc import Sequence
from pathlib import Path

from common.language import either
from common.pairs import PairFile, PairsError
from common.tokenizer_file import load_tokenizer
from judging.known_testsets import SAMPLE, known_testset
from judging.testset import read_testset


class DevError(ValueError):
    """A file that settings must not be selected on; the message says why and what to do."""


def default_dev(model: Path) -> Path:
    """For the demo model the sample's pairs, none of which is a test question. Raises DevError for
    any other model, whose dev split must be given."""
    if is_demo(model):
        return SAMPLE / "pairs.jsonl"
    raise DevError(
        either(
            "缺少 --dev：请给数据的验证集，如 out/book/dev.jsonl"
            "（`bash run.sh data build` 写在 train.jsonl 旁边）",
            "--dev is missing: give the dev split of your data, such as out/book/dev.jsonl (what "
            "`bash run.sh data build` wrote beside train.jsonl)",
        )
    )


def is_demo(model: Path) -> bool:
    """Whether the model's manifest marks it as the demo model."""
    try:
        manifest = json.loads((model / "manifest.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    return isinstance(manifest, dict) and bool(manifest.get("demo"))


def read_dev(path: Path, testsets: Sequence[Path] = ()) -> PairFile:
    """The questions of a dev split. testsets: the user's own test sets, beside the sample's.

    Raises DevError when a question is in one of these test sets, PairsError when a file cannot be
    read. Test sets that are not named cannot be recognised.
    """
    dev = read_testset(path)
    found = known_testset((question.question for question in dev.pairs), testsets)
    if found:
        known, shared = found
        raise DevError(
            either(
                f"{path}：它的 {len(dev.pairs)} 题里有 {shared} 题在测试集 {known.name} 里。"
                "在测试集上选出的设置只适合那份测试集：请给验证集（--dev out/book/dev.jsonl）",
                f"{path}: {shared} of its {len(dev.pairs)} questions stand in the test set "
                f"{known.name}. Settings selected on a test set overfit it: give "
                "a dev split (--dev out/book/dev.jsonl)",
            )
        )
    return dev


def token_counts(dev: PairFile, model: Path) -> list[int]:
    """Token count of each reference by the model's tokenizer.json; empty when there is no such
    file. Raises TokenizerError when it is broken."""
    if not (model / "tokenizer.json").is_file():
        return []
    encoded = load_tokenizer(model).encode_batch(
        [question.answer for question in dev.pairs], add_special_tokens=False
    )
    return [len(each.ids) for each in encoded]


__all__ = ["DevError", "PairsError", "default_dev", "is_demo", "read_dev", "token_counts"]
