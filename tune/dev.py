"""The questions that settings are chosen by: a dev split, never a test set."""

import json
from collections.abc import Sequence
from pathlib import Path

from common.pairs import PairFile, PairsError
from judging.dev_split import SAMPLE, known_testset
from judging.testset import read_testset


class DevError(ValueError):
    """A file that settings must not be chosen by; the message says why and what to do."""


def default_dev(model: Path) -> Path:
    """The sample's rows that are no test question, for the demo model. Raises DevError for others:
    only their owner knows their dev split."""
    if is_demo(model):
        return SAMPLE / "pairs.jsonl"
    raise DevError(
        "--dev is missing: give the dev split of your data, such as out/book/dev.jsonl (what "
        "`bash run.sh data build` wrote beside train.jsonl)"
    )


def is_demo(model: Path) -> bool:
    """Whether the model's manifest says that it is a demo of the flow."""
    try:
        manifest = json.loads((model / "manifest.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    return isinstance(manifest, dict) and bool(manifest.get("demo"))


def read_dev(path: Path, testsets: Sequence[Path] = ()) -> PairFile:
    """The questions of a dev split. `testsets`: the person's own test sets, beside the sample's.

    Raises DevError when a question is one of a test set that is known here, PairsError when a
    file cannot be read. A test set that is not known here cannot be told from a dev split.
    """
    dev = read_testset(path)
    found = known_testset((question.question for question in dev.pairs), testsets)
    if found:
        known, shared = found
        raise DevError(
            f"{path}: {shared} of its {len(dev.pairs)} questions stand in the test set "
            f"{known.name}. Settings chosen by a test set tell nothing of the next one: give "
            "a dev split (--dev out/book/dev.jsonl)"
        )
    return dev


def token_counts(dev: PairFile, model: Path) -> list[int]:
    """Tokens of each reference by the model's tokenizer.json; none when there is no such file."""
    from tokenizers import Tokenizer

    file = model / "tokenizer.json"
    if not file.is_file():
        return []
    encoded = Tokenizer.from_file(str(file)).encode_batch(
        [question.answer for question in dev.pairs], add_special_tokens=False
    )
    return [len(each.ids) for each in encoded]


__all__ = ["DevError", "PairsError", "default_dev", "is_demo", "read_dev", "token_counts"]
