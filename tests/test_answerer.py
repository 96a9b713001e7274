"""The stages around an engine."""

import time

import pytest

from serving.answerer import Answerer
from serving.settings import load_settings
from tests.instant_engine import InstantEngine


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
