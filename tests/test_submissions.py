"""The submission log keeps predictions and outcomes apart, and counts the attempts."""

import json
import subprocess

import pytest
from typer.testing import CliRunner

from common.submission_log import ATTEMPTS, LogError, Submission, read_log, write_log
from preflight.submission_evidence import LAST
from preflight.submissions import app


def git(*words):
    names = ["-c", "user.name=t", "-c", "user.email=t@localhost", "-c", "init.defaultBranch=main"]
    done = subprocess.run(["git", *names, *words], check=True, capture_output=True, text=True)
    return done.stdout.strip()


def commit(dockerfile):
    """A commit with this Dockerfile; its full name."""
    with open("Dockerfile", "w") as file:  # noqa: PTH123
        file.write(dockerfile)
    git("add", "Dockerfile")
    git("commit", "-q", "-m", "x")
    return git("rev-parse", "HEAD")


def write_preflight(path, commit, **told):
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps({"passed": True, "warnings": 0, "commit": commit, **told}))
    return path


@pytest.fixture
def run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    git("init", "-q")
    commit("ARG MODEL_ID=me/book\nARG MODEL_REVISION=v1\nFROM x\n")
    log = tmp_path / "log.jsonl"

    def call(*arguments, code=0):
        result = CliRunner().invoke(app, [*arguments, "--log", str(log)])
        assert result.exit_code == code, result.output
        return result.output

    call.log = log
    return call


def test_prediction_and_outcome_side_by_side(run, tmp_path):
    preflight = write_preflight(tmp_path / "other.json", git("rev-parse", "HEAD"))
    run("add", "--accuracy", "0.41", "--speed", "9000", "--preflight", str(preflight),
        "--settings", "MAX_NUM_SEQS=256")  # fmt: skip
    assert "waiting" in run("list")
    assert "attempt 1 is of this commit, too" in run("add")
    run("undo")
    run("result", "1", "--accuracy", "0.38", "--speed", "7400")
    shown = run("list")
    for text in ("me/book@v1", "MAX_NUM_SEQS=256", "passed", "0.410", "0.380", "9,000", "7,400"):
        assert text in shown.replace("\n", "")
    assert "-0.030 on average of 1" in shown
    assert f"{ATTEMPTS - 1} of {ATTEMPTS} attempts left" in shown


def test_model_and_verdict_come_from_what_is_there(run, tmp_path):
    name = git("rev-parse", "HEAD")
    write_preflight(tmp_path / LAST, name, passed=False, warnings=2)
    told = run("add")
    for text in (name[:12], "me/book@v1", "had failures, 2 warnings", "submissions undo"):
        assert text in told
    (entry,) = read_log(run.log)
    assert (entry.model, entry.revision, entry.preflight_passed) == ("me/book", "v1", False)
    run("add", "--model", "me/other", "--revision", "v2")  # what is said wins
    assert read_log(run.log)[1].model == "me/other"
    # A later commit names another model, and the last preflight did not look at it.
    later = commit("FROM x\nARG MODEL_ID=me/later\n")
    told = run("add")
    assert "not taken" in told and "preflight not run" in told and "me/later," in told
    given = str(tmp_path / LAST)
    assert f"not at {later[:12]}" in run("add", "--preflight", given, code=2)
    run("add", "--commit", name, "--preflight", given)
    entries = read_log(run.log)
    assert entries[2].preflight_passed is None
    assert entries[3].model == "me/book"


def test_no_dockerfile_and_a_broken_preflight_are_told(run, tmp_path):
    git("rm", "-q", "Dockerfile")
    git("commit", "-q", "-m", "x")
    assert "no model recorded" in run("add")
    write_preflight(tmp_path / LAST, "").write_text("[]")
    assert "not a preflight's JSON" in run("add", code=2)
    assert len(read_log(run.log)) == 1


def test_a_log_in_another_encoding_and_a_note_with_any_line_break(run, tmp_path):
    run("add", "--note", "一\u2028二")
    assert [item.note for item in read_log(run.log)] == ["一\u2028二"]
    run.log.write_bytes("提交".encode("gbk"))
    assert f"{run.log}: " in run("list", code=2)


def test_the_last_step_can_be_taken_back(run):
    assert "no attempt" in run("undo", code=2)
    run("add", "--accuracy", "0.4")
    run("add", "--accuracy", "0.5")
    run("result", "1", "--accuracy", "0.3")
    run("result", "2", "--failed", "late")
    before = read_log(run.log)
    assert "attempt 2: its result is taken back" in run("undo")
    after = read_log(run.log)
    assert after[1].failed is None and after[0] == before[0]
    assert after[1].predicted == before[1].predicted
    assert "attempt 2 is taken back" in run("undo")
    assert [item.number for item in read_log(run.log)] == [1]
    run("add")
    run("undo", "1")  # a result of an earlier attempt
    assert "only the last" in run("undo", "1", code=2)
    assert "no attempt 7" in run("undo", "7", code=2)
    assert [item.result for item in read_log(run.log)] == [None, None]


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
