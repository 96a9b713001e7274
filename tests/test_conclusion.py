"""The sentence over a score: which marks it beats, how sure that is, and what is next."""

import json

import pytest

from common.facts import WANTED_ACCURACY
from judging.conclusion import REAL, conclude, standing, standing_of
from judging.html_report import render
from judging.report import write_report
from judging.scoring import combine, score_answers, score_item
from tests.test_report import Page, judgement_of, printed, result_of, told


def scores_of(*triples):
    """Scores of (reference, answer, question) triples."""
    return combine([score_item(*triple) for triple in triples])


GOOD, BAD = ("CUDA warp", "CUDA warp", "什么？"), ("CUDA warp", "", "什么？")
ECHO_WINS = ("CUDA warp", "CUDA", "CUDA warp？")  # 2/3, where the echo has 1


def test_above_below_and_not_told_apart():
    clear = standing(scores_of(*[GOOD] * 20, BAD))
    assert (clear.over_echo, clear.over_wanted) == (1, 1)
    assert "高于复述问题（0.000），高于比赛要求的 0.35" in clear.chinese
    poor = standing(scores_of(*[BAD] * 30, GOOD))
    assert (poor.over_echo, poor.over_wanted) == (0, -1)  # 1 of 31: one lucky answer
    assert "not told apart from the echo of the question (0.000)" in poor.english
    assert "below the contest's 0.35" in poor.english
    mixed = standing(scores_of(GOOD, BAD, BAD))
    assert (mixed.over_echo, mixed.over_wanted) == (0, 0)


def test_the_echo_is_compared_question_by_question():
    # Scores and echoes vary far more than their differences: only the pairs can tell.
    pairs = [("a b c d", "a b c d", "a b c？"), ("a b", "", "什么？")] * 30
    found = standing(scores_of(*pairs))
    assert found.accuracy - found.echo < found.interval
    assert found.over_echo == 1


def test_a_score_above_the_mark_may_be_below_its_echo():
    found = standing(scores_of(*[ECHO_WINS] * 6))
    assert (found.over_echo, found.over_wanted) == (-1, 1)
    assert "低于复述问题（1.000），高于比赛要求的 0.35" in found.chinese


def test_the_interval_is_196_standard_errors():
    scores = scores_of(GOOD, BAD, BAD, BAD)
    found = standing(scores)
    assert found.interval == pytest.approx(1.96 * scores.stderr)
    assert f"± {found.interval:.3f} (95 %)" in found.chinese and WANTED_ACCURACY == 0.35


def test_few_questions_tell_nothing():
    found = standing(scores_of(GOOD))
    assert (found.over_echo, found.over_wanted, found.interval) == (0, 0, None)
    assert "±" not in found.english
    found = standing(scores_of(*[GOOD] * 5))
    assert (found.over_echo, found.over_wanted) == (0, 0)


def test_without_an_echo_nothing_is_said_of_it():
    found = standing_of([0.9] * 8, [0.1] * 7 + [None])
    assert found.echo is None and (found.over_echo, found.over_wanted) == (0, 1)
    assert "echo" not in found.english and "复述" not in found.chinese


def command(triples, model=None, failures=()):
    said = conclude(
        scores_of(*triples), failures, model, "out/my model", "http://h:1", ["a b.docx"]
    )
    return said["command"]


def test_what_is_next_follows_from_the_score_and_the_model():
    tuned = {"manifest": {"stage": "quantize", "parents": [{"stage": "merge"}]}}
    base = {"manifest": {"stage": "upload"}}
    assert command([GOOD] * 9, tuned) == (
        "bash run.sh preflight --model-dir 'out/my model' 'a b.docx'"
    )
    assert command([BAD] * 9, tuned).startswith("bash run.sh train compare 基座目录 'out/my model'")
    lora = {"stage": "lora", "settings": {"model_name_or_path": "model/base"}}
    named = {"manifest": {"stage": "merge", "parents": [lora]}}
    assert "train compare model/base 'out/my model'" in command([BAD] * 9, named)
    for info in (base, None, 3, {"manifest": [1]}):
        assert command([BAD] * 9, info).endswith("bash runs/submit.sh")
        assert "MODEL_DIR='out/my model'" in command([BAD] * 9, info)
    assert command([ECHO_WINS] * 9, tuned).startswith("bash run.sh train compare")
    assert command([GOOD] * 9, {"demo": True, **tuned}) == REAL
    failed = command([BAD] * 9, tuned, ["a b: late"])
    assert failed == "bash run.sh judge http://h:1 'a b.docx'"


def test_answers_that_only_say_their_question_are_told():
    asked = "为什么 CUDA 的 warp 会分歧？"
    echo = ("因为 CUDA 的 warp 里线程走了两条路", asked, asked)
    said = conclude(scores_of(*[echo] * 2, *[GOOD] * 10), [], None, None, "u", [])
    assert said["zh"].count("2 题只是把问题重说一遍") == 1 and "2 answers only say" in said["en"]
    few = conclude(scores_of(echo, *[GOOD] * 30), [], None, None, "u", [])
    assert "重说" not in few["zh"]


@pytest.mark.parametrize(("language", "other"), [("en", "zh"), ("zh", "en")])
def test_table_page_and_summary_show_it(tmp_path, monkeypatch, language, other):
    monkeypatch.setenv("KIT_LANGUAGE", language)
    info = {"model": {"name": "m"}, "settings": {"model_dir": "out/m"}}
    summed, rows = told(judgement_of(result_of([("CUDA", "CUDA")] * 9), info=info))
    said = summed["conclusion"]
    assert said["command"] == "bash run.sh preflight --model-dir out/m sets/basic.docx"
    shown, page = printed(summed), Page(render(summed, rows)).text
    for text in (said[language], said["command"]):
        assert text in page
        assert "".join(text.split()) in "".join(shown.split())
    assert said[other] not in page and said[other][:20] not in shown
    score = {"en": "accuracy (judge)", "zh": "准确率（评测机）"}[language]
    assert shown.index(said["command"]) < shown.index(score)
    stored = json.loads((write_report(summed, rows, tmp_path) / "summary.json").read_text("utf-8"))
    assert stored["conclusion"] == said


def test_a_failed_judgement_says_that_first():
    failed = result_of([("CUDA", "")] * 2, failure="late [/] <b>")
    summed, rows = told(judgement_of(failed))
    assert "评测会判失败" in summed["conclusion"]["zh"]
    assert "late [/] <b>" in printed(summed) and "late [/] <b>" in Page(render(summed, rows)).text


def test_the_total_over_all_sets_is_what_counts():
    good, bad = result_of([("CUDA", "CUDA")] * 9), result_of([("a", "")] * 40, name="bonus")
    said = told(judgement_of(good, bad))[0]["conclusion"]
    accuracy = score_answers(["CUDA"] * 9 + ["a"] * 40, ["CUDA"] * 9 + [""] * 40).accuracy
    assert said["en"].startswith(f"accuracy {accuracy:.3f} ±")
    assert "below the contest's 0.35" in said["en"]
