"""Loads, switches and unloads that meet each other; engines are stand-ins that only take time."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from chat import registry as module
from chat.catalogue import Model
from chat.engine import Engine
from chat.errors import LoadError, NotLoadedError
from chat.listing import choices, quick_first, status
from chat.memory import Memory
from chat.registry import Registry
from chat.settings import ChatSettings
from tests.chat_server import write_adapter
from tests.model_dirs import write_model

TAKES_S = 0.2


class Standin(Engine):
    """Starts and stops in no process; `log` has what happened, in order."""

    log: list[str] = []

    def start(self) -> None:
        self.log.append(f"start {self.model.id} rank {self.rank}")
        time.sleep(TAKES_S)
        if "broken" in self.model.id:
            self.state, self.problem = "failed", "no weights"
            raise LoadError("no weights")
        self.state = "ready"
        self.log.append(f"ready {self.model.id}")

    def stop(self) -> None:
        time.sleep(TAKES_S)
        self.state = "stopped"
        self.log.append(f"stopped {self.model.id}")

    def memory(self) -> Memory:
        return Memory(0, 0, None)

    async def load_adapter(self, adapter, client) -> None:  # noqa: ANN001
        self.adapters[adapter.id] = adapter


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable:
    for name in ("model/a", "model/b", "model/broken"):
        write_model(tmp_path / name)
    monkeypatch.setattr(module, "Engine", Standin)
    monkeypatch.setattr(Standin, "log", [])

    def run(what: Callable[[Registry], Awaitable]) -> list[str]:
        async def all_of_it() -> None:
            registry = Registry(ChatSettings(root=tmp_path))
            async with registry.running():
                await what(registry)
                assert set(registry.engines) == {
                    name for name, e in registry.engines.items() if e.state in ("ready", "failed")
                }

        asyncio.run(all_of_it())
        return Standin.log

    return run


def test_many_requests_load_a_model_once_and_models_one_after_another(run) -> None:
    async def what(registry: Registry) -> None:
        names = ["model/a"] * 5 + ["model/b"] * 5
        targets = await asyncio.gather(*(registry.target(name) for name in names))
        assert [target.name for target in targets] == names

    assert run(what)[:4] == [
        *("start model/a rank 0", "ready model/a"),
        *("start model/b rank 0", "ready model/b"),
    ]


def test_a_load_during_an_unload_waits_for_it(run) -> None:
    async def what(registry: Registry) -> None:
        await registry.load("model/a")
        freed, engine = await asyncio.gather(registry.unload("model/a"), registry.load("model/a"))
        assert freed.seconds >= TAKES_S and engine is registry.engines["model/a"]
        twice = (registry.unload("model/a"), registry.unload("model/a"))
        freed, error = await asyncio.gather(*twice, return_exceptions=True)
        assert freed.seconds >= TAKES_S and isinstance(error, NotLoadedError)

    log = run(what)
    assert log[2:5] == ["stopped model/a", "start model/a rank 0", "ready model/a"]


def test_a_switch_waits_for_answers_and_unloads_before_it_loads(run) -> None:
    async def what(registry: Registry) -> None:
        first = await registry.load("model/a")
        with first.busy():
            switching = asyncio.create_task(registry.load("model/b", switch=True))
            await asyncio.sleep(2 * TAKES_S)
            assert "stopped model/a" not in Standin.log  # it is still answering
        await switching
        assert registry.names() == ["model/b"]

    assert run(what)[2:4] == ["stopped model/a", "start model/b rank 0"]


def test_a_load_that_fails_is_told_to_all_and_tried_again_later(run) -> None:
    async def what(registry: Registry) -> None:
        for _ in range(2):
            told = await asyncio.gather(
                *(registry.load("model/broken") for _ in range(3)), return_exceptions=True
            )
            assert [str(error) for error in told] == ["no weights"] * 3
        assert status(registry)[0]["problem"] == "no weights"
        await registry.load("model/a")

    assert run(what).count("start model/broken rank 0") == 2


def test_an_adapter_that_came_later_has_its_base_loaded_again(run, tmp_path: Path) -> None:
    async def what(registry: Registry) -> None:
        await registry.load("model/a")
        model: Model = registry.found().models["model/a"]
        write_adapter(tmp_path / "out/late/adapter", model.path, rank=64)
        target = await registry.target("out/late/adapter")
        assert target.engine.rank == 64 and registry.names() == ["model/a", "out/late/adapter"]
        stable = ["model/a", "out/late/adapter", "model/b", "model/broken"]
        assert choices(registry) == stable
        await registry.unload("model/a")
        loading = asyncio.create_task(registry.load("model/b"))
        await asyncio.sleep(TAKES_S / 4)
        assert quick_first(registry)[0] == "model/b"  # what is asked for, as soon as it loads
        await loading
        assert choices(registry) == stable and quick_first(registry)[0] == "model/b"

    assert run(what)[2:4] == ["stopped model/a", "start model/a rank 64"]
