"""The submission log keeps predictions and outcomes apart, and counts the attempts."""

import json

import pytest
from typer.testing import CliRunner

from preflight.submissions import ATTEMPTS, LogError, Submission, app, read_log, write_log


@pytest.fixture
def run(tmp_path):
    log = tmp_path / "log.jsonl"

    def call(*arguments, code=0):
        result = CliRunner().invoke(app, [*arguments, "--log", str(log)])
        assert result.exit_code == code, result.output
        return result.output

    call.log = log
    return call


def test_prediction_and_outcome_side_by_side(run, tmp_path):
    preflight = tmp_path / "preflight.json"
    preflight.write_text(json.dumps({"passed": True, "model": {"name": "me/book"}, "lines": []}))
    run("add", "--accuracy", "0.41", "--speed", "9000", "--preflight", str(preflight),
        "--settings", "MAX_NUM_SEQS=256", "--revision", "v1")  # fmt: skip
    assert "waiting" in run("list")
    run("result", "1", "--accuracy", "0.38", "--speed", "7400")
    shown = run("list")
    for text in ("me/book@v1", "MAX_NUM_SEQS=256", "passed", "0.410", "0.380", "9,000", "7,400"):
        assert text in shown.replace("\n", "")
    assert "-0.030 on average of 1" in shown
    assert f"{ATTEMPTS - 1} of {ATTEMPTS} attempts left" in shown


def test_a_failure_is_an_outcome(run):
    run("add")
    run("result", "1", "--failed", "no answer in 180 s")
    assert "failed" in run("list")
    assert read_log(run.log)[0].result is None


def test_a_later_result_changes_no_prediction(run):
    run("add", "--accuracy", "0.4")
    run("add", "--accuracy", "0.5")
    run("result", "2", "--accuracy", "0.3")
    log = read_log(run.log)
    assert [item.predicted.accuracy for item in log] == [0.4, 0.5]
    assert [item.number for item in log] == [1, 2]
    assert log[0].result is None
    assert log[1].result.accuracy == 0.3


def test_no_more_than_the_judge_allows(run):
    entries = [Submission(number=n + 1, pushed="", commit="c") for n in range(ATTEMPTS)]
    write_log(run.log, entries)
    assert "all 20 attempts" in run("add", code=2)
    assert len(read_log(run.log)) == ATTEMPTS


def test_wrong_usage_says_what_is_wrong(run):
    assert "no attempt 7" in run("result", "7", "--accuracy", "0.3", code=2)
    run("add")
    assert "give --accuracy" in run("result", "1", code=2)
    assert "expected NAME=VALUE" in run("add", "--settings", "oops", code=2)
    assert "--commit" in run("add", "--commit", "no-such-commit", code=2)


def test_a_broken_line_is_named(tmp_path):
    log = tmp_path / "log.jsonl"
    write_log(log, [Submission(number=1, pushed="", commit="c")])
    log.write_text(log.read_text() + '{"number": "x"}\n')
    with pytest.raises(LogError, match="line 2: number"):
        read_log(log)
