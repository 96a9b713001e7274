"""What the gateway adds to a stream: nothing held back, nothing lost, little CPU; the engine is a
stand-in whose tokens come by the clock, all between it and the client is real."""

import asyncio
import json
import os
import re
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import psutil
import pytest

from bench.chat import Stream, engine_behind, session, stream
from bench.chat import load as load_test
from common.service_process import ServiceProcess, running
from tests import fake_engine
from tests.chat_server import PYTHON, load, needs_chat
from tests.conftest import ROOT
from tests.model_dirs import write_model

pytestmark = [needs_chat, pytest.mark.clock]
MODEL, TOKENS, TOKEN_S, IDLE_S = "model/fake", 20, 0.05, 0.2
# `python -m chat` that says, when signalled, how many objects the garbage collector leaves alone
# and how many it looks at.
CHAT = """
import gc, runpy, signal
def tell(*_): print("objects", gc.get_freeze_count(), len(gc.get_objects()), flush=True)
signal.signal(signal.SIGUSR1, tell)
runpy.run_module("chat", run_name="__main__")
"""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServiceProcess]:
    root = tmp_path_factory.mktemp("stream")
    write_model(root / MODEL)
    python = fake_engine.script(root / "python", PYTHON)
    command = [str(PYTHON), "-c", CHAT, "--port", "{port}", "--root", str(root)]
    command += ["--engine-python", str(python)]
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(fake_engine.TOKEN_S, str(TOKEN_S))
        patch.setenv(fake_engine.IDLE_S, str(IDLE_S))
        with running(command, cwd=ROOT, log=root / "chat.log") as service:
            service.wait_until_ready(120, "/health")
            load(service.url, MODEL)
            yield service


@pytest.mark.parametrize("clients", [1, 50])
def test_each_token_is_passed_on_when_it_comes(server: ServiceProcess, clients: int) -> None:
    streams, _ = asyncio.run(load_test(server.url, MODEL, clients, 2, TOKENS))
    assert [s.error for s in streams if s.error] == []
    assert {(s.tokens, len(s.times)) for s in streams} == {(TOKENS, TOKENS)}
    took = TOKENS * TOKEN_S
    for each in streams:
        assert each.times[-1] - each.times[0] > 0.5 * took  # 0.95, were the machine idle
        assert each.times[9] < each.times[-1] - 0.25 * took


def test_nothing_is_lost_to_connections_that_idle(server: ServiceProcess) -> None:
    async def rounds() -> list[Stream]:
        told = []
        async with session(server.url) as client:
            for _ in range(4):
                told += await asyncio.gather(*(stream(client, MODEL, "?", 2) for _ in range(20)))
                await asyncio.sleep(2 * IDLE_S)
        return told

    streams = asyncio.run(rounds())
    assert len(streams) == 80 and [s.error for s in streams if s.error] == []


def test_the_stand_in_closes_connections_that_idle(tmp_path: Path) -> None:
    command = [str(PYTHON), fake_engine.__file__, "--port", "{port}"]

    async def twice(url: str) -> list[str]:
        async with session(url) as client:
            first = await stream(client, MODEL, "?", 2)
            await asyncio.sleep(2 * IDLE_S)
            return [first.error, (await stream(client, MODEL, "?", 2)).error]

    environment = {**os.environ, fake_engine.IDLE_S: str(IDLE_S)}
    with running(command, environment=environment, log=tmp_path / "log") as service:
        service.wait_until_ready(60, "/health")
        first, second = asyncio.run(twice(service.url))
    assert not first and second


def test_connections_to_the_engine_are_used_again(server: ServiceProcess) -> None:
    def connections() -> set[int]:
        port = urlsplit(engine_behind(server.url, MODEL)[0]).port
        mine = psutil.Process(server.process.pid).net_connections("tcp")
        return {c.laddr.port for c in mine if c.raddr and c.raddr.port == port}

    async def ten() -> None:
        async with session(server.url) as client:
            for _ in range(10):
                assert not (await stream(client, MODEL, "?", 1)).error

    asyncio.run(ten())
    before = connections()
    asyncio.run(ten())
    assert before and before & connections()


@pytest.mark.parametrize("streamed", [True, False])
def test_who_hangs_up_at_whatever_moment_is_forgotten(
    server: ServiceProcess, streamed: bool
) -> None:
    asked = {"model": MODEL, "messages": [], "stream": streamed, "max_tokens": 1000}
    body = json.dumps(asked).encode()
    head = f"POST /v1/chat/completions HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: {len(body)}"

    async def hang_up(seconds: float) -> None:
        _, writer = await asyncio.open_connection("127.0.0.1", server.port)
        writer.write(head.encode() + b"\r\n\r\n" + body)
        await asyncio.sleep(seconds)
        writer.close()

    async def all_of_them() -> None:
        await asyncio.gather(*(hang_up(n / 1000) for n in range(100)))

    def answering() -> list[int]:
        told = httpx.get(f"{server.url}/chat/models").json()["models"]
        return [each["in_flight"] for each in told]

    asyncio.run(all_of_them())
    end = time.monotonic() + 10
    while answering() != [0]:
        assert time.monotonic() < end
        time.sleep(0.1)


def test_the_gateway_rests_when_nobody_asks(server: ServiceProcess) -> None:
    process = psutil.Process(server.process.pid)
    before = process.num_ctx_switches().voluntary
    time.sleep(2)
    woken = (process.num_ctx_switches().voluntary - before) / 2
    assert woken < 300  # times a second; 1,000 with Gradio's own polling


def test_what_gradio_leaves_in_memory_is_not_gone_through(server: ServiceProcess) -> None:
    server.process.send_signal(signal.SIGUSR1)
    end = time.monotonic() + 20
    while not (told := re.findall(r"objects (\d+) (\d+)", server.log.read_text("utf-8"))):
        assert time.monotonic() < end
        time.sleep(0.1)
    left_alone, looked_at = map(int, told[-1])
    assert left_alone > 5 * looked_at
