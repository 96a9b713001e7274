"""The real service as a process, for as long as a comparison needs it."""

import os
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil

from judging.client import Replies, ServiceNotReadyError, ask, fetch_info, wait_for_service
from train.base import ModelError

ROOT = Path(__file__).parents[1]
START_LIMIT_S = 900.0  # a CPU under load; the judge's own 180 s are for its machine


@dataclass
class Served:
    """A running service; `load_seconds` from its start until it could answer."""

    url: str
    load_seconds: float
    info: dict[str, Any] = field(default_factory=dict)

    def answers(self, questions: Sequence[str], limit: float = 3600) -> Replies:
        """All questions in one call, as the judge sends them. Raises ModelError when it fails."""
        replies = ask(self.url, questions, "batch", limit)
        if replies.failure:
            raise ModelError(f"the service did not answer: {replies.failure}")
        self.info = fetch_info(self.url) or self.info  # its memory has now seen the work
        return replies


@contextmanager
def serve(model_dir: Path, python: Path, **variables: str) -> Iterator[Served]:
    """Start `serve:app` on a free port with `python`, wait until it answers, stop it at the end.

    Raises ModelError with the end of its log when it does not start.
    """
    if not python.is_file():
        raise ModelError(
            f"serve_python={python}: no such python; `bash run.sh` makes .venv, or set "
            "serve_python= to one that has vLLM"
        )
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    environment = {**os.environ, "MODEL_DIR": str(model_dir.resolve()), "SERVE_MODE": "batch"}
    environment |= {"PREDICT_BUDGET_S": "3500", "HEALTH_BUDGET_S": str(START_LIMIT_S), **variables}
    command = [str(python.absolute()), "-m", "uvicorn", "serve:app", "--port", str(port)]
    started = time.monotonic()
    with tempfile.NamedTemporaryFile(suffix=".log") as log:
        process = subprocess.Popen(
            command, cwd=ROOT, env=environment, stdout=log, stderr=log, start_new_session=True
        )
        try:
            url = f"http://127.0.0.1:{port}"
            _wait(process, url, Path(log.name), model_dir)
            yield Served(url, time.monotonic() - started, fetch_info(url) or {})
        finally:
            _stop(process)


def _wait(process: subprocess.Popen[bytes], url: str, log: Path, model_dir: Path) -> None:
    end = time.monotonic() + START_LIMIT_S
    while time.monotonic() < end:
        if process.poll() is not None:
            break
        try:
            wait_for_service(url, 2)
            return
        except ServiceNotReadyError:
            continue
    last = log.read_text(encoding="utf-8", errors="replace").splitlines()[-15:]
    raise ModelError(f"{model_dir}: the service did not start; its last words:\n" + "\n".join(last))


def _stop(process: subprocess.Popen[bytes]) -> None:
    """Stop the service and what it started, and nothing else."""
    try:
        family = psutil.Process(process.pid).children(recursive=True)
    except psutil.NoSuchProcess:
        family = []
    process.terminate()
    _, alive = psutil.wait_procs(family, timeout=15)
    for member in alive:
        member.kill()
    try:
        process.wait(15)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
