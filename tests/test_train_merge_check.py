"""The check after a merge: its logits against base and adapter, in both environments."""

import json
import os
import sys
from pathlib import Path

import pytest

pytest.importorskip("trl")
pytest.importorskip("peft")


from common.manifest import read_manifest  # noqa: E402
from tests.adapters import copied  # noqa: E402
from tests.finetuning import FACTS  # noqa: E402
from train.base import ModelError  # noqa: E402
from train.check import check_logits  # noqa: E402
from train.merge import merge  # noqa: E402

QUESTIONS = [question for question, _ in FACTS[:3]]
OTHER_PYTHON = Path(os.environ.get("OLD_VLLM_PYTHON") or sys.executable)


@pytest.fixture
def merged(base, plain, tmp_path) -> Path:
    return merge(base, [plain], tmp_path / "merged")


def test_the_check_compares_logits_with_base_and_adapter_in_both_environments(merged, capsys):
    """OLD_VLLM_PYTHON names an environment with Transformers 4.55; else this one plays both."""
    told = check_logits(merged, QUESTIONS, OTHER_PYTHON)
    assert told["effect"] > 0.1 and told["here"] < 1e-4 and told["there"] < 1e-4
    assert read_manifest(merged).settings["logits"]["effect"] == told["effect"]
    assert "logits of 3 questions: adapters change them by" in capsys.readouterr().out


def test_the_check_finds_weights_that_are_not_base_and_adapter(base, merged):
    (merged / "model.safetensors").write_bytes((base / "model.safetensors").read_bytes())
    with pytest.raises(ModelError, match="logits differ by .*merge again"):
        check_logits(merged, QUESTIONS, OTHER_PYTHON)


def test_the_check_finds_a_transformers_that_reads_the_model_differently(merged, tmp_path):
    """Here by a rope_theta that the other one does not see."""
    other = copied(merged, tmp_path / "other")
    config = json.loads((merged / "config.json").read_text())
    (other / "config.json").write_text(json.dumps({**config, "rope_theta": 20.0}))
    python = tmp_path / "python"
    python.write_text(f'#!/bin/sh\nexec {sys.executable} -m train.logits {other} "$4" "$5"\n')
    python.chmod(0o755)
    with pytest.raises(ModelError, match="reads it differently: logits differ by"):
        check_logits(merged, QUESTIONS, python)


def test_the_check_finds_a_tokenizer_that_is_read_differently(merged, tmp_path):
    other = copied(merged, tmp_path / "other")
    (other / "system_prompt.txt").write_text("别的提示。")  # stands for any other text or tokens
    python = tmp_path / "python"
    python.write_text(f'#!/bin/sh\nexec {sys.executable} -m train.logits {other} "$4" "$5"\n')
    python.chmod(0o755)
    with pytest.raises(ModelError, match="makes other tokens of the prompts"):
        check_logits(merged, QUESTIONS, python)


def test_the_check_needs_a_python_that_can_read_the_model(merged, tmp_path):
    with pytest.raises(ModelError, match="serve_python=.*No such file"):
        check_logits(merged, QUESTIONS, tmp_path / "none")
    with pytest.raises(ModelError, match="cannot read it"):
        check_logits(merged, QUESTIONS, Path("/bin/false"))
