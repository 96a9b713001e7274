"""Which TCP port a service can have: a free one, or who holds the one that was asked for."""

import contextlib
import errno
import random
import socket
from pathlib import Path

import psutil

from common.language import either

_LOWEST = 20000  # of the ports that are tried: below, services have their usual ones


class PortTakenError(RuntimeError):
    """A port that cannot be used; the message says who holds it."""


def free_port() -> int:
    """A port that nobody uses, on any address of this machine.

    Not one of those that the system gives to outgoing connections: between this answer and the
    start of a service, which can take a minute, another program would be given it.
    """
    usual = range(_LOWEST, _first_ephemeral())
    for port in random.SystemRandom().sample(usual, len(usual)):  # also where others look at once
        with socket.socket() as probe:
            try:
                probe.bind(("", port))
            except OSError:
                continue
            return port
    raise PortTakenError(
        either(
            f"{usual.start} 到 {usual.stop - 1} 之间没有空闲的端口",
            f"no port from {usual.start} to {usual.stop - 1} is free",
        )
    )


def _first_ephemeral() -> int:
    """The first port of the system's own range; Linux says which (else the usual one)."""
    with contextlib.suppress(OSError, ValueError, IndexError):
        first = int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text("ascii").split()[0])
        if first > _LOWEST + 1000:
            return first
    return 32768


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
