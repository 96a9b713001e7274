"""The floor of a batch, against sums done by hand."""

import pytest

from common.device_table import Device
from common.model_shape import Shape, shape_of
from common.roofline import floor_seconds
from tests.shapes import QWEN2_0_5B, QWEN3_4B

CONFIG = {
    "model_type": "llama",
    "hidden_size": 8,
    "num_hidden_layers": 2,
    "intermediate_size": 16,
    "vocab_size": 32,
    "num_attention_heads": 2,
    "num_key_value_heads": 1,
}
# A layer: q 8x8, o 8x8, k and v 8x4, three of 8x16, two norms of 8. Output: 8x32. A last norm of 8.
LINEAR, OUTPUT, NORMS = 2 * (64 + 64 + 32 + 32 + 3 * 128), 256, 2 * 2 * 8 + 8
KV = 2 * 2 * 2 * 4  # k and v, two bytes, two layers, four numbers


def small(**changes: object) -> Shape:
    return shape_of(CONFIG | changes, "small")


def device(bytes_per_s: float, flops_per_s: float | None) -> Device:
    return Device("x", "x", "cuda", 1e9, bytes_per_s, flops_per_s, 512, "made up")


def floor(shape: Shape, form: str, target: Device, **options: int) -> float:
    return floor_seconds(shape, shape.weight_bytes(form), [5, 3], [3, 2], target, **options)


@pytest.mark.parametrize("tied", [True, False])
def test_memory_bounds_a_device_that_computes_fast(tied: bool) -> None:
    # Untied, the input embedding is as large as lm_head and not read: only rows are looked up.
    shape, target = small(tie_word_embeddings=tied), device(1.0, 1e12)
    weights = 2 * (LINEAR + OUTPUT + NORMS)
    # Three steps: all prompts; both answers' second token; the longer one's third.
    expected = weights + (weights + KV * (5 + 1 + 3 + 1)) + (weights + KV * (5 + 2))
    assert floor(shape, "bf16", target) == pytest.approx(expected)
    assert floor(shape, "bf16", device(1.0, None)) == pytest.approx(expected)
    half = LINEAR + 2 * (OUTPUT + NORMS)
    assert floor(shape, "int8", target) == pytest.approx(3 * half + KV * (10 + 7))


def test_products_bound_a_device_that_reads_fast() -> None:
    target = device(1e12, 1.0)
    decode = 2 * (LINEAR + OUTPUT) * (2 + 1)
    assert floor(small(), "bf16", target) == pytest.approx(2 * LINEAR * 8 + decode)
    # Two tokens that both begin with and are there already are not computed again.
    shared = floor(small(), "bf16", target, shared=2)
    assert shared == pytest.approx(2 * LINEAR * 4 + decode)
    rows = small(), 2 * (LINEAR + OUTPUT + NORMS), [5, 3], [3, 2], target
    assert floor_seconds(*rows, shared=[0, 3]) == pytest.approx(2 * LINEAR * 5 + decode)


def test_answers_beyond_max_num_seqs_wait_for_a_slot() -> None:
    weights = 2 * (LINEAR + OUTPUT + NORMS)
    # One after the other: three steps, then two, with the KV cache of one at a time.
    expected = 5 * weights + KV * (6 + 7) + KV * 4
    one = floor(small(), "bf16", device(1.0, 1e12), max_num_seqs=1)
    assert one == pytest.approx(expected)
    # Both products of a step in which one answer is written and another prompt is read.
    rows = ([5, 3, 4], [3, 1, 1], device(1e12, 1.0))
    mixed = floor_seconds(small(), weights, *rows, max_num_seqs=2)
    assert mixed == pytest.approx(2 * LINEAR * 12 + 2 * (LINEAR + OUTPUT) * 2)


def test_biases_and_norms_are_read_as_well() -> None:
    shape = shape_of(QWEN2_0_5B, "it")
    one = floor_seconds(shape, shape.weight_bytes("bf16"), [9], [1], device(1.0, None))
    assert one == 2 * 494_032_768


def test_a_quantized_model_is_faster_by_its_bytes() -> None:
    shape, target = shape_of(QWEN3_4B, "it"), device(3e12, 790e12)
    lengths = ([85] * 4, [100] * 4)
    bf16, awq = (
        floor_seconds(shape, shape.weight_bytes(form), *lengths, target) for form in ("bf16", "awq")
    )
    assert awq / bf16 == pytest.approx(shape.weight_bytes("awq") / 2 / shape.parameters, rel=0.05)
