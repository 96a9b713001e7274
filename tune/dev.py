"""The dev split that settings are selected on; one that contains test questions is refused."""

import json
from collections.abc import Sequence
from pathlib import Path
from statistics import fmean

from common.language import BilingualError, either
from common.manifest import read_manifest
from common.pairs import Pair, PairFile
from common.read_pairs import read_pairs
from common.tokenizer_file import load_tokenizer
from judging.known_testsets import SAMPLE, known_testset
from judging.testset import read_testset

# Measured: by dev answers of 80 characters on average a cap of 32 tokens was chosen, and a test set
# with answers of 235 fell from 0.55 to 0.33 (bench/LOG.md, entry 14).
ALIKE = 0.7


class DevError(BilingualError, ValueError):
    """A file that settings must not be selected on; the message says why and what to do."""


def default_dev(model: Path) -> Path:
    """For the demo model the sample's pairs, none of which is a test question. Raises DevError for
    any other model, whose dev split must be given."""
    if is_demo(model):
        return SAMPLE / "pairs.jsonl"
    raise DevError(
        "缺少 --dev：请给数据的验证集，如 out/book/dev.jsonl"
        "（`bash run.sh data build` 写在 train.jsonl 旁边）",
        "--dev is missing: give the dev split of your data, such as out/book/dev.jsonl (what "
        "`bash run.sh data build` wrote beside train.jsonl)",
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
            f"{path}：它的 {len(dev.pairs)} 题里有 {shared} 题在测试集 {known.name} 里。"
            "在测试集上选出的设置只适合那份测试集：请给验证集（--dev out/book/dev.jsonl）",
            f"{path}: {shared} of its {len(dev.pairs)} questions stand in the test set "
            f"{known.name}. Settings selected on a test set overfit it: give "
            "a dev split (--dev out/book/dev.jsonl)",
        )
    return dev


def too_short(dev: PairFile, testsets: Sequence[Path] = ()) -> str:
    """Why this dev split cannot say how long answers should be: its own are on average much shorter
    than a test set's, or than the train answers beside it. Empty: it can.

    Of a test set only this mean is used. Raises PairsError for a file that cannot be read.
    """
    others = [(path.name, read_testset(path).pairs) for path in testsets]
    train = dev.path.parent / "train.jsonl"
    if train.is_file() and train != dev.path and read_manifest(train.parent) is not None:
        others.append((train.name, read_pairs(train).pairs))
    mine = _characters(dev.pairs)
    longer = [(_characters(pairs), name) for name, pairs in others if pairs]
    size, name = max(longer, default=(0.0, ""))
    if mine >= ALIKE * size:
        return ""
    return either(
        f"{dev.path.name} 的答案平均 {mine:.0f} 字符，{name} 的 {size:.0f}：按它会截得太短",
        f"the answers of {dev.path.name} have {mine:.0f} characters on average, those of {name} "
        f"{size:.0f}: by it answers would be cut too short",
    )


def _characters(pairs: Sequence[Pair]) -> float:
    return fmean(len(pair.answer) for pair in pairs)


def token_counts(dev: PairFile, model: Path) -> list[int]:
    """Token count of each reference by the model's tokenizer.json; empty when there is no such
    file. Raises TokenizerError when it is broken."""
    if not (model / "tokenizer.json").is_file():
        return []
    encoded = load_tokenizer(model).encode_batch(
        [question.answer for question in dev.pairs], add_special_tokens=False
    )
    return [len(each.ids) for each in encoded]
