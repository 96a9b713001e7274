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
from common.prompting import SYSTEM_PROMPT  # noqa: E402
from judging.scoring import rouge_l  # noqa: E402
from retrieval.passages import Passage  # noqa: E402
from retrieval.prompt import with_passages  # noqa: E402
from tests.finetuning import make_base, make_data, recipe  # noqa: E402
from train import prefer as module  # noqa: E402
from train.dataset import DataError  # noqa: E402
from train.merge import merge  # noqa: E402
from train.prefer import PreferenceSettings, copies, prefer, ranked  # noqa: E402


def test_best_and_worst_are_by_the_judges_score_and_near_ones_are_left_out():
    row = Pair("q", "warp has 32 threads")
    draws = [("warp has 64 lanes", "warp has 32 threads", "no idea", "")]
    (found,) = ranked([row], draws, 0.1)
    assert (found.chosen, found.rejected) == ("warp has 32 threads", "no idea")
    assert (found.best, found.worst) == (1.0, 0.0)
    assert ranked([row], [("a warp", "the warp")], 0.1) == []


def test_an_answer_that_repeats_what_it_was_asked_is_worth_nothing():
    question, answer = (
        "GPU 的 SM 如何通过切换线程束来隐藏长延迟操作？",
        "GPU 的 SM 零开销切换 warp。",
    )
    asked = with_passages(question, [Passage("1", "b", (), 0, 9, "SM 有 warp。")])
    row = Pair(asked, answer, asked=question)
    echo, wrong = "GPU 的 SM 通过切换线程束来隐藏长延迟操作。", "不知道。"
    assert rouge_l(answer, echo) > rouge_l(answer, wrong) + 0.1
    assert ranked([row], [(echo, wrong)], 0.1) == []
    (found,) = ranked([row], [(echo, answer, wrong)], 0.1)
    assert (found.chosen, found.rejected, found.worst) == (answer, echo, 0.0)

    form = "根据教材片段，直接回答问题（写全主语，用教材的术语）：GPU 的 SM 切换 warp。"
    system = "请依据教材直接、准确地回答问题：写明主语。GPU 的 SM 切换 warp。"
    for copied in (form, system):
        assert rouge_l(answer, copied) > 0.5
        assert ranked([row], [(copied, wrong)], 0.1, SYSTEM_PROMPT) == []
        (found,) = ranked([row], [(copied, answer)], 0.1, SYSTEM_PROMPT)
        assert (found.chosen, found.rejected) == (answer, copied)
    assert ranked([row], [(system, wrong)], 0.1, "答题。"), "no instruction of this prompt"
    assert not copies("你是《大规模并行处理器》的助手", "《大规模并行处理器》讲 GPU", "GPU")
    assert not copies(SYSTEM_PROMPT, SYSTEM_PROMPT, SYSTEM_PROMPT), "the book itself says so"


def test_batches_padded_beside_each_other_get_plain_attention(tmp_path):
    given = recipe(tmp_path, tmp_path, tmp_path)
    for asked, taken in [("auto", "sdpa"), ("varlen", "sdpa"), ("eager", "eager")]:
        chosen = given.model_copy(update={"attn_implementation": asked})
        assert module._padded(chosen).attn_implementation == taken


def test_two_adapters_come_out_that_merge(tmp_path: Path, monkeypatch):
    base, data = make_base(tmp_path / "base"), make_data(tmp_path)
    given = recipe(base, data, tmp_path / "out", learning_rate=1e-3)
    numbers = iter(range(1, 10_000))

    def drawn(model, tokenizer, questions, *rest):
        """One good and one bad answer a question: an untrained model says nothing worth ranking."""
        return [each.answer if next(numbers) % 2 else "XX0" for each in questions]

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
