"""What is put right in vLLM's adapters on a processor: tokens of the base have none."""

import pytest

from chat.cpu_server import EXPANDS, leaving_out_the_base

torch = pytest.importorskip("torch")
lora_ops = pytest.importorskip("vllm.lora.ops.torch_ops.lora_ops")


@pytest.mark.parametrize("name", EXPANDS)
def test_the_base_is_left_as_it_was_and_adapters_too(name: str) -> None:
    expand = getattr(lora_ops, name)
    more = (1, 4) if name.endswith("slice") else ()
    inputs, weights = torch.randn(3, 2), torch.randn(2, 1, 4 if more else 5, 2)
    before = torch.randn(3, 5)
    indices = torch.tensor([0, -1, 1])
    wrong, right, alone = before.clone(), before.clone(), before.clone()
    expand(inputs, weights, wrong, indices, *more)
    leaving_out_the_base(expand)(inputs, weights, right, indices, *more)
    assert not torch.equal(wrong[1], before[1])  # once this fails, vLLM has mended it
    assert torch.equal(right[1], before[1])
    assert torch.equal(right[::2], wrong[::2])
    leaving_out_the_base(expand)(inputs, weights, alone, torch.full((3,), -1), *more)
    assert torch.equal(alone, before)
