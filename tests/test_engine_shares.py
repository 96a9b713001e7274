"""How many engines share a GPU, what each gets of it, and the service that lets them."""

import os
from pathlib import Path
from typing import Any

import pytest

from serving.engine.base import EngineError, ModelError
from serving.engine.devices import cpu, cuda, metax
from serving.engine.shares import GIB, cache_bytes, divided, engine_count
from serving.settings import Settings


def test_how_many_engines(monkeypatch: Any, tmp_path: Path) -> None:
    from serving.engine import shares

    (tmp_path / "model.safetensors").write_bytes(b"0" * 1000)
    monkeypatch.setattr(shares.os, "cpu_count", lambda: 24)
    monkeypatch.setattr(shares, "device_memory", lambda: 80 * GIB)
    assert engine_count(Settings(model_dir=tmp_path)) == 1
    auto = Settings(model_dir=tmp_path, engines_per_gpu="auto")
    assert engine_count(auto) == 2
    assert engine_count(auto.model_copy(update={"startup": "eager"})) == 1
    assert engine_count(auto.model_copy(update={"tensor_parallel_size": 2})) == 1
    assert engine_count(auto, with_book=True) == 1
    monkeypatch.setattr(shares, "device_memory", lambda: 16 * GIB)
    assert engine_count(auto) == 1
    three = Settings(model_dir=tmp_path, engines_per_gpu=3)
    assert engine_count(three) == 3
    assert engine_count(three.model_copy(update={"startup": "eager"})) == 1
    with pytest.raises(ModelError, match="TENSOR_PARALLEL_SIZE"):
        engine_count(three.model_copy(update={"tensor_parallel_size": 2}))


def test_the_memory_of_the_one_accelerator(monkeypatch: Any, tmp_path: Path) -> None:
    from serving.engine import shares

    monkeypatch.setattr(shares, "nvidia_memory", lambda: 80 * GIB)
    monkeypatch.setattr(shares, "METAX_FILE", str(tmp_path / "mxcd"))
    assert shares.device_memory() == 80 * GIB
    (tmp_path / "mxcd").touch()
    assert shares.device_memory() == 64 * 10**9


def test_each_gets_its_part_of_the_device(tmp_path: Path) -> None:
    part = divided(Settings(), cuda("H100"), 2)
    assert (part.max_num_seqs, part.gpu_memory_utilization) == (256, 0.45)
    assert divided(Settings(max_num_seqs=5), cpu("x"), 2).max_num_seqs == 3
    # As many as it has graphs for: two engines write the judge's 358 at once.
    assert divided(Settings(), metax("C500"), 2).max_num_seqs == 256
    assert divided(Settings(), cpu("x"), 2).max_num_seqs == 128
    weights = tmp_path / "model.safetensors"
    with weights.open("wb") as file:
        file.truncate(2 * GIB)
    arguments = {"gpu_memory_utilization": 0.45}
    known = {"kv_cache_memory_bytes"}
    (given,) = cache_bytes(arguments, known, tmp_path, 80 * GIB).values()
    assert given == 30 * GIB
    assert cache_bytes(arguments, set(), tmp_path, 80 * GIB) == {}  # 0.10.0
    assert cache_bytes(arguments | {"kv_cache_memory_bytes": 1}, known, tmp_path, 80 * GIB) == {}
    with pytest.raises(EngineError, match="fewer engines"):
        cache_bytes(arguments, known, tmp_path, 15 * GIB)


def test_the_multi_process_service_is_ours_and_ends(monkeypatch: Any, tmp_path: Path) -> None:
    from serving.engine.mps import CONTROL, MultiProcessService

    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    assert not MultiProcessService().start()  # it is not there
    control, told = tmp_path / CONTROL, tmp_path / "told"
    control.write_text(f'#!/bin/sh\n[ "$1" = -d ] || read word\necho "$1$word" >>{told}\n')
    control.chmod(0o755)
    mps = MultiProcessService()
    assert mps.start()
    folder = Path(os.environ["CUDA_MPS_PIPE_DIRECTORY"])
    assert folder.is_dir()
    mps.stop()
    assert told.read_text().split() == ["-d", "quit"]
    assert not folder.exists() and "CUDA_MPS_PIPE_DIRECTORY" not in os.environ
