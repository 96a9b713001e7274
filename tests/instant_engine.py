"""The real application on an engine that answers at once, for tests of what is around it."""

import threading
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any

import httpx
import uvicorn
from fastapi import FastAPI

from common.ports import free_port
from serving.answerer import Answerer
from serving.engine.base import Answer, Batch
from serving.http.app import create_app
from serving.settings import Settings


def in_seconds(seconds: float) -> float:
    """A deadline, on the engines' clock."""
    return time.monotonic() + seconds


class InstantEngine:
    """Answers each prompt with the number of its tokens."""

    name = "instant"
    max_model_len = 2048
    warmup_questions = 1
    recovering = False

    def start(self) -> None:
        pass

    def submit(self, batch: Batch) -> None:
        for index, prompt in enumerate(batch.prompts):
            batch.finish(index, Answer(str(len(prompt)), 1, "stop"))

    def healthy(self) -> bool:
        return True

    def stats(self) -> dict[str, float]:
        return {}

    def info(self) -> dict[str, Any]:
        return {"name": self.name}

    def stop(self) -> None:
        pass


class OneTokenACharacter:
    """As much of a tokenizer as prompts need."""

    chat_template = "yes"

    def apply_chat_template(self, chats: list[Any], **_: Any) -> list[str]:
        return ["".join(message["content"] for message in chat) for chat in chats]

    def __call__(self, texts: list[str], **_: Any) -> dict[str, list[list[int]]]:
        return {"input_ids": [[ord(letter) for letter in text] for text in texts]}

    def get_added_vocab(self) -> dict[str, int]:
        return {"<|im_end|>": 1, "<think>": 2}


class InstantAnswerer(Answerer):
    def _load_tokenizer(self) -> Any:
        return OneTokenACharacter()


async def start_instant(settings: Settings, restart: Any) -> tuple[Answerer, dict[str, Any]]:
    answerer = InstantAnswerer(InstantEngine(), settings)
    answerer.start()
    return answerer, {}


def instant_app(settings: Settings) -> FastAPI:
    """The application on the instant engine."""
    return create_app(settings, start=start_instant)


@asynccontextmanager
async def running_app(app: FastAPI) -> AsyncIterator[httpx.AsyncClient]:
    """A client of the application between its start-up and its end."""
    async with app.router.lifespan_context(app):
        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
            yield client


@contextmanager
def served_app(app: FastAPI) -> Iterator[str]:
    """The application behind uvicorn on a port of its own, in a thread; yields its address."""
    port = free_port()
    server = uvicorn.Server(uvicorn.Config(app, port=port, log_level="warning"))
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        while not server.started:
            assert thread.is_alive(), "the application does not start"
            time.sleep(0.01)
        yield f"http://127.0.0.1:{port}"
    finally:
        server.should_exit = True
        thread.join()
