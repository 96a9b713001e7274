"""Which TCP port a service can have: a free one, or who holds the one that was asked for."""

import contextlib
import errno
import socket

import psutil

from common.language import either


class PortTakenError(RuntimeError):
    """A port that cannot be used; the message says who holds it."""


def free_port() -> int:
    """A port that nobody uses, on any address of this machine."""
    with socket.socket() as probe:
        probe.bind(("", 0))
        return int(probe.getsockname()[1])


def check_port(port: int) -> None:
    """Raises PortTakenError, with the name and number of the process that holds the port."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as servers do
        try:
            probe.bind(("", port))
        except OSError as error:
            why, held = error.strerror, ""
            if error.errno == errno.EADDRINUSE:
                held = either("；占用它的是 ", "; held by ") + _holders(port)
            raise PortTakenError(
                either(
                    f"端口 {port} 不能用：{why}{held}", f"Port {port} cannot be used: {why}{held}"
                )
            ) from error


def _holders(port: int) -> str:
    names = set()
    with contextlib.suppress(psutil.AccessDenied):  # macOS tells only its administrator
        for connection in psutil.net_connections("tcp"):
            if connection.laddr and connection.laddr.port == port and connection.pid:
                with contextlib.suppress(psutil.NoSuchProcess):
                    name = psutil.Process(connection.pid).name()
                    names.add(f"{name} (pid {connection.pid})")
    hidden = either("这个用户看不到的进程", "a process that this user may not see")
    return ", ".join(sorted(names)) or hidden
