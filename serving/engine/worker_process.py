"""The process of one engine of several, seen from the service: start, messages, end."""

import contextlib
import os
import socket
import subprocess
import sys
import threading
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from serving.engine.messages import Start
from serving.engine.shares import Share
from serving.settings import Settings

ROOT = Path(__file__).parents[2]
# The module that is run; tests put one with faults in its place.
MODULE = "serving.engine.worker"
# How long an engine may take to end when it is asked to: container runtimes kill 10 s after TERM.
END_S = 4.0


class WorkerProcess:
    """A process that runs worker.py, and the socket to it."""

    def __init__(self, share: Share):
        self.share = share
        self._process: subprocess.Popen[bytes] | None = None
        self._connection: Connection | None = None
        self._sending = threading.Lock()

    def start(self, settings: Settings, hold: bool = False) -> None:
        """Start the process; its first message says whether it loaded. hold: it waits for `Go`
        before it does."""
        ours, theirs = socket.socketpair()
        with theirs:
            number = theirs.fileno()
            self._process = subprocess.Popen(
                [sys.executable, "-m", MODULE, str(number)],
                pass_fds=[number],
                cwd=Path.cwd(),
                env={**os.environ, "PYTHONPATH": _python_path()},
            )
        if self.share.cores:  # long before it has threads
            os.sched_setaffinity(self._process.pid, self.share.cores)
        self._connection = Connection(ours.detach())
        self.send(Start(settings, self.share, hold))

    def send(self, message: Any) -> None:
        """Send a message; a process that is gone shows by `receive`, not here."""
        if self._connection is not None:
            with self._sending, contextlib.suppress(OSError):
                self._connection.send(message)

    def receive(self, seconds: float | None = None) -> Any:
        """The next message; None when the process is gone. Raises TimeoutError when none comes in
        that time."""
        try:
            if seconds is not None and not self._connection.poll(seconds):
                raise TimeoutError
            return self._connection.recv()
        except TimeoutError:  # an OSError as well
            raise
        except (EOFError, OSError):
            return None

    def ask_to_end(self) -> None:
        """Let the engine free the device and end."""
        self.send(None)

    def end(self, grace: float = END_S) -> None:
        """Wait for the process to end, a short while; then kill it."""
        if self._process is None:
            return
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(grace)
        self._process.kill()
        self._process.wait()
        with contextlib.suppress(OSError):
            self._connection.close()


def _python_path() -> str:
    """The service's packages, wherever it was started from."""
    return os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH", "")]))
