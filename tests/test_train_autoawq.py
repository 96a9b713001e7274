"""AutoAWQ's layout holds the same numbers as compressed-tensors'."""

import pytest

torch = pytest.importorskip("torch")

from train.autoawq import ORDER, convert_layer, pack_gemm, unpack_rows  # noqa: E402


def pack_plain(values):
    """compressed-tensors' order: eight values of a row in an int32, lowest first."""
    rows, columns = values.shape
    eights = values.to(torch.int64).reshape(rows, columns // 8, 8)
    packed = (eights << torch.arange(0, 32, 4)).sum(-1)
    return torch.where(packed >= 2**31, packed - 2**32, packed).to(torch.int32)


def unpack_gemm(packed):
    """AutoAWQ's own reading: shift out, then undo its order (written apart from the packing)."""
    rows, words = packed.shape
    out = torch.empty(rows, words * 8, dtype=torch.int32)
    for place, column in enumerate(ORDER):
        out[:, column::8] = (packed >> (4 * place)) & 15
    return out


def test_packing_keeps_every_value():
    values = torch.randint(0, 16, (5, 64), generator=torch.Generator().manual_seed(0))
    assert torch.equal(unpack_gemm(pack_gemm(values)), values.int())
    assert torch.equal(unpack_rows(pack_plain(values), 64), values.int())


@pytest.mark.parametrize("packed_zeros", [True, False])
def test_a_layer_means_the_same_in_both_layouts(packed_zeros):
    random = torch.Generator().manual_seed(1)
    rows, columns, group = 16, 256, 128
    weights = torch.randint(0, 16, (rows, columns), generator=random)
    zeros = torch.randint(0, 16, (rows, columns // group), generator=random)
    scale = torch.rand(rows, columns // group, generator=random) + 0.1
    meant = (weights - zeros.repeat_interleave(group, 1)) * scale.repeat_interleave(group, 1)
    stored = pack_plain(zeros.t().contiguous()).t() if packed_zeros else (zeros - 8).to(torch.int8)
    qweight, qzeros, scales = convert_layer(pack_plain(weights), scale, stored, (rows, columns))
    assert qweight.shape == (columns, rows // 8) and qzeros.shape == (columns // group, rows // 8)
    z = unpack_gemm(qzeros).repeat_interleave(group, 0)
    got = (unpack_gemm(qweight) - z) * scales.float().repeat_interleave(group, 0)
    torch.testing.assert_close(got.t(), meant, rtol=1e-3, atol=1e-3)
