"""An engine's process with faults to order, for tests/test_faults.py."""

import tests.faulty_vllm  # noqa: F401 - it wraps the engine
from serving.engine.worker import main

main()
