"""Two models at once, and switching between them while others ask; over the real vLLM."""

import asyncio
import shutil
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from bench.chat import load as load_test
from bench.chat import session, stream
from common.service_process import ServiceProcess
from tests.chat_server import chat, load, make_root, needs_chat, write_adapter

pytestmark = [needs_chat, pytest.mark.slow, pytest.mark.vllm]
FIRST, SECOND, LATE = "model/tiny", "out/second", "out/late/adapter"
LIMIT_S = 600


@pytest.fixture(scope="module")
def server(tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServiceProcess]:
    pytest.importorskip("vllm")
    root = make_root(tmp_path_factory.mktemp("models"), tiny_model)
    shutil.copytree(root / FIRST, root / SECOND)
    with chat(root) as service:
        load(service.url, FIRST)
        yield service


def loaded(server: ServiceProcess) -> list[str]:
    return httpx.get(f"{server.url}/health").json()["loaded"]


def ask(server: ServiceProcess, model: str) -> httpx.Response:
    message = {"role": "user", "content": "白鹭桥有多长？"}
    body = {"model": model, "messages": [message], "max_tokens": 8}
    return httpx.post(f"{server.url}/v1/chat/completions", json=body, timeout=LIMIT_S)


def test_a_request_waits_for_a_model_that_is_loaded_first(server: ServiceProcess) -> None:
    async def both() -> list:
        """Many ask for it at once: it is loaded once; the other one answers meanwhile."""
        async with session(server.url) as client:
            waiting = [stream(client, SECOND, "白鹭桥有多长？", 8) for _ in range(5)]
            (others, _), *told = await asyncio.gather(
                load_test(server.url, FIRST, clients=2, requests=20, max_tokens=16), *waiting
            )
            return [*others, *told]

    streams = asyncio.run(both())
    assert len(streams) == 45 and [s.error for s in streams if s.error] == []
    assert loaded(server) == [FIRST, SECOND]


def test_a_switch_lets_answers_end_and_no_one_is_lost(server: ServiceProcess) -> None:
    assert httpx.post(
        f"{server.url}/chat/models/unload", json={"model": SECOND}, timeout=120
    ).is_success

    async def both() -> tuple[list, int]:
        async def switch() -> int:
            async with httpx.AsyncClient(base_url=server.url, timeout=LIMIT_S) as admin:
                await asyncio.sleep(1)
                body = {"model": SECOND, "switch": True}
                return (await admin.post("/chat/models/load", json=body)).status_code

        (streams, _), code = await asyncio.gather(
            load_test(server.url, FIRST, clients=8, requests=6, max_tokens=200), switch()
        )
        return streams, code

    streams, code = asyncio.run(both())
    assert code == 200
    # Those that came after the unload waited until it was loaded once more.
    assert len(streams) == 48 and [s.error for s in streams if s.error] == []
    assert SECOND in loaded(server)


def test_an_adapter_trained_meanwhile_is_loaded_too(server: ServiceProcess) -> None:
    root = Path(server.log).parent
    write_adapter(root / LATE, root / SECOND)  # there was none for it when it was loaded
    assert ask(server, LATE).json()["model"] == LATE
    assert {SECOND, LATE} <= set(loaded(server))


def test_what_does_not_fit_or_is_broken_is_told(server: ServiceProcess) -> None:
    root = Path(server.log).parent
    shutil.copytree(root / FIRST, root / "out/broken")
    (root / "out/broken/model.safetensors").write_bytes(b"no weights")
    told = ask(server, "out/broken")
    assert told.status_code == 503 and "out/broken" in told.json()["error"]["message"]
    large = root / "out/large"
    shutil.copytree(root / FIRST, large)
    with (large / "model.safetensors").open("r+b") as stream_:
        stream_.truncate(1 << 42)  # a hole: no disk is used
    told = ask(server, "out/large")
    assert told.status_code == 503 and "unload another model first" in told.text
    assert ask(server, FIRST).is_success
