"""Cost against the number of questions, and n-gram drafts: on the real service, a few questions."""

import json
import statistics
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import ROOT, TINY_PAIRS

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


def test_drafts_change_no_answer(tiny_model: Path, tmp_path: Path) -> None:
    out, test_set = tmp_path / "speculative.json", tmp_path / "set.jsonl"
    rows = [{"question": q, "answer": a} for q, a in TINY_PAIRS.items()]
    test_set.write_text("".join(json.dumps(r, ensure_ascii=False) + "\n" for r in rows), "utf-8")
    options = ["--tokens", "3", "--runs", "1", "--alone", "2", "--out", str(out)]
    done = run("bench.speculative", str(tiny_model), str(test_set), *options)
    assert done.returncode == 0, done.stdout + done.stderr
    told = json.loads(out.read_text("utf-8"))["rows"]
    assert {name: row.get("same_answers") for name, row in told.items()} == {
        "without": len(TINY_PAIRS),
        "ngram, 3 tokens": len(TINY_PAIRS),
    }
    assert "speculative_config" in told["ngram, 3 tokens"]["arguments"]
