"""The check of exports asks as the recipe trained: with the book of the service, or without."""

import json
from contextlib import contextmanager
from types import SimpleNamespace

import pytest
import typer

from common.manifest import Manifest, write_manifest
from tests.shapes import QWEN3_4B
from train import check, steps
from train.book import service_settings
from train.recipe import Recipe
from train.told import EXIT_LOST, told_errors

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


@pytest.fixture
def service(monkeypatch):
    """A service that knows the answer, but for what `wrong` names; what it was asked, in order."""
    asked, wrong = [], set()

    @contextmanager
    def serve(directory, python, **variables):
        def answers(questions):
            asked.append((directory.name, variables, questions))
            answer = "不知道" if directory.name in wrong else "120 米"
            return SimpleNamespace(answers=[answer] * len(questions), total_seconds=1.0)

        yield SimpleNamespace(answers=answers, load_seconds=1.0)

    monkeypatch.setattr(check, "serve", serve)
    monkeypatch.setattr(check, "need_python", lambda python: None)
    monkeypatch.setattr(check, "check_logits", lambda *_: None)
    return SimpleNamespace(asked=asked, wrong=wrong)


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
    tmp_path, service, more, wanted
):
    made = recipe(tmp_path, **more)
    steps.check(made)
    assert service.asked == [(name, wanted, ["白鹭桥多长？"]) for name in ("merged", "fp8")]
    assert service_settings(made) == wanted


def test_an_export_that_lost_score_has_its_own_exit_code_and_names_what_is_whole(
    tmp_path, service, capsys
):
    service.wrong.add("fp8")
    with pytest.raises(typer.Exit) as ended, told_errors():
        steps.check(recipe(tmp_path))
    assert ended.value.exit_code == EXIT_LOST
    assert str(tmp_path / "merged") in capsys.readouterr().out
    service.wrong.clear()
    with pytest.raises(typer.Exit) as ended, told_errors():
        steps.check(recipe(tmp_path, dev_file="none.jsonl"))
    assert ended.value.exit_code == 1


def test_an_untuned_base_is_asked_once_and_as_the_service_asks_it(tmp_path, service, monkeypatch):
    made = recipe(tmp_path, check_base=True, retrieval_dir="mine")
    (tmp_path / "merged/config.json").write_text(json.dumps(QWEN3_4B), "utf-8")
    write_manifest(tmp_path / "merged", Manifest(stage=steps.UNTUNED, name="base"))
    steps.check(made)
    assert [name for name, *_ in service.asked] == ["merged", "fp8"], "not as `base` once more"
    assert all(told["RETRIEVAL_EXAMPLES"] == "1" for _, told, _ in service.asked)
    said = []
    monkeypatch.setattr(steps, "say", said.append)
    steps.show_score(made)
    assert "RETRIEVAL_EXAMPLES=1" in said[-1]


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
