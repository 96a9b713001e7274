"""Transformers' alarm over the regex of a Qwen tokenizer: kept back, and false."""

import json
import logging
import shutil
from pathlib import Path

import pytest

from common.before_imports import silence_false_alarm

MESSAGE = (
    "The tokenizer you are loading from '{}' with an incorrect regex pattern: https://x. This will "
    "lead to incorrect tokenization. You should set the `fix_mistral_regex=True` flag"
)
QWEN = Path(__file__).parents[2] / "shared" / "qwen3-4b"


@pytest.mark.parametrize(
    ("model_type", "message", "told"),
    [
        ("qwen2", MESSAGE, False),
        ("qwen3", MESSAGE, False),
        ("mistral", MESSAGE, True),
        (None, MESSAGE, True),
        ("qwen3", "Another warning about '{}'", True),
    ],
)
def test_only_the_alarm_over_a_qwen_tokenizer_is_kept_back(
    model_type: str | None, message: str, told: bool, tmp_path: Path
) -> None:
    (tmp_path / "config.json").write_text(json.dumps({"model_type": model_type}), "utf-8")
    silence_false_alarm()
    logger = logging.getLogger("transformers.tokenization_utils_tokenizers")
    record = logger.makeRecord("", logging.WARNING, "", 1, message.format(tmp_path), (), None)
    assert bool(logger.filter(record)) is told


def test_a_qwen_tokenizer_has_the_ids_of_its_file_and_no_alarm(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """As a directory whose config.json does not say which Transformers wrote it."""
    if not (QWEN / "tokenizer.json").is_file():
        pytest.skip("no tokenizer of Qwen here")
    transformers = pytest.importorskip("transformers")
    from tokenizers import Tokenizer

    for name in ("tokenizer.json", "tokenizer_config.json"):
        shutil.copy(QWEN / name, tmp_path)
    (tmp_path / "config.json").write_text('{"model_type": "qwen3"}')
    silence_false_alarm()
    loaded = transformers.AutoTokenizer.from_pretrained(tmp_path)
    assert "incorrect regex" not in capfd.readouterr().err
    own = Tokenizer.from_file(str(tmp_path / "tokenizer.json"))
    text = "getElementById 与 CamelCase，x86_64 的 path/to\n/x，I'm 100%：线程束 warp"
    assert loaded(text, add_special_tokens=False).input_ids == own.encode(text).ids
    fixed = transformers.AutoTokenizer.from_pretrained(tmp_path, fix_mistral_regex=True)
    assert fixed(text, add_special_tokens=False).input_ids != own.encode(text).ids
