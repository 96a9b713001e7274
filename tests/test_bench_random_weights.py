"""Made-up weights of quantized shapes: none of them zero, as spread out as real ones."""

import json
import shutil
from pathlib import Path

import pytest
import torch

from bench import quantized_shapes
from bench.candidates import Candidates
from bench.processes import BenchError
from bench.random_model import write_random_model
from bench.random_weights import WEIGHT_SPREAD, fill
from bench.workload import load_workload
from common.model_files import model_files_problems


def unpacked(packed: torch.Tensor) -> torch.Tensor:
    """compressed-tensors' eight 4-bit numbers of each 32 bits, from -8 to 7."""
    shifts = torch.arange(0, 32, 4)
    return ((packed.unsqueeze(-1) >> shifts) & 15).flatten(1).float() - 8


def test_each_kind_of_weight_is_random_and_as_large_as_real_ones() -> None:
    tensors = {
        "a.weight": torch.zeros(64, 256, dtype=torch.int8),
        "a.weight_scale": torch.full((64, 1), -1e-3),
        "b.weight_packed": torch.zeros(64, 32, dtype=torch.int32),
        "b.weight_scale": torch.full((64, 2), -1e-3, dtype=torch.bfloat16),
        "b.weight_shape": torch.tensor([64, 256]),
        "c.weight": torch.zeros(64, 256).to(torch.float8_e4m3fn),
        "c.weight_scale": torch.full((1,), -1e-3),
        "c.input_scale": torch.full((1,), -1e-3),
        "norm.weight": torch.full((256,), 1e-3),
        "plain.weight": torch.full((4, 4), 1e-3),
    }
    fill(tensors)
    for stored, layer in [
        (tensors["a.weight"].float(), "a"),
        (unpacked(tensors["b.weight_packed"]), "b"),
        (tensors["c.weight"].float(), "c"),
    ]:
        assert float((stored == 0).float().mean()) < 0.1
        spread = float((stored * tensors[f"{layer}.weight_scale"].float().mean()).std())
        assert spread == pytest.approx(WEIGHT_SPREAD, rel=0.05)
    assert tensors["b.weight_shape"].tolist() == [64, 256]
    assert 0 < float(tensors["c.input_scale"]) < 1
    assert bool((tensors["norm.weight"] == 1).all())
    assert bool((tensors["plain.weight"] == torch.tensor(1e-3)).all())


def test_a_layout_that_is_not_known_is_named() -> None:
    with pytest.raises(ValueError, match="a.qweight"):
        fill({"a.qweight": torch.zeros(4, 4, dtype=torch.int32)})


@pytest.mark.parametrize("form", ["bf16", "awq"])
def test_a_models_files_hold_random_weights_as_large_as_real_ones(
    tiny_model: Path, tmp_path: Path, form: str
) -> None:
    from safetensors.torch import load_file

    shape = tmp_path / "shape"
    shutil.copytree(tiny_model, shape)
    config = json.loads((shape / "config.json").read_text())
    wide = {"hidden_size": 256, "intermediate_size": 512, "num_hidden_layers": 1, "head_dim": 64}
    (shape / "config.json").write_text(json.dumps(config | wide))
    write_random_model(shape, tmp_path / "made", form)
    assert model_files_problems(tmp_path / "made") == []
    tensors = load_file(tmp_path / "made/model.safetensors")
    name = "model.layers.0.mlp.down_proj.weight"
    if form == "awq":
        assert tensors[f"{name}_shape"].tolist() == [256, 512]
        weight = unpacked(tensors[f"{name}_packed"]) * tensors[f"{name}_scale"].float().mean()
    else:
        weight = tensors[name].float()
    assert weight.shape == (256, 512)
    assert float(weight.std()) == pytest.approx(WEIGHT_SPREAD, rel=0.05)
    assert bool((tensors["model.norm.weight"] == 1).all())


@pytest.mark.vllm
@pytest.mark.timeout(200)
@pytest.mark.slow
def test_the_benchs_service_computes_with_them_or_does_not_measure(
    tiny_model: Path, tmp_path: Path
) -> None:
    quantized_shapes.main(tiny_model, tmp_path)
    model = tmp_path / f"{tiny_model.name}-int8"
    work = load_workload(None, 2, 24)
    these = Candidates(model, work, ["--questions", "2", "--answer-tokens", "24"], 1, True, {})
    with these.fixed_service({"ENGINE_IN_PROCESS": "1"}) as (client, _):
        client.post("/bench/fix").raise_for_status()
        client.post("/predict", json={"prompt": list(work.questions)}).raise_for_status()
    with (
        pytest.raises(BenchError, match="weights of a quantized shape unwritten"),
        these.fixed_service({"ENGINE_IN_PROCESS": "0"}) as (client, _),
    ):
        client.post("/bench/fix").raise_for_status()
