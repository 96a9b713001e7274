"""Made-up weights of quantized shapes: none of them zero, as spread out as real ones."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from bench import quantized_shapes
from bench.random_weights import WEIGHT_SPREAD, fill

ROOT = Path(__file__).parents[1]
# vLLM loads the shape and answers; told are its 8-bit weights' zeros and its scales, as loaded.
ASK = """
import sys
from vllm import LLM, SamplingParams
from bench import random_weights

made_up = random_weights.fill

def fill(tensors):
    made_up(tensors)
    weights = [t for n, t in tensors.items() if n.endswith("weight") and t.dtype.itemsize == 1]
    scales = [t for n, t in tensors.items() if n.endswith("weight_scale")]
    print("ZEROS", max(float((t == 0).float().mean()) for t in weights))
    print("SCALE", min(float(t.min()) for t in scales), len(scales) - len(weights))

random_weights.fill = fill
random_weights.use_random_weights()
llm = LLM(sys.argv[1], load_format="dummy", enforce_eager=True, max_model_len=256)
(said,) = llm.generate(["甲乙丙"], SamplingParams(max_tokens=24, temperature=0, ignore_eos=True))
print("SAID", len(said.outputs[0].token_ids))
"""


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


@pytest.mark.vllm
@pytest.mark.timeout(200)
def test_vllm_computes_with_them(tiny_model: Path, tmp_path: Path) -> None:
    quantized_shapes.main(tiny_model, tmp_path)
    model = tmp_path / f"{tiny_model.name}-int8"
    environment = {**os.environ, "VLLM_ENABLE_V1_MULTIPROCESSING": "0", "HF_HUB_OFFLINE": "1"}
    environment |= {"VLLM_CPU_KVCACHE_SPACE": "1", "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, "-c", ASK, str(model)], env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr[-2000:]
    told = dict(line.split(maxsplit=1) for line in done.stdout.splitlines() if line[:1].isupper())
    assert float(told["ZEROS"]) < 0.05
    smallest, more_scales_than_weights = told["SCALE"].split()
    assert float(smallest) > 0 and more_scales_than_weights == "0"
    assert told["SAID"] == "24"
