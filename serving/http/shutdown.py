"""How the service ends: on TERM with what there is, and by itself when its engine is lost.

uvicorn waits for running calls after TERM, without end unless told. Here TERM also brings their
deadlines forward, so that they end with what they have, in time before a supervisor kills.
"""

import asyncio
import logging
import os
import signal
import threading
from types import FrameType

from serving.answerer import Answerer
from serving.http.admission import Entrance

log = logging.getLogger("serving.http.shutdown")

# The exit code that tells a supervisor to start the service again: its engine is lost. (3 is a
# start that was not ready in time, 1 settings or a model that cannot be used.)
ENGINE_LOST = 4
# How often the engine is looked at, and how long `GET /` goes on saying 503 before the end.
LOOK_EVERY_S = 0.5
LAST_WORDS_S = 2.0


def hurry_on_term(answerer: Answerer, entrance: Entrance, grace: float) -> None:
    """On TERM or INT take no more calls and end running ones after `grace` seconds; what uvicorn
    does on them follows. Outside the main thread, where nothing can be caught, it does nothing."""
    if threading.current_thread() is not threading.main_thread():
        return
    for number in (signal.SIGTERM, signal.SIGINT):
        before = signal.getsignal(number)

        def handle(signum: int, frame: FrameType | None, before: object = before) -> None:
            if not entrance.closed:
                log.warning("signal %d: running calls end within %g s", signum, grace)
            entrance.closed = True
            answerer.hurry(grace)
            if callable(before):
                before(signum, frame)

        signal.signal(number, handle)


async def leave_when_lost(answerer: Answerer, entrance: Entrance) -> None:
    """When the engine is lost for good: let running calls end, say 503 a little, then stop."""
    while answerer.engine.healthy():
        await asyncio.sleep(LOOK_EVERY_S)
    log.critical("the engine is lost: the service ends with exit code %d", ENGINE_LOST)
    await asyncio.sleep(LAST_WORDS_S)
    os.kill(os.getpid(), signal.SIGTERM)
