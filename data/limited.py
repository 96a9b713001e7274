"""Read an untrusted file in a subprocess with limits of memory and time.

A PDF can hold an endless page, or a stream that unpacks to terabytes, and the libraries that read
it have no limits of their own. The operating system can limit a subprocess.
"""

import importlib
import json
import os
import resource
import subprocess
import sys
from pathlib import Path

SECONDS = 3600.0
MEMORY_BYTES = 6 << 30


def run_limited(
    function: str, path: Path, seconds: float = SECONDS, memory: int = MEMORY_BYTES
) -> str:
    """The text that `function`, named `module:name`, returns for a path.

    seconds: wall-clock time. memory: bytes of address space. Raises ValueError: the function's
    own, or one that names the limit it exceeded.
    """
    root = str(Path(__file__).parents[1])
    try:
        done = subprocess.run(
            [sys.executable, "-m", "data.limited", function, str(path), str(memory)],
            env={**os.environ, "PYTHONPATH": root},
            capture_output=True,
            timeout=seconds,
        )
    except subprocess.TimeoutExpired:
        raise ValueError(f"reading it takes over {seconds:.0f} s: given up") from None
    if done.returncode == 0:
        reply = json.loads(done.stdout)
        error = reply["error"]
    else:
        said = done.stderr.decode("utf-8", errors="replace").strip().splitlines()
        error = f"it cannot be read: {(said or ['no reason given'])[-1][:200]}"
    # Out of memory: a library may wrap the MemoryError, or the system kill the process.
    if done.returncode < 0 or "MemoryError" in error:
        raise ValueError(f"reading it takes over {memory >> 20} MB of memory: given up")
    if error:
        raise ValueError(error)
    return reply["text"]


def main(function: str, path: str, memory: str) -> None:
    """In the subprocess: set the limit, call the function, print the outcome as JSON."""
    resource.setrlimit(resource.RLIMIT_AS, (int(memory), int(memory)))
    module, _, name = function.partition(":")
    outcome = {"text": "", "error": ""}
    try:
        outcome["text"] = getattr(importlib.import_module(module), name)(Path(path))
    except ValueError as error:
        outcome["error"] = str(error) or type(error).__name__
    sys.stdout.write(json.dumps(outcome))


if __name__ == "__main__":
    main(*sys.argv[1:])
