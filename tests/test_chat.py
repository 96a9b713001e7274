"""The chat's API over the real vLLM: OpenAI's client, adapters and models in and out."""

import asyncio
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import openai
import pytest

from bench.chat import load as load_test
from common.prompting import messages_for, system_prompt_for, talk_ids
from common.service_process import ServiceProcess
from tests.chat_server import chat, load, make_root, needs_chat
from tests.conftest import TINY_PAIRS

pytestmark = [needs_chat, pytest.mark.vllm]
MODEL, ADAPTER = "model/tiny", "out/tuned/adapter"
QUESTION, ANSWER = next(iter(TINY_PAIRS.items()))


@pytest.fixture(scope="module")
def server(tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServiceProcess]:
    pytest.importorskip("vllm")
    root = make_root(tmp_path_factory.mktemp("chat"), tiny_model)
    with chat(root, "--when-unloaded", "error") as service:
        load(service.url, MODEL)
        yield service


@pytest.fixture(scope="module")
def client(server: ServiceProcess) -> openai.OpenAI:
    return openai.OpenAI(base_url=f"{server.url}/v1", api_key="none", max_retries=0)


def ask(client: openai.OpenAI, model: str, **more: object) -> object:
    messages = [{"role": "user", "content": QUESTION}]
    return client.chat.completions.create(
        model=model, messages=messages, temperature=0, max_tokens=40, **more
    )


def running_requests(server: ServiceProcess) -> float:
    """As vLLM's own metric says, some seconds late."""
    told = httpx.get(f"{server.url}/chat/models").json()["models"]
    return sum(each.get("running", 0) for each in told)


def until(wanted: Callable[[], bool], limit: float = 30) -> None:
    end = time.monotonic() + limit
    while not wanted():
        assert time.monotonic() < end, "it did not come to that"
        time.sleep(0.1)


def test_the_openai_client_gets_the_same_answer_streamed_and_not(client: openai.OpenAI) -> None:
    whole = ask(client, MODEL).choices[0].message.content
    pieces = [e.choices[0].delta.content or "" for e in ask(client, MODEL, stream=True)]
    assert len(pieces) > 3 and "".join(pieces) == whole
    assert "120" in whole  # what the tiny model was trained on
    assert [model.id for model in client.models.list()] == [MODEL]
    told = client.completions.create(model=MODEL, prompt=QUESTION, max_tokens=3)
    assert told.usage.completion_tokens <= 3


def test_prompts_are_those_of_training(server: ServiceProcess, client: openai.OpenAI) -> None:
    from transformers import AutoTokenizer

    directory = Path(server.log).parent / "model/tiny"
    tokenizer = AutoTokenizer.from_pretrained(directory)
    (wanted,) = talk_ids(tokenizer, [messages_for(QUESTION, system_prompt_for(directory))])
    told = ask(client, MODEL, extra_body={"return_token_ids": True})
    assert told.model_extra["prompt_token_ids"] == wanted


def test_what_is_not_loaded_or_known_is_told_so(client: openai.OpenAI) -> None:
    with pytest.raises(openai.NotFoundError, match="not loaded; load it"):
        ask(client, ADAPTER)
    with pytest.raises(openai.NotFoundError, match="no model 'gpt-4'"):
        ask(client, "gpt-4")
    with pytest.raises(openai.BadRequestError):
        client.chat.completions.create(model=MODEL, messages="not a list")


def test_only_adapters_of_the_folder_are_loaded(server: ServiceProcess) -> None:
    told = httpx.post(
        f"{server.url}/v1/load_lora_adapter", json={"lora_name": "x", "lora_path": "/etc"}
    )
    assert told.status_code == 404 and "no adapter 'x'" in told.text


def test_adapters_come_and_go_while_others_are_answered(
    server: ServiceProcess, client: openai.OpenAI
) -> None:
    alone = ask(client, MODEL).choices[0].message.content
    beside: list[str] = []

    async def both() -> tuple[list, list[int]]:
        codes = []

        async def swap() -> None:
            openais = openai.AsyncOpenAI(base_url=f"{server.url}/v1", api_key="none", max_retries=0)
            async with httpx.AsyncClient(base_url=server.url, timeout=120) as admin, openais:
                # Once more than there are places for adapters: each load takes the next.
                for _ in range(5):
                    for call in ("load", "unload"):
                        path = f"/v1/{call}_lora_adapter"
                        codes.append(
                            (await admin.post(path, json={"lora_name": ADAPTER})).status_code
                        )
                        if call == "load":
                            names = (ADAPTER, *[MODEL] * 4)
                            asked = await asyncio.gather(*(ask(openais, n) for n in names))
                            beside.extend(a.choices[0].message.content for a in asked[1:])

        (streams, _), _ = await asyncio.gather(
            load_test(server.url, MODEL, clients=8, requests=4, max_tokens=32), swap()
        )
        return streams, codes

    streams, codes = asyncio.run(both())
    assert codes == [200] * 10
    assert set(beside) == {alone}  # whatever shares the base's batch
    assert len(streams) == 32 and [s.error for s in streams if s.error] == []
    # In one batch: the base's own answer, and the adapter's other one.
    assert httpx.post(
        f"{server.url}/v1/load_lora_adapter", json={"lora_name": ADAPTER}, timeout=60
    ).is_success
    plain, tuned = (ask(client, name).choices[0].message.content for name in (MODEL, ADAPTER))
    assert plain != tuned
    assert {model.id for model in client.models.list()} == {MODEL, ADAPTER}


def test_a_client_that_hangs_up_frees_its_slot(server: ServiceProcess) -> None:
    asked = 200  # answers of 1,900 tokens: far more than the wait below has time for

    def body(stream: bool) -> dict:
        message = {"role": "user", "content": "白鹭"}
        told = {"model": MODEL, "messages": [message], "stream": stream, "max_tokens": 1900}
        return told | {"ignore_eos": True, "n": asked}

    path = f"{server.url}/v1/chat/completions"
    with httpx.stream("POST", path, json=body(True), timeout=60) as answer:
        assert answer.status_code == 200
        lines = answer.iter_lines()  # kept: httpx hangs up when it is collected
        next(lines)
        until(lambda: running_requests(server) > 0)
    with pytest.raises(httpx.ReadTimeout):
        httpx.post(path, json=body(False), timeout=1)
    until(lambda: running_requests(server) == 0)


def test_an_unload_frees_memory_and_says_how_much(server: ServiceProcess) -> None:
    told = httpx.post(f"{server.url}/chat/models/unload", json={"model": MODEL}, timeout=120)
    freed = told.json()["freed"]
    print("memory before and after the unload:", freed)
    assert freed["after"]["processes"] == 0
    assert freed["host_bytes"] > 300 << 20  # torch and vLLM alone are more
    assert httpx.get(f"{server.url}/v1/models").json()["data"] == []
    again = httpx.post(f"{server.url}/chat/models/unload", json={"model": MODEL})
    assert again.status_code == 404
