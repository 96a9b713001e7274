"""train advise: the number that stands out names the step, and nothing is advised without one."""

import json
from pathlib import Path

import pytest
import yaml

from common.pairs import Pair
from data.answer_profile import gap
from train.advise import advise, tell
from train.base import ModelError
from train.recipe import Recipe
from train.samples import write_sample
from train.verdict import reach_verdict

LONG = "warp 有 32 threads，由 scheduler 按 SIMT 执行，分支 divergence 会 serialize 两条 path。"


def run(folder: Path, tuned: str, base: str = "warp", reference: str = LONG, **fields) -> Path:
    """A judged run whose tuned model answers everything so."""
    given = {"model_name_or_path": "a/b", "dataset_dir": folder, "output_dir": folder / "out"}
    recipe = Recipe(**given, **fields)
    rows = [Pair(f"问题 {i}？", reference) for i in range(20)]
    for step, answer in ((0, base), (7, tuned)):
        write_sample(recipe.output_dir, step, rows, [answer] * 20)
    reach_verdict(recipe, {7: 1.0})
    text = yaml.safe_dump(recipe.model_dump(mode="json"))
    (recipe.output_dir / "recipe.yaml").write_text(text, encoding="utf-8")
    return recipe.output_dir


def commands(out: Path, report: Path | None = None) -> list[str]:
    steps = advise(out, report)
    assert len(steps) <= 3 and all(any(c.isdigit() for c in s.reason) for s in steps)
    return [step.command for step in steps]


def test_short_answers_of_low_recall_ask_for_rows_like_the_target(tmp_path):
    first, *rest = commands(run(tmp_path, "warp 有 32 个。"))
    assert "data build" in first and "--like" in first
    assert any("retrieval build" in command for command in rest)


def test_what_is_worse_than_its_base_is_trained_more_gently(tmp_path):
    out = run(tmp_path, "没有。", base=LONG)
    assert any("output_dir=" in each and "-gentle" in each for each in commands(out))


def test_over_long_answers_are_seen(tmp_path):
    turning = LONG + " and then it waits for the next one" * 30
    assert any("MAX_TOKENS" in each for each in commands(run(tmp_path, turning)))


def test_dev_far_above_the_test_set_is_a_leak_or_another_style(tmp_path):
    out = run(tmp_path, LONG)
    report = tmp_path / "report"
    report.mkdir()
    rows = [{"question": "q", "reference": LONG, "answer": "nothing of that"}] * 12
    (report / "answers.jsonl").write_text("".join(json.dumps(r) + "\n" for r in rows), "utf-8")
    (report / "summary.json").write_text(json.dumps({"testsets": [{"name": "basic"}]}), "utf-8")
    steps = advise(out, report)
    assert "check-leak" in steps[0].command and "basic" in steps[0].reason
    with pytest.raises(ModelError, match="no report"):
        advise(out, tmp_path)


@pytest.mark.usefixtures("bm25s_installed")
def test_with_an_index_the_questions_whose_passage_was_not_found_are_counted(tmp_path):
    from retrieval.build import IndexSettings, build_index

    book = tmp_path / "书.md"
    book.write_text("# 章\n\n问题 1 的说明：毫不相干的一段话。\n", encoding="utf-8")
    build_index([book], tmp_path / "index", IndexSettings(5, 60))
    out = run(tmp_path, LONG, retrieval_dir=tmp_path / "index")
    (step,) = advise(out)
    assert "retrieval evaluate" in step.command and "100%" in step.reason


def test_a_dev_loss_that_rises_is_learning_by_heart(tmp_path):
    out = run(tmp_path, LONG)
    log = [{"step": s, "eval_loss": loss} for s, loss in ((1, 2.0), (2, 3.0))]
    (out / "trainer_log.json").write_text(json.dumps(log))
    assert any("by heart" in step.reason for step in advise(out))


def test_a_run_that_was_not_judged_is_told(tmp_path):
    with pytest.raises(ModelError, match="not judged"):
        advise(tmp_path)


def test_the_gap_is_one_line_of_numbers():
    assert gap(["warp 32"], [LONG]).startswith("your answers: 7 characters, 2 Latin words; ")
    said: list[str] = []
    tell([], said.append)
    assert "larger model" in said[0]
