"""The service with answers that never end by themselves, for tests/test_deadlines.py."""

from answering.vllm_engine import VllmEngine

VllmEngine.ignore_eos = True

from serve import app  # noqa: E402, F401 - the real application, on that engine
