"""A service as a process: start it, wait until it answers, stop it with everything it started.

    with running(["vllm", "serve", "model", "--port", "{port}"]) as service:
        service.wait_until_ready(300, "/health")
        httpx.get(f"{service.url}/v1/models")

Any command and any path will do; several services may run at once, in threads too.
"""

import contextlib
import os
import re
import signal
import socket
import subprocess
import tempfile
import threading
import time
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import httpx
import psutil

from common.language import either
from common.ports import check_port, free_port

STOP_GRACE_S = 20.0  # for the service to answer what it has and to end its children
LOADING_GRACE_S = 3.0  # for one that is not ready: it has nothing to answer yet
ORPHAN_GRACE_S = 3.0  # for what is left once the service itself has ended
KILL_LIMIT_S = 5.0
POLL_EVERY_S = 0.1
POLL_LIMIT_S = 5.0
TAIL_LINES = 15
SIGNALS = (signal.SIGTERM, signal.SIGHUP)  # Python itself raises KeyboardInterrupt for SIGINT
# A log's line that names an error, but not vLLM's pointer to the one above it.
ERROR = re.compile(r"\b\w*(?:Error|Exception)(?:: (?!.*root cause above)|$)")

_started: set["ServiceProcess"] = set()


class ServiceError(RuntimeError):
    """A service that is not up. `reason`: what happened, in a few words; `error`: the line of its
    log that says why; the message has the reason and the end of the log."""

    def __init__(self, message: str, reason: str, error: str):
        super().__init__(message)
        self.reason, self.error = reason, error


class SignalReceived(KeyboardInterrupt):
    """TERM, HUP or INT as an exception; `exit_code` is what a shell reports for the signal."""

    def __init__(self, number: int):
        super().__init__(signal.Signals(number).name)
        self.number, self.exit_code = number, 128 + number


class ServiceProcess:
    """A process in a session of its own; `running` makes and stops it, and tells the parameters.

    url: its address on this machine; ready_seconds: from its start until it was ready, None before;
    process: the Popen, whose stdin and stdout are text where `pipes` was asked for.
    """

    def __init__(
        self,
        command: Sequence[str],
        port: int,
        log: Path | None,
        folder: Path,
        environment: Mapping[str, str],
        cwd: Path | None,
        pipes: bool,
    ):
        self.port = port
        self.log = log or folder / "service.log"
        self._where = f" ({log})" if log else ""
        self.url = f"http://127.0.0.1:{port}"
        self.ready_seconds: float | None = None
        self.thread = threading.current_thread()
        # A variable that all descendants inherit. It finds those that left the session and whose
        # parents have ended.
        self._mark = f"SERVICE_PROCESS_{uuid.uuid4().hex}"
        self._known: set[psutil.Process] = set()
        self.log.parent.mkdir(parents=True, exist_ok=True)
        with self.log.open("wb") as stream:
            self._began = time.monotonic()
            self.process: subprocess.Popen[Any] = subprocess.Popen(
                [word.replace("{port}", str(port)) for word in command],
                cwd=cwd,
                env={**environment, self._mark: "1"},
                stdin=subprocess.PIPE if pipes else subprocess.DEVNULL,
                stdout=subprocess.PIPE if pipes else stream,
                stderr=stream,
                encoding="utf-8" if pipes else None,
                start_new_session=True,
            )
        self._root = psutil.Process(self.process.pid)
        _started.add(self)

    def wait_until_ready(
        self,
        limit: float,
        path: str | None = "/",
        on_wait: Callable[[float], None] | None = None,
    ) -> float:
        """Wait until GET `path` gives HTTP 200 (None: until the port is open), at most `limit`
        seconds from the process's start; returns the seconds from that start.

        `on_wait` is called with the seconds so far. Raises ServiceError, at once when the process
        ends.
        """
        with httpx.Client(base_url=self.url, timeout=POLL_LIMIT_S, trust_env=False) as client:
            while True:
                problem = self._knock() if path is None else _get(client, path)
                waited = time.monotonic() - self._began
                if (code := self.process.poll()) is not None:
                    how = ended_with(code)
                    raise self._error(
                        either(f"启动时停了（{how}）", f"stopped while starting ({how})")
                    )
                if problem is None:
                    self.ready_seconds = waited
                    return waited
                if waited > limit:
                    raise self._error(
                        either(
                            f"{limit:g} 秒后还没有就绪（{problem}）",
                            f"was not ready after {limit:g} s ({problem})",
                        )
                    )
                if on_wait:
                    on_wait(waited)
                time.sleep(POLL_EVERY_S)

    def last_error(self) -> str:
        """The last line of the log that names an error, else its last line."""
        lines = self._log_lines() or ["(nothing in its log)"]
        return next((line for line in reversed(lines) if ERROR.search(line)), lines[-1]).strip()

    def last_words(self) -> str:
        """The tail of the log, and above it the last line that names an error, if that is older."""
        tail = self._log_lines()[-TAIL_LINES:]
        error = self.last_error()
        seen = not tail or any(error in line for line in tail)
        return "\n".join((tail or [error]) if seen else [error, "…", *tail])

    def stop(self, grace: float = STOP_GRACE_S) -> None:
        """End the service and what it started: TERM and `grace` seconds (less while it loads) for
        the service alone, since it needs its children to answer what it has; TERM for those that it
        left; KILL for whatever is still there."""
        try:
            self._family()  # while its children can still be told from others'
            self.process.terminate()
            loading = self.ready_seconds is None
            _wait_until_gone([self._root], min(grace, LOADING_GRACE_S) if loading else grace)
            if not _alive(self._root):
                for member in (left := self._family()):
                    with contextlib.suppress(psutil.Error):
                        member.terminate()
                _wait_until_gone(left, ORPHAN_GRACE_S)
        finally:  # at once, when a second Ctrl-C cuts the grace short
            self.kill()
        for pipe in (self.process.stdin, self.process.stdout):
            if pipe:
                with contextlib.suppress(OSError):  # what it was still told goes nowhere
                    pipe.close()

    def kill(self) -> None:
        """End the service and what it started without any grace."""
        end = time.monotonic() + KILL_LIMIT_S
        while (family := self._family()) and time.monotonic() < end:
            for member in family:
                with contextlib.suppress(psutil.Error):
                    member.kill()
            _wait_until_gone(family, 1)
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.process.wait(1)
        _started.discard(self)

    def _family(self) -> set[psutil.Process]:
        """What is alive of the service, its descendants, its session and whoever has its mark."""
        pid = self.process.pid
        with contextlib.suppress(psutil.NoSuchProcess):
            self._known |= {self._root, *self._root.children(recursive=True)}
        # Once the service has ended, its number may belong to a process of somebody else.
        session = pid if self._root.is_running() or not psutil.pid_exists(pid) else None
        for other in psutil.process_iter():
            with contextlib.suppress(psutil.Error, OSError):  # ended meanwhile, or another user's
                if os.getsid(other.pid) == session or self._mark in other.environ():
                    self._known.add(other)
        return {member for member in self._known if _alive(member)}

    def _knock(self) -> str | None:
        with socket.socket() as probe:
            probe.settimeout(POLL_LIMIT_S)
            code = probe.connect_ex(("127.0.0.1", self.port))
        return f"port {self.port}: {os.strerror(code)}" if code else None

    def _log_lines(self) -> list[str]:
        if not self.log.is_file():  # a device, such as /dev/full
            return []
        return self.log.read_text(encoding="utf-8", errors="replace").strip().splitlines()

    def _error(self, reason: str) -> ServiceError:
        words = self.last_words()
        message = either(
            f"服务{reason}；它最后的输出{self._where}：\n{words}",
            f"The service {reason}; its last words{self._where}:\n{words}",
        )
        return ServiceError(message, reason, self.last_error())


@contextlib.contextmanager
def running(
    command: Sequence[str],
    *,
    port: int | None = None,
    log: Path | None = None,
    environment: Mapping[str, str] | None = None,
    cwd: Path | None = None,
    pipes: bool = False,
    grace: float = STOP_GRACE_S,
) -> Iterator[ServiceProcess]:
    """Start a service; stop it and all that it started when the block ends, by a signal too.

    command: `{port}` in its words is replaced; port: None chooses a free one; log: the file for its
    output, None for a temporary one; environment: all of its variables, None for this process's;
    pipes: stdin and stdout are pipes for the caller; grace: see `stop`. To wait for it is the
    caller's part (`wait_until_ready`). Raises PortTakenError, or OSError when there is no such
    command.
    """
    if port is None:
        port = free_port()
    else:
        check_port(port)
    variables = os.environ if environment is None else environment
    with tempfile.TemporaryDirectory(prefix="service_") as folder, _unwinding():
        service = ServiceProcess(command, port, log, Path(folder), variables, cwd, pipes)
        try:
            yield service
        finally:
            service.stop(grace)


def stop_on_signals() -> None:
    """Let TERM, HUP and INT raise SignalReceived, and end the services of other threads at once.

    For programs that start services in threads or tell the signals apart: call it once, in the main
    thread. Others need not: in the main thread `running` takes care of TERM and HUP.
    """
    for number in (*SIGNALS, signal.SIGINT):
        signal.signal(number, _unwind)


def ended_with(code: int) -> str:
    """An exit code of Popen in words."""
    return f"exit code {code}" if code >= 0 else f"killed by {signal.Signals(-code).name}"


def _get(client: httpx.Client, path: str) -> str | None:
    """What is wrong with GET `path`; None: it gave HTTP 200."""
    try:
        status = client.get(path).status_code
    except httpx.TransportError as error:
        return f"GET {path}: {type(error).__name__}"
    return None if status == 200 else f"GET {path}: HTTP {status}"


def _alive(process: psutil.Process) -> bool:
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def _wait_until_gone(processes: Iterable[psutil.Process], seconds: float) -> None:
    # Not psutil.wait_procs: a dead orphan that nobody reaps would look alive to it.
    end = time.monotonic() + seconds
    while any(map(_alive, processes)) and time.monotonic() < end:
        time.sleep(0.02)


def _unwind(number: int, frame: Any) -> None:
    # The exception unwinds the main thread only, not the `running` blocks of others.
    for service in list(_started):
        if service.thread is not threading.main_thread():
            service.kill()
    raise SignalReceived(number)


@contextlib.contextmanager
def _unwinding() -> Iterator[None]:
    """Signals that would end the program at once, and leave its services running, unwind it."""
    ours: list[signal.Signals] = []
    if threading.current_thread() is threading.main_thread():
        ours = [number for number in SIGNALS if signal.getsignal(number) is signal.SIG_DFL]
    for number in ours:
        signal.signal(number, _unwind)
    try:
        yield
    finally:
        for number in ours:
            signal.signal(number, signal.SIG_DFL)
