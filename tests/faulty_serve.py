"""The service with faults to order, for tests/test_faults.py: `uvicorn tests.faulty_serve:app`.

With several engines the faults are in their processes (tests/faulty_worker.py).
"""

import os

from serving.engine import worker_process

if int(os.environ.get("ENGINES_PER_GPU", "1")) > 1:
    worker_process.MODULE = "tests.faulty_worker"
else:
    import tests.faulty_vllm  # noqa: F401 - it wraps the engine

from serve import app  # noqa: E402, F401 - the real application, on the wrapped engine
