"""The floor of a batch, against sums done by hand."""

import json
from pathlib import Path

import pytest

from bench.roofline import Chip, floor_seconds

CONFIG = {
    **{"hidden_size": 8, "num_hidden_layers": 2, "intermediate_size": 16, "vocab_size": 32},
    **{"num_attention_heads": 2, "num_key_value_heads": 1},
}
# A layer: q 8x8, o 8x8, k and v 8x4, three of 8x16. Output: 8x32.
LINEAR, OUTPUT = 2 * (64 + 64 + 32 + 32 + 3 * 128), 256
KV = 2 * 2 * 2 * 4  # k and v, two bytes, two layers, four numbers


@pytest.fixture
def config(tmp_path: Path) -> Path:
    path = tmp_path / "config.json"
    path.write_text(json.dumps(CONFIG))
    return path


def test_memory_bounds_a_chip_that_computes_fast(config: Path) -> None:
    chip = Chip("", bytes_s=1.0, flop_s=1e12)
    weights = 2 * (LINEAR + OUTPUT)
    # Three steps: all prompts; both answers' second token; the longer one's third.
    expected = weights + (weights + KV * (5 + 1 + 3 + 1)) + (weights + KV * (5 + 2))
    assert floor_seconds(config, [5, 3], [3, 2], chip) == pytest.approx(expected)
    small = LINEAR / 2 + 2 * OUTPUT
    expected = 3 * small + KV * (10 + 7)
    assert floor_seconds(config, [5, 3], [3, 2], chip, weight_bits=4) == pytest.approx(expected)


def test_products_bound_a_chip_that_reads_fast(config: Path) -> None:
    chip = Chip("", bytes_s=1e12, flop_s=1.0)
    decode = 2 * (LINEAR + OUTPUT) * (2 + 1)
    whole = floor_seconds(config, [5, 3], [3, 2], chip)
    assert whole == pytest.approx(2 * LINEAR * 8 + decode)
    # Two tokens that both begin with and are there already are not computed again.
    assert floor_seconds(config, [5, 3], [3, 2], chip, shared=2) == pytest.approx(
        2 * LINEAR * 4 + decode
    )
