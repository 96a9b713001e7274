"""The real service as a process, for as long as a check or a comparison needs it."""

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from common.service_process import ServiceError, running
from judging.protocol import Replies, ask, fetch_info
from train.base import ModelError

ROOT = Path(__file__).parents[1]
START_LIMIT_S = 900.0  # a CPU under load; the judge's own 180 s are for its machine


@dataclass
class Served:
    """A running service. load_seconds: from its start until GET / answered; info: its GET /info."""

    url: str
    load_seconds: float
    info: dict[str, Any] = field(default_factory=dict)

    def answers(self, questions: Sequence[str], limit: float = 3600) -> Replies:
        """All questions in one call, as the judge sends them. Raises ModelError when it fails."""
        replies = ask(self.url, questions, "batch", limit)
        if replies.failure:
            raise ModelError(
                f"服务没有回答：{replies.failure}", f"the service did not answer: {replies.failure}"
            )
        # Again, because its peak of memory comes with the work.
        self.info = fetch_info(self.url) or self.info
        return replies


def need_python(python: Path) -> None:
    """Raise ModelError where there is no such python."""
    if not python.is_file():
        raise ModelError(
            f"serve_python={python}：没有这个 python；`bash run.sh` 会建好 .venv，"
            "或把 serve_python= 指向装有 vLLM 的 python",
            f"serve_python={python}: no such python; `bash run.sh` makes .venv, or set "
            "serve_python= to one that has vLLM",
        )


@contextmanager
def serve(model_dir: Path, python: Path, **variables: str) -> Iterator[Served]:
    """Start `serve:app` on a free port with `python`, wait until it answers, stop it at the end.

    Raises ModelError with the end of its log when it does not start.
    """
    need_python(python)
    command = [str(python.absolute()), "-m", "uvicorn", "serve:app", "--port", "{port}"]
    environment = {**os.environ, "MODEL_DIR": str(model_dir.resolve()), "SERVE_MODE": "batch"}
    environment |= {"PREDICT_BUDGET_S": "3500", "HEALTH_BUDGET_S": str(START_LIMIT_S), **variables}
    with running(command, cwd=ROOT, environment=environment) as service:
        try:
            seconds = service.wait_until_ready(START_LIMIT_S)
        except ServiceError as error:
            raise ModelError(f"{model_dir}: {error}") from error
        yield Served(service.url, seconds, fetch_info(service.url) or {})
