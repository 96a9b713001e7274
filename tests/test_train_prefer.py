"""Preferences: the judge's score ranks a model's own answers, and DPO follows it."""

import json
import os
from pathlib import Path

import pytest

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # a busy machine's threads must not spin
pytest.importorskip("trl")
pytest.importorskip("peft")

from common.manifest import read_manifest  # noqa: E402
from common.pairs import Pair  # noqa: E402
from tests.finetuning import make_base, make_data, recipe  # noqa: E402
from train import prefer as module  # noqa: E402
from train.dataset import DataError  # noqa: E402
from train.merge import merge  # noqa: E402
from train.prefer import PreferenceSettings, prefer, ranked  # noqa: E402


def test_best_and_worst_are_by_the_judges_score_and_near_ones_are_left_out():
    row = Pair("q", "warp has 32 threads")
    draws = [("warp has 64 lanes", "warp has 32 threads", "no idea", "")]
    (found,) = ranked([row], draws, 0.1)
    assert (found.chosen, found.rejected) == ("warp has 32 threads", "no idea")
    assert (found.best, found.worst) == (1.0, 0.0)
    assert ranked([row], [("a warp", "the warp")], 0.1) == []


def test_two_adapters_come_out_that_merge(tmp_path: Path, monkeypatch):
    base, data = make_base(tmp_path / "base"), make_data(tmp_path)
    given = recipe(base, data, tmp_path / "out", learning_rate=1e-3)
    numbers = iter(range(1, 10_000))

    def drawn(model, tokenizer, questions, *rest):
        """One good and one bad answer a question: an untrained model says nothing worth ranking."""
        good = next(numbers) % 2
        return [each.answer if good else "XX0" for each in questions]

    monkeypatch.setattr(module, "sampled_answers", drawn)
    settings = PreferenceSettings(questions=6, draws=2, learning_rate=1e-3, epochs=2)
    adapter, verdict = prefer(given, settings)
    assert verdict.questions == 2 and verdict.verdict == "same"
    lines = (adapter.parent / "preferences.jsonl").read_text("utf-8").splitlines()
    assert len(lines) == 6 and json.loads(lines[0])["rejected"] == "XX0"
    assert read_manifest(adapter).counts["preferences"] == 6
    merged = merge(base, [adapter], tmp_path / "merged")
    assert read_manifest(merged).settings["proof"]["effect"] > 0, "DPO changed nothing"
    monkeypatch.setattr(module, "sampled_answers", lambda m, t, q, *rest: ["XX0"] * len(q))
    with pytest.raises(DataError, match="--draws"):
        prefer(given, settings)
