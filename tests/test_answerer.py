"""The stages around an engine."""

import time

import pytest

from serving.answerer import Answerer
from serving.engine.base import ModelError
from serving.settings import load_settings
from tests.instant_engine import InstantEngine, OneTokenACharacter


class Order(InstantEngine):
    """Notes what was there when it started."""

    def __init__(self, events):
        self.events = events

    def start(self):
        self.events.append("engine starts")


def test_engine_starts_only_when_the_tokenizer_is_loaded(monkeypatch, tmp_path):
    """Two threads that import the same libraries at once have killed a start."""
    events = []

    def slow(self):
        time.sleep(0.2)
        events.append("tokenizer loaded")
        raise OSError("enough seen")

    monkeypatch.setattr(Answerer, "_load_tokenizer", slow)
    answerer = Answerer(Order(events), load_settings(model_dir=tmp_path))
    with pytest.raises(OSError, match="enough seen"):
        answerer.start()
    assert events == ["tokenizer loaded"]


def test_a_missing_chat_template_is_told_before_the_engine_loads(monkeypatch, tmp_path):
    class Plain(OneTokenACharacter):
        chat_template = None

    events = []
    monkeypatch.setattr(Answerer, "_load_tokenizer", lambda self: Plain())
    answerer = Answerer(Order(events), load_settings(model_dir=tmp_path))
    with pytest.raises(ModelError, match=r"MODEL_DIR=.*no chat template: copy"):
        answerer.start()
    assert events == []


@pytest.mark.parametrize("text", ['{"model": {"type": "Foo"}, "added_tokens": []}', "{}", "["])
def test_a_tokenizer_that_does_not_load_is_told_in_one_line(tmp_path, text):
    """The tokenizers library raises bare Exceptions, KeyErrors and worse."""
    (tmp_path / "tokenizer.json").write_text(text)
    (tmp_path / "config.json").write_text('{"model_type": "qwen3"}')
    events = []
    answerer = Answerer(Order(events), load_settings(model_dir=tmp_path))
    with pytest.raises(ModelError, match=f"^MODEL_DIR={tmp_path}: its tokenizer does not .*$"):
        answerer.start()
    assert events == []


def test_a_directory_without_a_tokenizer_is_named(tmp_path):
    answerer = Answerer(InstantEngine(), load_settings(model_dir=tmp_path))
    with pytest.raises(ModelError, match=f"MODEL_DIR={tmp_path}"):
        answerer.start()
