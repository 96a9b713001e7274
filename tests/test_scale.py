"""More than one GPU by vLLM's own settings; on a processor, several processes stand in for them."""

import importlib.util
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psutil
import pytest

from serving.engine import devices
from serving.engine.arguments import core_in_process, engine_arguments
from serving.engine.base import EngineError
from serving.settings import Settings
from tests.conftest import running_service
from tests.test_faults import MANY, RIGHT, ask, figures, kill_engine_process, metric, wait_for

BUDGET_S = 10


@pytest.fixture
def model_dir(tmp_path: Path) -> Path:
    (tmp_path / "config.json").write_text("{}", "utf-8")
    return tmp_path


def test_one_gpu_says_nothing_and_keeps_the_core_in_the_process(model_dir: Path) -> None:
    settings, device = Settings(model_dir=model_dir), devices.cuda("H100")
    arguments = engine_arguments(settings, device)
    assert not {name for name in arguments if "parallel" in name or "executor" in name}
    assert core_in_process(settings, device, arguments)


def test_asynchronous_scheduling_by_name_gets_a_process_of_its_own(model_dir: Path) -> None:
    device = devices.metax("C500")
    for wanted, in_process in ((True, False), (False, True)):
        settings = Settings(model_dir=model_dir, engine_args={"async_scheduling": wanted})
        assert core_in_process(settings, device, engine_arguments(settings, device)) == in_process


@pytest.mark.parametrize("name", ["tensor_parallel_size", "data_parallel_size"])
def test_several_gpus_are_vllms_own_arguments_with_the_core_outside(
    model_dir: Path, name: str
) -> None:
    settings, device = Settings(model_dir=model_dir, **{name: 2}), devices.cuda("H100")
    arguments = engine_arguments(settings, device)
    assert arguments[name] == 2
    assert not core_in_process(settings, device, arguments)
    by_hand = Settings(model_dir=model_dir, engine_args={"pipeline_parallel_size": 2})
    assert not core_in_process(by_hand, device, engine_arguments(by_hand, device))


def test_copies_in_one_process_are_refused_with_what_to_do(model_dir: Path) -> None:
    settings = Settings(model_dir=model_dir, data_parallel_size=2, engine_in_process=True)
    with pytest.raises(EngineError, match="leave ENGINE_IN_PROCESS unset"):
        engine_arguments(settings, devices.cuda("H100"))


def test_ray_must_be_installed(model_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = Settings(model_dir=model_dir, distributed_executor_backend="ray")
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(EngineError, match="Ray is not installed"):
        engine_arguments(settings, devices.cuda("H100"))
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: name)
    arguments = engine_arguments(settings, devices.cuda("H100"))
    assert arguments["distributed_executor_backend"] == "ray"


# On a processor vLLM wants a NUMA node for each process, unless it is told not to bind them; the
# start, which on two cores takes over a minute, is allowed its time.
ON_A_PROCESSOR = {"VLLM_CPU_OMP_THREADS_BIND": "nobind", "HEALTH_BUDGET_S": "400"}


@pytest.mark.slow  # several processes on two cores: minutes
@pytest.mark.vllm
def test_a_model_over_two_workers_answers_as_over_one(tiny_model: Path, tmp_path: Path) -> None:
    variables = {"MODEL_DIR": str(tiny_model), "TENSOR_PARALLEL_SIZE": "2", **ON_A_PROCESSOR}
    with running_service(tmp_path, **variables) as service:
        service.wait_until_ready(400)
        assert ask(service, MANY) == RIGHT


@pytest.mark.slow
@pytest.mark.vllm
@pytest.mark.timeout(1200)
def test_two_copies_answer_as_one_keep_deadlines_and_survive_a_loss(
    tiny_model: Path, tmp_path: Path
) -> None:
    variables = {
        "MODEL_DIR": str(tiny_model),
        "DATA_PARALLEL_SIZE": "2",
        "MAX_NUM_SEQS": "16",
        "PREDICT_BUDGET_S": str(BUDGET_S),
        **ON_A_PROCESSOR,
    }
    with running_service(tmp_path, **variables) as service:
        service.wait_until_ready(400)
        assert figures(service)["slots"] == 32
        assert ask(service, MANY) == RIGHT
        began = time.monotonic()
        many = ask(service, MANY * 400)  # more than there is time for
        assert time.monotonic() - began < BUDGET_S + 3
        assert len(many) == len(MANY) * 400
        assert sum(map(bool, many)) > 100
        assert all(
            right.startswith(answer.rstrip("\ufffd"))
            for answer, right in zip(many, RIGHT * 400, strict=True)
        )
        assert ask(service, MANY) == RIGHT
        with ThreadPoolExecutor(1) as pool:
            pending = pool.submit(ask, service, MANY * 400)
            wait_for(lambda: figures(service)["running"] > 0)
            kill_engine_process(service)
            assert len(pending.result()) == len(MANY) * 400
        wait_for(lambda: figures(service)["remakes"] == 1)
        wait_for(lambda: metric(service, "serving_engine_recovering") == 0, 200)
        assert ask(service, MANY) == RIGHT
        family = psutil.Process(service.process.pid).children(recursive=True)
        service.process.terminate()
        service.process.wait(10)
        _, left = psutil.wait_procs(family, timeout=20)
        assert left == []
