"""The check of exports asks as the recipe trained: with the book of the service, or without."""

import json
from contextlib import contextmanager
from types import SimpleNamespace

import pytest

from train import check, steps
from train.book import service_settings
from train.recipe import Recipe

ROW = {
    "messages": [
        {"role": "user", "content": "教材片段：\n白鹭桥长 120 米。\n\n白鹭桥多长？"},
        {"role": "assistant", "content": "120 米"},
    ],
    "asked": "白鹭桥多长？",
    "passages": ["p"],
}


def recipe(tmp_path, **more) -> Recipe:
    (tmp_path / "dev.jsonl").write_text(json.dumps(ROW, ensure_ascii=False) + "\n", "utf-8")
    (tmp_path / "train.jsonl").write_text('{"question": "别的？", "answer": "是。"}\n', "utf-8")
    for folder in ("merged", "fp8"):
        (tmp_path / folder).mkdir(exist_ok=True)
        (tmp_path / folder / "config.json").write_text("{}")
    given = {"check_base": False, "export_formats": ["fp8"], "calibration_file": None}
    return Recipe(
        model_name_or_path="base", dataset_dir=tmp_path, output_dir=tmp_path, **(given | more)
    )


@pytest.mark.parametrize(
    ("more", "wanted"),
    [
        ({"retrieval_dir": None}, {"RETRIEVAL_PASSAGES": "0"}),
        (
            {"retrieval_dir": "mine", "retrieval_passages": 3, "retrieval_examples": True},
            {
                "RETRIEVAL_DIR": "mine",
                "RETRIEVAL_PASSAGES": "3",
                "RETRIEVAL_TOKENS": "1200",
                "RETRIEVAL_EXAMPLES": "1",
            },
        ),
        (
            {"retrieval_dir": "mine", "retrieval_passages": 3, "retrieval_tokens": 2000},
            {
                "RETRIEVAL_DIR": "mine",
                "RETRIEVAL_PASSAGES": "3",
                "RETRIEVAL_TOKENS": "2000",
                "RETRIEVAL_EXAMPLES": "0",
                "MAX_MODEL_LEN": "2848",
            },
        ),
    ],
)
def test_each_export_is_served_as_trained_and_asked_the_bare_question(
    tmp_path, monkeypatch, more, wanted
):
    asked = []

    @contextmanager
    def serve(directory, python, **variables):
        def answers(questions):
            asked.append((directory.name, variables, questions))
            return SimpleNamespace(answers=["120 米"] * len(questions), total_seconds=1.0)

        yield SimpleNamespace(answers=answers, load_seconds=1.0)

    monkeypatch.setattr(check, "serve", serve)
    monkeypatch.setattr(check, "need_python", lambda python: None)
    monkeypatch.setattr(check, "check_logits", lambda *_: None)
    monkeypatch.setattr(check, "_record", lambda *_: None)
    made = recipe(tmp_path, **more)
    steps.check(made)
    assert asked == [(name, wanted, ["白鹭桥多长？"]) for name in ("merged", "fp8")]
    assert service_settings(made) == wanted


def test_the_next_command_asks_as_in_training(tmp_path, monkeypatch):
    said = []
    monkeypatch.setattr(steps, "say", said.append)
    monkeypatch.chdir(tmp_path)
    steps.show_score(recipe(tmp_path))
    assert "RETRIEVAL" not in said[-1]
    steps.show_score(recipe(tmp_path, retrieval_dir="my index", retrieval_passages=3))
    assert "RETRIEVAL_DIR='my index' RETRIEVAL_PASSAGES=3 RETRIEVAL_TOKENS" in said[-1]
    (tmp_path / "index").mkdir()
    (tmp_path / "index/passages.jsonl").write_text("")
    steps.show_score(recipe(tmp_path, retrieval_dir=None))
    assert "RETRIEVAL_PASSAGES=0 MODEL_DIR=" in said[-1]
    steps.show_score(recipe(tmp_path, retrieval_examples=True))
    assert "RETRIEVAL_EXAMPLES=1 MODEL_DIR=" in said[-1]
