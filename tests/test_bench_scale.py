"""Cost against the number of questions, on the real service."""

import json
import statistics
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import ROOT

pytestmark = [pytest.mark.slow, pytest.mark.vllm, pytest.mark.timeout(400)]


def run(module: str, *options: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", module, *options]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True)


def test_every_size_has_its_row_and_memory_only_rises(tiny_model: Path, tmp_path: Path) -> None:
    out = tmp_path / "scale.json"
    done = run("bench.scale", str(tiny_model), "--sizes", "2,300", "--out", str(out))
    assert done.returncode == 0, done.stdout + done.stderr
    rows = json.loads(out.read_text("utf-8"))["rows"]
    assert [row["questions"] for row in rows] == [2, 300]
    for row in rows:
        each = statistics.median(row["seconds"]) / row["questions"]
        assert row["seconds_a_question"] == pytest.approx(each)
    assert 0 < rows[0]["peak_bytes"] <= rows[1]["peak_bytes"]
    assert run("bench.scale", str(tiny_model), "--sizes", "9,2").returncode == 2
