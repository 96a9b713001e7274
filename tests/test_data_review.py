"""The second opinion: what it drops, what it costs, and how its agreement is measured."""

import json

import pytest
from typer.testing import CliRunner

from data.__main__ import app
from data.cache import Cache
from data.fluency import LEAST, FluencyReviewer
from data.records import Pair
from data.review import ASPECTS, Rated, Reviewer, agreement, read_rating, read_verdicts
from data.reviewers import make_reviewer
from data.sources import SourceError
from tests.data_commands import SAMPLE, rows, run
from tests.data_teacher_server import FILTERED, TeacherServer

FINE = {name: 1 for name in ASPECTS}


def rating(**denied: int) -> str:
    return json.dumps({**FINE, **denied, "reason": "因为"}, ensure_ascii=False)


def test_a_build_drops_what_the_reviewer_denies_and_shows_it(tmp_path, monkeypatch):
    monkeypatch.setenv("TEACHER_KEY", "any")

    def script(n, body):
        asked = body["messages"][-1]["content"]
        if "问题：GPU擅长什么" in asked:
            return rating(useful=0)
        return FILTERED if "问题：核函数的返回类型" in asked else "好的：" + rating()

    command = ["build", SAMPLE, "--out", tmp_path / "out", "--cache", tmp_path / "cache"]
    with TeacherServer(script) as server:
        command += ["--review", "teacher", "--base-url", server.url, "--model", "t"]
        command += ["--key-env", "TEACHER_KEY"]
        done = run(*command)
        calls = len(server.requests)
        run(*command)
        assert len(server.requests) == calls + 1, "only the pair without a rating is asked again"
    report = json.loads((tmp_path / "out" / "report.json").read_text(encoding="utf-8"))
    (shown,) = [one for one in report["dropped"] if one["step"] == "review"]
    assert shown["reason"] == "reviewer: not useful" and shown["count"] == 1
    assert shown["examples"][0]["question"] == "GPU擅长什么？"
    steps = {step["name"]: step["count"] for step in report["funnel"]}
    assert steps["after review"] == steps["after cleaning"] - 1 == calls - 1
    asked = {
        row["question"]
        for name in ("train", "dev", "calibration")
        for row in rows(tmp_path / "out", name)
    }
    assert "GPU擅长什么？" not in asked and "核函数的返回类型是什么？" in asked
    assert "1 pairs could not be rated and stay (refused by the endpoint" in " ".join(
        done.stderr.split()
    )


def test_unlikely_answers_are_denied_and_measured_once(tmp_path):
    asked: list[str] = []

    def means(texts):
        asked.extend(texts)
        return [LEAST if "是" in text else LEAST - 0.1 for text in texts]

    reviewer = FluencyReviewer(lambda chats: [], "m", means=means)
    rows = [Rated(Pair("什么是 A？", text), text) for text in ("A 是一种锁。", "A 一种锁。")]
    cache = Cache(tmp_path)
    for _ in range(2):
        assert reviewer.failed(rows, cache) == ["", "fluent"]
    assert asked == ["A 是一种锁。", "A 一种锁。"]


def test_ratings_are_read_strictly():
    assert read_rating("<think>{1}</think>```json\n" + rating(right=0) + "\n```") == {
        **FINE,
        "right": False,
    }
    assert read_rating('{"stands_alone": 1, "answered": 1}') is None
    assert read_rating("都很好") is None and read_rating("") is None
    assert read_rating(json.dumps(dict.fromkeys(ASPECTS, 5))) is None
    for yes, no in ((True, False), ("Yes", "no"), ("是", "否"), ("true", "false"), ("1", "0")):
        said = {**dict.fromkeys(ASPECTS, yes), "useful": no}
        for shape in (said, {"rating": said}, [said]):
            told = read_rating(json.dumps(shape, ensure_ascii=False))
            assert told == {**FINE, "useful": False}


def test_ratings_paid_for_before_the_endpoint_refuses_are_kept(tmp_path, monkeypatch):
    monkeypatch.setenv("TEACHER_KEY", "any")
    pairs = [Rated(Pair(f"问题{n}？", "答案。"), "文") for n in range(6)]
    cache, ticks = Cache(tmp_path), []

    def rate(script) -> list:
        with TeacherServer(script) as server:
            told = {"base_url": server.url, "model": "t", "key_env": "TEACHER_KEY"}
            told |= {"concurrency": 1, "price_in": 1.0}
            reviewer = make_reviewer("teacher", told)
            try:
                failed = reviewer.failed(pairs, cache, lambda: ticks.append(1))
            finally:
                ticks.append(len(server.requests))
            assert " calls, " in reviewer.used()
            return failed

    with pytest.raises(SourceError, match="paid"):
        rate(lambda n, body: rating() if n < 3 else (402, "Insufficient Balance"))
    assert ticks == [1, 1, 1, 1, 4]  # the rows after the refusal are not asked about
    assert rate(lambda n, body: rating(useful=0)) == ["", "", "", "useful", "useful", "useful"]


def test_agree_says_why_nothing_was_rated(tmp_path, monkeypatch):
    monkeypatch.setenv("TEACHER_KEY", "any")
    row = {"question": "问题？", "answer": "答", "chunk": "文", "verdict": "good"}
    (tmp_path / "v.jsonl").write_text(json.dumps(row), encoding="utf-8")
    with TeacherServer(lambda n, body: "很好") as server:
        options = ["--model", "t", "--base-url", server.url, "--key-env", "TEACHER_KEY"]
        done = CliRunner().invoke(app, ["agree", str(tmp_path / "v.jsonl"), *options])
    assert (
        done.exit_code == 1 and "1 pairs not rated (no rating in the reply '很好')" in done.stderr
    )


def test_agreement_counts_right_drops_and_leaves_out_what_was_not_rated():
    found = agreement(["bad", "bad", "good", "usable", "bad"], ["right", "", "", "useful", None])
    assert found["rated"] == 4 and found["dropped"] == 2 and found["right_drops"] == 1
    assert found["kappa"] == 0.0 and found["bad_to_people"] == 2


def test_the_command_reads_a_verdict_file(tmp_path, monkeypatch):
    monkeypatch.setenv("TEACHER_KEY", "any")
    path = tmp_path / "v.jsonl"
    said = ["good", "bad"] * 3
    made = [
        {"question": f"问题{n}？", "answer": "答", "chunk": "文", "verdict": verdict}
        for n, verdict in enumerate(said)
    ]
    path.write_text("\n".join(json.dumps(row) for row in made), encoding="utf-8")

    def script(n, body):
        asked = body["messages"][-1]["content"]
        return rating(answered=0) if any(f"问题{k}？" in asked for k in (1, 3, 5)) else rating()

    with TeacherServer(script) as server:
        options = ["--model", "t", "--base-url", server.url, "--key-env", "TEACHER_KEY"]
        done = CliRunner().invoke(app, ["agree", str(path), *options])
    assert json.loads(done.stdout)["kappa"] == 1.0, done.output
    path.write_text('{"question": "q", "answer": "a", "chunk": "c", "verdict": "fine"}')
    done = CliRunner().invoke(app, ["agree", str(path), *options])
    assert done.exit_code == 1 and "line 1" in done.stderr


def test_separators_within_a_text_end_no_verdict(tmp_path):
    row = {"question": "问题？", "answer": "a\u2028b\x85c", "chunk": "文", "verdict": "good"}
    (tmp_path / "v.jsonl").write_text(json.dumps(row, ensure_ascii=False) + "\n\n", "utf-8")
    (tmp_path / "w.jsonl").write_text('{"question": "问题？", "answer": "答"}\n', "utf-8")
    with pytest.raises(ValueError, match="w.jsonl, line 1: no 'verdict'"):
        read_verdicts(tmp_path / "w.jsonl")
    ((rated, verdict),) = read_verdicts(tmp_path / "v.jsonl")
    assert rated.pair.answer == row["answer"] and verdict == "good"


def test_a_reviewer_asks_for_each_pair_once(tmp_path):
    asked: list[int] = []

    def ask(chats):
        asked.append(len(chats))
        return [rating() for _ in chats]

    reviewer = Reviewer(ask, "m")
    pairs = [Rated(Pair(f"问题{n}？", "答案。"), "文") for n in range(3)]
    cache = Cache(tmp_path)
    assert reviewer.failed(pairs[:2], cache) == ["", ""]
    assert reviewer.failed(pairs, cache) == [""] * 3
    assert asked == [2, 1]
