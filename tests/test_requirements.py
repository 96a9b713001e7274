"""A package that several requirements files pin has one version, or a reason for two."""

import re
from collections import defaultdict
from pathlib import Path

ROOT = Path(__file__).parents[1]
# Locks of whole environments: what vLLM (cpu.txt) and llm-compressor (train.txt) each pin. They
# never meet, and what both name by way of others may differ.
LOCKS = ("cpu.txt", "train.txt")
FROM_LOCKS = {
    *("compressed-tensors", "fsspec", "huggingface-hub", "numpy", "pillow"),
    *("tokenizers", "tqdm", "transformers"),
}
# (file, package): the page's own environment; the judge's image, with vLLM 0.10.0 on Python 3.10.
OF_THEIR_OWN = {("chat.txt", "openai"), ("requirements.txt", "pydantic-settings")}


def pins() -> dict[str, dict[str, str]]:
    """Version by file by package."""
    found: dict[str, dict[str, str]] = defaultdict(dict)
    for file in [ROOT / "requirements.txt", *sorted((ROOT / "requirements").glob("*.txt"))]:
        for line in file.read_text(encoding="utf-8").splitlines():
            if pin := re.match(r"([\w.-]+)(?:\[[\w,-]+\])?==([^\s;#]+)", line):
                found[re.sub(r"[-_.]+", "-", pin[1]).lower()][file.name] = pin[2]
    return found


def test_pins_that_occur_twice_are_equal():
    several = {name: at for name, at in pins().items() if len(at) > 1}
    assert {"sacrebleu", "scipy", "pydantic"} <= several.keys()
    for name, at in several.items():
        held = {file: v for file, v in at.items() if (file, name) not in OF_THEIR_OWN}
        if name in FROM_LOCKS:
            held.pop("train.txt", None)
        assert len(set(held.values())) == 1, (name, held)


def test_the_exceptions_are_still_needed():
    for name in FROM_LOCKS:
        versions = pins()[name]
        assert versions[LOCKS[0]] != versions[LOCKS[1]], name
    for file, name in OF_THEIR_OWN:
        assert len(set(pins()[name].values())) > 1, (file, name)
