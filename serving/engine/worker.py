"""One engine of several, in a process of its own: `python -m serving.engine.worker FD`.

The process that started it (several.py) sends batches over the socket FD and gets answers back,
with each message the engine's figures. When that process is gone, or the engine is lost, this one
ends. Messages are pickled: both ends are this service's own.
"""

import contextlib
import gc
import importlib
import logging
import os
import queue
import signal
import sys
import threading
from dataclasses import dataclass
from multiprocessing.connection import Connection
from typing import Any

from common.before_imports import before_imports
from serving.engine.base import Answer, Batch, EngineError, ModelError
from serving.engine.messages import (
    Deadline,
    Failed,
    GiveBack,
    Go,
    Part,
    Ready,
    Report,
    ResetPrefixCache,
    Start,
)
from serving.engine.shares import Share
from serving.engine.vllm_engine import VllmEngine
from serving.logging_setup import set_up_logging
from serving.settings import Settings

log = logging.getLogger(__name__)

# How often figures are sent when nothing else is.
FIGURES_S = 0.2
# Exit code when the engine is lost.
LOST = 4


@dataclass(eq=False)
class _SentBatch(Batch):
    """A batch whose answers go to `sent` as they come."""

    number: int = 0
    sent: "queue.SimpleQueue[Any] | None" = None

    def finish(self, index: int, answer: Answer) -> None:
        super().finish(index, answer)
        self.sent.put(("answers", (self.number, index, self._answers[index])))

    def give_away(self, index: int) -> None:
        """Another engine answers it: it counts as done here, and nothing is sent."""
        super().finish(index, Answer("", 0, "cancelled"))

    def fail(self, error: EngineError) -> None:
        """What was written counts wherever the questions go next."""
        with self._lock:
            partial = list(self._partial.items())
        for index, answer in partial:
            self.sent.put(("partial", (self.number, index, answer)))
        super().fail(error)


class WorkerEngine(VllmEngine):
    """The engine, and the messages that are for its own thread."""

    def __init__(self, settings: Settings, share: Share, sent: "queue.SimpleQueue[Any]"):
        super().__init__(settings, share)
        self._sent = sent

    def _accept(self, batch: Any) -> None:
        if isinstance(batch, GiveBack):
            released = self._scheduler.release(batch.count)
            for request in released:
                request.batch.give_away(request.index)
            places = [(request.batch.number, request.index) for request in released]
            self._sent.put(("given_back", places))
        elif isinstance(batch, ResetPrefixCache):
            self._llm.llm_engine.reset_prefix_cache()
        else:
            super()._accept(batch)


class _Worker:
    """The process: a thread that sends, the main thread receives, the engine has its own."""

    def __init__(self, connection: Connection):
        self._connection = connection
        self._sent: queue.SimpleQueue[Any] = queue.SimpleQueue()
        start: Start = connection.recv()
        if start.hold:
            importlib.import_module("vllm").LLM  # noqa: B018 - it is imported when it is named
            if not isinstance(connection.recv(), Go):
                raise EOFError
        self._engine = WorkerEngine(start.settings, start.share, self._sent)
        self._batches: dict[int, _SentBatch] = {}

    def run(self) -> None:
        """Until told to stop, or the other end is gone."""
        try:
            self._engine.start()
        except EngineError as error:
            self._connection.send(Failed(str(error), isinstance(error, ModelError)))
            return
        gc.collect()
        gc.freeze()  # as the service does: what was loaded stays
        engine = self._engine
        self._connection.send(Ready(engine.info(), engine.max_model_len, engine.warmup_questions))
        threading.Thread(target=self._send, name="answers", daemon=True).start()
        with contextlib.suppress(EOFError, ConnectionError):
            while (message := self._connection.recv()) is not None:
                self._take(message)
        engine.stop()

    def _take(self, message: Any) -> None:
        if isinstance(message, Part):
            batch = _SentBatch(
                message.prompts,
                message.max_tokens,
                message.deadline,
                message.call,
                message.ignore_eos,
                message.draw_temperature,
                number=message.number,
                sent=self._sent,
            )
            self._batches = {n: b for n, b in self._batches.items() if not b.done.done()}
            self._batches[message.number] = batch
            # When the engine is lost this process ends, and the questions go to another.
            with contextlib.suppress(EngineError):
                self._engine.submit(batch)
        elif isinstance(message, Deadline):
            batch = self._batches.get(message.number)
            if batch is not None and message.cancelled:
                batch.cancel()
            elif batch is not None:
                batch.shorten_deadline(message.deadline)
        else:
            self._engine.submit(message)

    def _send(self) -> None:
        told: Report | None = None
        while True:
            lost = not self._engine.healthy()
            if lost:
                self._engine.stop()  # it still hands over what was written, unless it hangs
            report = Report()
            with contextlib.suppress(queue.Empty):
                self._add(report, self._sent.get(timeout=FIGURES_S))
                while not self._sent.empty():
                    self._add(report, self._sent.get())
            report.stats, report.recovering = self._engine.stats(), self._engine.recovering
            try:
                if report != told:
                    self._connection.send(report)
                if lost and self._sent.empty():
                    log.critical("the engine is lost: its process ends")
                    os._exit(LOST)
            except OSError:  # the other end is gone
                os._exit(0)
            told = report

    def _add(self, report: Report, item: Any) -> None:
        what, value = item
        if what == "given_back":
            report.given_back = [*(report.given_back or []), *value]
        else:
            getattr(report, what).append(value)


def main() -> None:
    """Serve the process at the other end of the socket."""
    # Ctrl-C reaches the whole group: the service decides when its engines end.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    set_up_logging()
    before_imports()
    with contextlib.suppress(EOFError, ConnectionError):  # not wanted any more, before it loaded
        _Worker(Connection(int(sys.argv[1]))).run()
    logging.shutdown()
    os._exit(0)  # whatever still runs belongs to nobody


if __name__ == "__main__":
    main()
