"""Read an untrusted file in a subprocess with limits of memory and time.

A PDF can hold an endless page, or a stream that unpacks to terabytes, and the libraries that read
it have no limits of their own. The operating system can limit a subprocess. The subprocess says
on its output, in lines of JSON, what it has done so far and at last the outcome; a sign of life
gives it its time anew, so that a scan of a thousand pages is not given up halfway.
"""

import importlib
import json
import os
import resource
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from common.language import either

SECONDS = 3600.0
MEMORY_BYTES = 6 << 30
Told = Callable[[int, int], None]  # pages done, pages in all


def run_limited(
    function: str,
    path: Path,
    seconds: float = SECONDS,
    memory: int = MEMORY_BYTES,
    options: Mapping[str, Any] | None = None,
    told: Told | None = None,
) -> Any:
    """What `function`, named `module:name`, returns for a path, as JSON.

    seconds: wall-clock time without a sign of life. memory: bytes of address space. options:
    keyword arguments that JSON can hold. told: called with the progress that it reports.
    Raises ValueError: the function's own, or one that names the limit it exceeded.
    """
    root = str(Path(__file__).parents[1])
    call = json.dumps({"function": function, "path": str(path), "options": dict(options or {})})
    process = subprocess.Popen(
        [sys.executable, "-m", "data.limited", str(memory), call],
        env={**os.environ, "PYTHONPATH": root, "PYTHONIOENCODING": "utf-8"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    outcome, said, late = _watched(process, seconds, told)
    if late:
        raise ValueError(
            either(
                f"读它要超过 {seconds:.0f} 秒：放弃了",
                f"reading it takes over {seconds:.0f} s: given up",
            )
        )
    error = (
        outcome.get("error", "")
        if outcome
        else either(f"读不了：{said}", f"it cannot be read: {said}")
    )
    # pdfium does not raise when memory ends: it stops the process, as it does at some damage.
    if process.returncode in (-signal.SIGSEGV, -signal.SIGBUS, -signal.SIGABRT, -signal.SIGTRAP):
        reason = either(
            f"文件坏了，或要超过 {memory >> 20} MB 内存",
            f"it is broken, or takes over {memory >> 20} MB of memory",
        )
        raise ValueError(
            either(f"读它的库崩溃了：{reason}", f"the library that reads it crashed: {reason}")
        )
    # Out of memory: a library may wrap the MemoryError, or the system kill the process.
    if process.returncode < 0 or "MemoryError" in error:
        raise ValueError(
            either(
                f"读它要超过 {memory >> 20} MB 内存：放弃了",
                f"reading it takes over {memory >> 20} MB of memory: given up",
            )
        )
    if error:
        raise ValueError(error)
    return outcome["result"]


def _watched(
    process: subprocess.Popen[bytes], seconds: float, told: Told | None
) -> tuple[dict[str, Any] | None, str, bool]:
    """The outcome, the last line on stderr, and whether the process was too slow."""
    late = threading.Event()
    errors: list[bytes] = []

    def stop() -> None:
        late.set()
        process.kill()

    def drain() -> None:
        errors.extend(process.stderr)

    reader = threading.Thread(target=drain, daemon=True)
    reader.start()
    outcome = None
    clock = threading.Timer(seconds, stop)
    clock.start()
    try:
        for line in process.stdout:
            row = json.loads(line)
            if "done" in row:
                clock.cancel()
                clock = threading.Timer(seconds, stop)
                clock.start()
                if told:
                    told(row["done"], row["of"])
            else:
                outcome = row
        process.wait()
    finally:
        clock.cancel()
        if process.poll() is None:  # Ctrl-C
            process.kill()
            process.wait()
    reader.join(5)
    said = [line.decode("utf-8", errors="replace").strip() for line in errors if line.strip()]
    return outcome, (said or ["no reason given"])[-1][:200], late.is_set()


def tell(done: int, total: int) -> None:
    """In the subprocess: so many pages of so many are done."""
    _say({"done": done, "of": total})


def _say(row: dict[str, Any]) -> None:
    sys.__stdout__.write(json.dumps(row) + "\n")
    sys.__stdout__.flush()


def main(memory: str, call: str) -> None:
    """In the subprocess: set the limit, call the function, print the outcome as JSON."""
    from data.needs import missing_package

    resource.setrlimit(resource.RLIMIT_AS, (int(memory), int(memory)))
    sys.stdout = sys.stderr  # what a library prints must not stand between the lines of JSON
    asked = json.loads(call)
    module, _, name = asked["function"].partition(":")
    outcome: dict[str, Any] = {"result": None, "error": ""}
    try:
        function = getattr(importlib.import_module(module), name)
        outcome["result"] = function(Path(asked["path"]), **asked["options"])
    except ModuleNotFoundError as error:
        outcome["error"] = missing_package(error)
    except ValueError as error:
        outcome["error"] = str(error) or type(error).__name__
    _say(outcome)


if __name__ == "__main__":
    main(*sys.argv[1:])
