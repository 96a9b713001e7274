"""Dress rehearsal: the committed code, its model, no network, and the judge with its real limits.

Started by the preflight as a process of its own, in a network namespace where only the loopback
exists (where the machine allows that):

python -m preflight.rehearsal CHECKOUT OUT.json TESTSET…
"""

import fcntl
import json
import os
import re
import shutil
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from judging.client import HEALTH_LIMIT_S, PREDICT_LIMIT_S, ServiceNotReadyError
from judging.judge import Conditions, Judgement, judge
from judging.testset import read_testset
from preflight.lines import Line, amount, at_most

AREA = "rehearsal"
MODES = ("batch", "serial")


def rehearse(
    checkout: Path, model: Path, testsets: Sequence[Path], environment: dict[str, str]
) -> list[Line]:
    """All lines of a rehearsal in both modes. `environment`: the Dockerfile's ENV."""
    lines = [_place_model(checkout, model)]
    if lines[0].state == "fail":
        return lines
    out = checkout.parent / "rehearsal.json"
    cut = next((c for c in (["unshare", "-n"], ["unshare", "-rn"]) if _works([*c, "true"])), [])
    command = [*cut, sys.executable, "-m", "preflight.rehearsal", str(checkout), str(out)]
    told = {"cut": bool(cut), "environment": environment}
    subprocess.run(
        [*command, *(str(path.resolve()) for path in testsets)],
        cwd=Path(__file__).parents[1],
        env={**os.environ, "PREFLIGHT": json.dumps(told)},
        stdout=sys.stderr,
    )
    network = "cut: a network namespace with the loopback only" if cut else "open: not allowed here"
    lines.append(Line(AREA, "network", "ok" if cut else "note", network))
    if not out.is_file():
        return [*lines, Line(AREA, "service", "fail", "the rehearsal ended without a result")]
    return lines + [Line(**line) for line in json.loads(out.read_text(encoding="utf-8"))]


def _works(command: list[str]) -> bool:
    return (
        bool(shutil.which(command[0]))
        and not subprocess.run(command, capture_output=True).returncode
    )


def _place_model(checkout: Path, model: Path) -> Line:
    """The Dockerfile's download step, from a directory of this machine."""
    command = [sys.executable, "download_model.py", "--from", str(model.resolve())]
    start = time.perf_counter()
    done = subprocess.run(
        [*command, "--out", "model/served"], cwd=checkout, capture_output=True, text=True
    )
    last = (done.stderr.strip().splitlines() or ["no message"])[-1]
    state = "fail" if done.returncode else "ok"
    return Line(AREA, "model", state, amount(time.perf_counter() - start, "s"), why=last)


def _run(checkout: Path, testsets: Sequence[Path], environment: dict[str, str]) -> list[Line]:
    lines = []
    sets = [read_testset(path) for path in testsets]
    for mode in MODES:
        with _service(checkout, mode, environment) as service:
            start = time.perf_counter()
            try:
                service.wait_until_open(HEALTH_LIMIT_S)
                waited = time.perf_counter() - start
                judgement = judge(service.url, sets, Conditions())
            except ServiceNotReadyError as error:
                why = f"{error}; its log says: {service.last_words()}"
                limit = amount(HEALTH_LIMIT_S, "s")
                lines.append(Line(AREA, f"{mode}: health", "fail", "not ready", limit, "", why))
                continue
        lines += _lines(judgement, mode, waited)
    return lines


def _lines(judgement: Judgement, mode: str, waited: float) -> Iterator[Line]:
    health = judgement.health
    seconds = waited + health.seconds
    yield at_most(AREA, f"{mode}: health", seconds, HEALTH_LIMIT_S, "s", "measured here")
    if health.mode != mode:
        why = f"GET / said {health.status!r}, which the judge takes for {health.mode}"
        yield Line(AREA, f"{mode}: status", "fail", health.mode, mode, "", why)
    demo = " (demo model: shows the flow only)" if _is_demo(judgement.info) else ""
    for result in judgement.results:
        name, replies, scores = result.testset.name, result.replies, result.scores
        yield at_most(
            AREA, f"{mode}: {name}", replies.total_seconds, PREDICT_LIMIT_S, "s",
            f"{len(result.questions)} questions, measured here",
        )  # fmt: skip
        faults = ([replies.failure] if replies.failure else []) + replies.warnings
        right = f"{len(result.questions)} answers for {len(result.questions)} questions"
        state = "fail" if faults else "ok"
        figure = f"{len(faults)} faults" if faults else right
        yield Line(AREA, f"{mode}: {name}, replies", state, figure, "0", "", "; ".join(faults))
        told = f"ceiling {scores.ceiling:.3f}, echo {scores.echo:.3f}"
        speed = result.characters / replies.total_seconds if replies.total_seconds else 0.0
        figure = f"accuracy {scores.accuracy:.3f}, {speed:,.0f} characters/s"
        why = f"{told}; speed of this machine{demo}"
        yield Line(AREA, f"{mode}: {name}, score", "note", figure, "", "", why)


def _is_demo(info: Any) -> bool:
    manifest = info.get("manifest") or info.get("model") if isinstance(info, dict) else None
    return '"demo": true' in json.dumps(manifest)


@dataclass
class _Service:
    process: subprocess.Popen[bytes]
    port: int
    log: Path

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def wait_until_open(self, limit: float) -> None:
        """Until the port takes connections. Raises ServiceNotReadyError; at once if it ended."""
        deadline = time.monotonic() + limit
        while time.monotonic() < deadline:
            if (code := self.process.poll()) is not None:
                raise ServiceNotReadyError(f"the service ended with exit code {code}")
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", self.port)) == 0:
                    return
            time.sleep(0.2)
        raise ServiceNotReadyError(f"port {self.port} did not open within {limit:g} s")

    def last_words(self) -> str:
        """The last line of the log that names an error, else its last line."""
        lines = self.log.read_text(errors="replace").strip().splitlines() or ["nothing"]
        errors = [line for line in lines if re.search(r"\w(Error|Exception)\b", line)]
        return (errors or lines)[-1]


@contextmanager
def _service(checkout: Path, mode: str, environment: dict[str, str]) -> Iterator[_Service]:
    """The Dockerfile's command as a process of its own session, stopped at the end."""
    port = _free_port()
    with tempfile.TemporaryDirectory(prefix="preflight_caches_") as caches:
        # Where the image has /app and /tmp, this machine has the checkout and a scratch folder.
        places = {"/app/": f"{checkout}/", "/tmp/": f"{caches}/"}
        image = {
            name: re.sub("^/(app|tmp)/", lambda match: places[match.group()], value)
            for name, value in environment.items()
        }
        kept = {k: v for k, v in os.environ.items() if k not in ("HOME", "PREFLIGHT")}
        log = checkout.parent / f"service-{mode}.log"
        with log.open("wb") as stream:
            process = subprocess.Popen(
                _command(checkout, port),
                cwd=checkout,
                env={**kept, **image, "SERVE_MODE": mode},
                stdout=stream,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        try:
            yield _Service(process, port, log)
        finally:
            _stop(process)


def _command(checkout: Path, port: int) -> list[str]:
    text = (checkout / "Dockerfile").read_text(encoding="utf-8")
    found = re.findall(r"(?m)^CMD\s+(\[.*\])\s*$", text)
    words = json.loads(found[-1]) if found else ["uvicorn", "serve:app", "--port", "8000"]
    words = [str(port) if word == "8000" else word for word in words]
    if words[0] == "uvicorn":
        words = [sys.executable, "-m", *words]
    return words


def _stop(process: subprocess.Popen[bytes]) -> None:
    for sign in (signal.SIGTERM, signal.SIGKILL):
        try:
            os.killpg(process.pid, sign)
        except ProcessLookupError:
            return
        try:
            process.wait(15)
        except subprocess.TimeoutExpired:
            continue


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _raise_loopback() -> None:
    """What `ip link set lo up` does: SIOCSIFFLAGS with IFF_UP (Linux's netdevice(7))."""
    with socket.socket() as probe:
        fcntl.ioctl(probe, 0x8914, struct.pack("16sh14x", b"lo", 1))


def main() -> None:
    """The process inside the namespace."""
    told = json.loads(os.environ["PREFLIGHT"])
    if told["cut"]:
        _raise_loopback()
    checkout, out, *testsets = map(Path, sys.argv[1:])
    lines = _run(checkout, testsets, told["environment"])
    out.write_text(json.dumps([line.as_json() for line in lines]), encoding="utf-8")


if __name__ == "__main__":
    main()
