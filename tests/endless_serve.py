"""The service with answers that never end by themselves, for tests/test_deadlines.py."""

from serving.answerer import Answerer
from serving.settings import load_settings

LONGEST = load_settings().max_tokens
Answerer.tokens_of = staticmethod(lambda question: LONGEST)

from serve import app  # noqa: E402, F401 - the real application, with those answers
