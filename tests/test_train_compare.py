"""check and compare against the real service: what is better wins, what is worse fails."""

import json
import sys
from pathlib import Path

import pytest

pytest.importorskip("torch")
pytest.importorskip("uvicorn")

from common.manifest import read_manifest  # noqa: E402
from common.pairs import Pair  # noqa: E402
from tests.conftest import TINY_PAIRS  # noqa: E402
from train.base import ModelError  # noqa: E402
from train.check import check  # noqa: E402
from train.compare import compare_models  # noqa: E402
from train.compare_report import write_comparison  # noqa: E402
from train.served import serve  # noqa: E402

PYTHON = Path(sys.executable)


@pytest.fixture
def on_transformers(monkeypatch):
    """The Transformers engine: it starts in seconds, and what is tested here is not vLLM."""
    monkeypatch.setenv("ENGINE", "transformers")


def test_missing_python_and_single_models_are_told(tmp_path):
    with pytest.raises(ModelError, match="no such python"), serve(tmp_path, tmp_path / "none"):
        pass
    with pytest.raises(ModelError, match="at least two"):
        compare_models([tmp_path], [], PYTHON)


@pytest.mark.slow
def test_a_model_that_cannot_be_served_shows_the_services_last_words(tmp_path, on_transformers):
    with pytest.raises(ModelError, match="config.json|model"), serve(tmp_path, PYTHON):
        pass


def report_of(folder: Path, model: Path, answers: dict[str, str], failures=()) -> Path:
    """What eval_local.py leaves, as far as compare reads it."""
    folder.mkdir()
    rows = [
        {"testset": "tiny", "question": q, "reference": TINY_PAIRS[q], "answer": a}
        for q, a in answers.items()
    ]
    (folder / "answers.jsonl").write_text("".join(json.dumps(r) + "\n" for r in rows), "utf-8")
    info = {
        "settings": {"model_dir": str(model), "max_tokens": 640},
        "startup": {"ready_seconds": 7.5},
        "memory": {"host_peak_bytes": 2_000_000, "device_used_bytes": None},
    }
    told = {
        "failures": list(failures),
        "info": info,
        "testsets": [{"name": "tiny", "seconds": 2.0}],
    }
    (folder / "summary.json").write_text(json.dumps(told), encoding="utf-8")
    return folder


@pytest.fixture
def testset(tmp_path) -> Path:
    path = tmp_path / "tiny.jsonl"
    rows = [{"question": q, "answer": a} for q, a in TINY_PAIRS.items()]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


@pytest.fixture
def two_models(tmp_path) -> list[Path]:
    folders = [tmp_path / "base", tmp_path / "tuned"]
    for folder in folders:
        folder.mkdir()
        (folder / "model.safetensors").write_bytes(b"x" * 1000)
    return folders


def test_reports_are_compared_without_serving(tmp_path, testset, two_models):
    base, tuned = two_models
    right = dict(TINY_PAIRS)
    mixed = {q: a if i else "不知道。" for i, (q, a) in enumerate(TINY_PAIRS.items())}
    reports = [report_of(tmp_path / "r1", base, mixed), report_of(tmp_path / "r2", tuned, right)]
    compared = compare_models(two_models, [testset], Path("no/python"), judged=reports)
    first, last = compared.results
    assert (last.wins, last.losses) == (1, 0) and last.difference == pytest.approx(1 / 6)
    assert last.difference_low == 0  # one question of six may be chance
    assert last.speed == sum(map(len, right.values())) / 2.0
    assert (last.load_seconds, last.peak_bytes, last.max_tokens) == (7.5, 2_000_000, 640)
    assert first.weight_bytes == 1000 and last.score == last.ceiling
    out = tmp_path / "out"
    write_comparison(compared, out)
    page = (out / "comparison.html").read_text("utf-8")
    assert "不知道。" in page and "Won: 1" in page and "Lost" not in page
    text = (out / "comparison.txt").read_text("utf-8")
    assert "no difference shown" in text and "1 / 0" in text and "GPU" not in text
    told = json.loads((out / "comparison.json").read_text("utf-8"))
    assert len(told["questions"]) == len(TINY_PAIRS)


def test_a_model_that_is_not_there_is_named(tmp_path, testset):
    with pytest.raises(ModelError, match="none: no such folder"):
        compare_models([tmp_path / "none", tmp_path], [testset], Path("no/python"))


def test_reports_that_do_not_fit_are_refused(tmp_path, testset, two_models):
    base, tuned = two_models

    def refused(report: Path, message: str) -> None:
        with pytest.raises(ModelError, match=message):
            compare_models(two_models, [testset], Path("no/python"), judged=[report])

    refused(tmp_path / "none", "no report of the local judge")
    refused(report_of(tmp_path / "a", tmp_path / "other", TINY_PAIRS), "which is not compared")
    refused(report_of(tmp_path / "b", base, TINY_PAIRS, ["late"]), "judgement failed: late")
    few = dict(list(TINY_PAIRS.items())[:3])
    refused(report_of(tmp_path / "c", base, few), "tiny was not judged there")


@pytest.mark.slow
def test_tuned_wins_over_untrained(tmp_path, testset, tiny_model, untrained_model, on_transformers):
    models = [untrained_model, tiny_model]
    base, tuned = compare_models(models, [testset], PYTHON, max_tokens=40).results
    assert base.score < 0.2 and tuned.score > 0.8 * tuned.ceiling
    assert tuned.wins >= 5 and tuned.losses == 0 and tuned.difference_low > 0
    assert tuned.demo and tuned.speed > 0 and tuned.peak_bytes > 1e8 and tuned.load_seconds > 0
    assert base.max_tokens == tuned.max_tokens == 40


@pytest.mark.slow
def test_an_export_that_forgot_fails_the_check(tiny_model, untrained_model, on_transformers):
    rows = [Pair(question, answer) for question, answer in TINY_PAIRS.items()]
    merged, export = check(tiny_model, [untrained_model], rows, PYTHON, 0.05)
    assert merged.passed and merged.drop == 0 and merged.same_answers == 1
    assert not export.passed and export.drop > 0.5 and export.same_answers == 0
    assert read_manifest(tiny_model).scores["dev_judge"] == merged.score
