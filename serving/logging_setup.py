"""Log lines and standard output that a full disk, or a closed pipe, cannot turn into a fault.

Logging survives a refused write by itself; progress bars and prints of libraries do not, and a
service that cannot log must still answer.
"""

import io
import logging
import sys
from typing import Any


def set_up_logging() -> None:
    """The service's log format, on streams that never raise."""
    make_output_lossy()
    logging.basicConfig(
        level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s"
    )


class LossyFile(io.FileIO):
    """A file whose refused writes are lost instead of raised."""

    def write(self, data: Any) -> int:
        """Bytes taken: all of them, written or not."""
        try:
            return super().write(data)
        except OSError:
            return len(data)


def make_output_lossy() -> None:
    """Put lossy files under `sys.stdout` and `sys.stderr`, and under the existing log handlers."""
    new = {}
    for name in ("stdout", "stderr"):
        old = getattr(sys, name)
        try:
            raw = LossyFile(old.fileno(), "w", closefd=False)
        except (AttributeError, OSError):  # none, or not a file: a test's capture
            continue
        stream = io.TextIOWrapper(
            io.BufferedWriter(raw),
            encoding=old.encoding,
            errors="backslashreplace",
            line_buffering=True,
            write_through=name == "stderr",
        )
        setattr(sys, name, stream)
        new[old] = stream
    names = (None, *logging.root.manager.loggerDict)  # uvicorn has set up its own by now
    for handler in [handler for name in names for handler in logging.getLogger(name).handlers]:
        if isinstance(handler, logging.StreamHandler) and handler.stream in new:
            handler.setStream(new[handler.stream])
