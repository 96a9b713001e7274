"""vLLM's arguments, of one GPU and of several; on a processor, processes stand in for GPUs."""

import importlib.util
from pathlib import Path
from typing import Any

import pytest

from serving.engine import devices
from serving.engine.arguments import core_in_process, engine_arguments
from serving.engine.base import EngineError
from serving.settings import Settings
from tests.conftest import running_service
from tests.test_faults import MANY, RIGHT, ask


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


def test_several_gpus_are_vllms_own_arguments_with_the_core_outside(model_dir: Path) -> None:
    settings, device = Settings(model_dir=model_dir, tensor_parallel_size=2), devices.cuda("H100")
    arguments = engine_arguments(settings, device)
    assert arguments["tensor_parallel_size"] == 2
    assert not core_in_process(settings, device, arguments)
    by_hand = Settings(model_dir=model_dir, engine_args={"pipeline_parallel_size": 2})
    assert not core_in_process(by_hand, device, engine_arguments(by_hand, device))


def test_ray_must_be_installed(model_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = Settings(model_dir=model_dir, distributed_executor_backend="ray")
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(EngineError, match="Ray is not installed"):
        engine_arguments(settings, devices.cuda("H100"))
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: name)
    arguments = engine_arguments(settings, devices.cuda("H100"))
    assert arguments["distributed_executor_backend"] == "ray"


def test_arguments_come_from_the_device_then_settings_then_engine_args(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text('{"max_position_embeddings": 1000}')
    device = devices.metax("C500")
    arguments = engine_arguments(Settings(model_dir=tmp_path), device)
    assert arguments["max_num_seqs"] == 256
    assert arguments["max_model_len"] == 1000
    chosen = Settings(model_dir=tmp_path, max_num_seqs=99, engine_args={"max_num_seqs": 7})
    assert engine_arguments(chosen, device)["max_num_seqs"] == 7
    eager = Settings(model_dir=tmp_path, startup="eager", max_num_seqs=64)
    arguments = engine_arguments(eager, device)
    assert (arguments["enforce_eager"], arguments["max_num_seqs"]) == (True, 64)


def test_graphs_are_captured_for_what_a_step_can_hold(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("{}")

    def sizes(device: devices.Device, **settings: Any) -> list[int]:
        arguments = engine_arguments(Settings(model_dir=tmp_path, **settings), device)
        return arguments.get("compilation_config", {}).get("cudagraph_capture_sizes", [])

    assert sizes(devices.cuda("H100"))[-5:] == [320, 358, 384, 448, 512]
    assert max(sizes(devices.metax("C500"))) == 256
    assert max(sizes(devices.wsl("4090"))) == 512  # 256 answers and the prompts beside them
    assert sizes(devices.cuda("H100"), max_num_seqs=100)[-5:] == [100, 112, 128, 160, 192]
    assert sizes(devices.cuda("H100"), enforce_eager=True) == []
    assert sizes(devices.cuda("H100"), startup="eager") == []
    assert sizes(devices.cpu("x")) == []
    own = {"compilation_config": {"cudagraph_capture_sizes": [7]}}
    assert sizes(devices.cuda("H100"), engine_args=own) == [7]


def test_awq_weights_on_metax_need_its_layout_and_float16(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text('{"quantization_config": {"quant_method": "awq"}}')
    settings = Settings(model_dir=tmp_path)
    on_metax = engine_arguments(settings, devices.metax("C500"))
    assert (on_metax["quantization"], on_metax["dtype"]) == ("awq", "float16")
    assert "quantization" not in engine_arguments(settings, devices.cuda("H100"))


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
