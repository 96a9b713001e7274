"""An engine's process with faults to order, for tests/test_faults.py.

SECOND_ENGINE: `fails` or `hangs`: what the second one does instead of loading.
"""

import os
import time

import tests.faulty_vllm  # noqa: F401 - it wraps the engine
from serving.engine.worker import WorkerEngine, main

plain_start = WorkerEngine.start


def start(engine: WorkerEngine) -> None:
    fault = os.environ.get("SECOND_ENGINE")
    if engine._share.index == 1 and fault == "hangs":
        time.sleep(600)
    if engine._share.index == 1 and fault == "fails":
        raise RuntimeError("the device may be opened once only (simulated)")
    plain_start(engine)


WorkerEngine.start = start
main()
