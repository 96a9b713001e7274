"""Standard output and error that a full disk, or a reader that went away, cannot turn into a fault.

Logging survives a refused write by itself; progress bars and prints of libraries do not, and a
service that cannot log must still answer.
"""

import io
import logging
import sys
from typing import Any


class LossyFile(io.FileIO):
    """A file whose refused writes are lost instead of raised."""

    def write(self, data: Any) -> int:
        """Bytes taken: all of them, written or not."""
        try:
            return super().write(data)
        except OSError:
            return len(data)


def lose_what_cannot_be_written() -> None:
    """Put such files under `sys.stdout` and `sys.stderr`, and under the log handlers there are."""
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
