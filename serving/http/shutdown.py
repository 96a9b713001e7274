"""Graceful shutdown: on TERM, and by itself when the engine is lost.

After TERM uvicorn waits for running calls, without end unless told otherwise. Here TERM also
shortens their deadlines, so that they end with partial answers before a supervisor kills.
"""

import asyncio
import logging
import os
import signal
import threading
from types import FrameType

from serving.answerer import Answerer
from serving.http.admission import Admission

log = logging.getLogger(__name__)

# Exit codes of the process; a supervisor should start it again after ENGINE_LOST only. (3 is a
# start that was not ready in time.)
CANNOT_START = 1
ENGINE_LOST = 4
# How often the engine's health is checked, and how long `GET /` says 503 before the process ends.
POLL_S = 0.5
UNHEALTHY_S = 2.0


def drain_on_signal(answerer: Answerer, admission: Admission, grace: float) -> None:
    """On TERM or INT admit no more calls and end running ones within `grace` seconds, then do what
    uvicorn does. Outside the main thread, where no signal can be caught, it does nothing."""
    if threading.current_thread() is not threading.main_thread():
        return
    for number in (signal.SIGTERM, signal.SIGINT):
        before = signal.getsignal(number)

        def handle(signum: int, frame: FrameType | None, before: object = before) -> None:
            if not admission.closed:
                log.warning("signal %d: running calls end within %g s", signum, grace)
            admission.closed = True
            answerer.drain(grace)
            if callable(before):
                before(signum, frame)

        signal.signal(number, handle)


async def stop_when_engine_lost(answerer: Answerer) -> None:
    """When the engine is lost, answer 503 for a moment, then stop as TERM does."""
    while answerer.engine.healthy():
        await asyncio.sleep(POLL_S)
    log.critical("the engine is lost: the service ends with exit code %d", ENGINE_LOST)
    await asyncio.sleep(UNHEALTHY_S)
    os.kill(os.getpid(), signal.SIGTERM)


def exit_process(code: int) -> None:
    """End the process with this code: uvicorn has no way to choose it."""
    logging.shutdown()
    os._exit(code)
