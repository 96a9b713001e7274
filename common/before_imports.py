"""What is to be set before torch, vLLM or Transformers are imported or used."""

import json
import logging
import os
import re
from pathlib import Path

_ALARM = re.compile(r"tokenizer you are loading from '(.+)' with an incorrect regex pattern")


def before_imports() -> None:
    """Environment that libraries read once, when they load; call it before torch is imported.

    OpenMP threads that spin while they wait stall each other for whole time slices as soon as
    something else runs on their cores (measured with two busy cores: a step of training ten times
    slower).
    """
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")
    silence_false_alarm()


def silence_false_alarm() -> None:
    """Keep Transformers from calling a Qwen tokenizer's regex wrong.

    It says so, and asks for `fix_mistral_regex=True`, of every large vocabulary whose config.json
    has no `transformers_version` (5.x, `_patch_mistral_regex`), since it takes it for Mistral's.
    Qwen's regex is right: on 680 texts, 4.1 million characters, the ids are those of tokenizer.json
    without that flag, and others in 288 texts with it.
    """
    for module in ("tokenization_utils_tokenizers", "tokenization_utils_base"):  # 5.x, 4.57
        logging.getLogger(f"transformers.{module}").addFilter(_is_no_false_alarm)


def _is_no_false_alarm(record: logging.LogRecord) -> bool:
    found = _ALARM.search(record.getMessage())
    if not found:
        return True
    try:
        config = json.loads((Path(found[1]) / "config.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return True
    return not str(config.get("model_type")).startswith("qwen")
