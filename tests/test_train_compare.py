"""check and compare against the real service: what is better wins, what is worse fails."""

import json
import sys
from pathlib import Path

import pytest

pytest.importorskip("torch")
pytest.importorskip("uvicorn")

from answering.manifest import read_manifest  # noqa: E402
from tests.conftest import TINY_PAIRS  # noqa: E402
from train.base import ModelError  # noqa: E402
from train.check import check  # noqa: E402
from train.compare import bootstrap, compare_models  # noqa: E402
from train.served import serve  # noqa: E402

PYTHON = Path(sys.executable)


@pytest.fixture
def on_transformers(monkeypatch):
    """The Transformers engine: it starts in seconds, and what is tested here is not vLLM."""
    monkeypatch.setenv("ENGINE", "transformers")


def test_the_interval_holds_the_mean_and_shrinks_with_more_questions():
    few = bootstrap([0.0, 1.0] * 5)
    many = bootstrap([0.0, 1.0] * 200)
    assert few[0] <= 0.5 <= few[1] and many[0] <= 0.5 <= many[1]
    assert many[1] - many[0] < few[1] - few[0]
    assert bootstrap([0.3] * 9) == pytest.approx((0.3, 0.3))
    assert few == bootstrap([0.0, 1.0] * 5)


def test_missing_python_and_single_models_are_told(tmp_path):
    with pytest.raises(ModelError, match="no such python"), serve(tmp_path, tmp_path / "none"):
        pass
    with pytest.raises(ModelError, match="at least two"):
        compare_models([tmp_path], [], tmp_path, PYTHON)


@pytest.mark.slow
def test_a_model_that_cannot_be_served_shows_the_services_last_words(tmp_path, on_transformers):
    with pytest.raises(ModelError, match="config.json|model"), serve(tmp_path, PYTHON):
        pass


@pytest.mark.slow
def test_tuned_wins_over_untrained(tmp_path, tiny_model, untrained_model, on_transformers):
    path = tmp_path / "tiny.jsonl"
    rows = [{"question": q, "answer": a} for q, a in TINY_PAIRS.items()]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    comparison = compare_models([untrained_model, tiny_model], [path], tmp_path / "out", PYTHON)
    base, tuned = comparison.results
    assert base.score < 0.2 and tuned.score > 0.8 * tuned.ceiling
    assert tuned.wins >= 5 and tuned.losses == 0 and tuned.difference_low > 0
    assert tuned.demo and tuned.speed > 0 and tuned.peak_bytes > 1e7 and tuned.load_seconds > 0
    told = json.loads((tmp_path / "out" / "comparison.json").read_text(encoding="utf-8"))
    assert len(told["questions"]) == len(rows)
    assert next(iter(TINY_PAIRS)) in (tmp_path / "out" / "comparison.html").read_text("utf-8")


@pytest.mark.slow
def test_an_export_that_forgot_fails_the_check(tiny_model, untrained_model, on_transformers):
    rows = list(TINY_PAIRS.items())
    merged, export = check(tiny_model, [untrained_model], rows, PYTHON, 0.05)
    assert merged.passed and merged.drop == 0 and merged.same_answers == 1
    assert not export.passed and export.drop > 0.5 and export.same_answers == 0
    assert read_manifest(tiny_model).scores["dev_judge"] == merged.score
