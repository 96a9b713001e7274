"""AutoAWQ's `gemm` layout from a compressed-tensors export: the one old vLLM builds read.

Layout after AutoAWQ's WQLinear_GEMM: `qweight` int32 [in, out/8], `qzeros` int32 [in/group, out/8],
`scales` float16 [in/group, out]; the eight 4-bit values of an int32 hold the outputs
0 2 4 6 1 3 5 7, lowest bits first.
"""

import json
from pathlib import Path
from typing import Any

ORDER = (0, 2, 4, 6, 1, 3, 5, 7)


def unpack_rows(packed: Any, columns: int) -> Any:
    """compressed-tensors' int32 [rows, columns/8] → values 0 … 15 [rows, columns], lowest first."""
    import torch

    shifts = torch.arange(0, 32, 4, dtype=torch.int32)
    values = (packed.unsqueeze(-1) >> shifts) & 15
    return values.reshape(packed.shape[0], -1)[:, :columns]


def pack_gemm(values: Any) -> Any:
    """Values 0 … 15 [rows, columns] → int32 [rows, columns/8] in AutoAWQ's order."""
    import torch

    rows, columns = values.shape
    eights = values.to(torch.int64).reshape(rows, columns // 8, 8)[:, :, list(ORDER)]
    shifts = torch.arange(0, 32, 4, dtype=torch.int64)
    packed = (eights << shifts).sum(-1)
    # The highest value may set the sign bit: take the same 32 bits as a signed number.
    return torch.where(packed >= 2**31, packed - 2**32, packed).to(torch.int32)


def convert_layer(packed: Any, scale: Any, zero_point: Any, shape: tuple[int, int]) -> Any:
    """One linear layer, [out, in] packed along `in`, as (qweight, qzeros, scales) of AutoAWQ.

    Both keep w = (q - z) · s; compressed-tensors stores q and z shifted by 8 as unsigned values,
    so they carry over as they are.
    """
    import torch

    rows, columns = shape
    groups = scale.shape[1]
    weights = unpack_rows(packed, columns)
    if zero_point.dtype == torch.int32:  # packed along `out`: [out/8, groups]
        zeros = unpack_rows(zero_point.t().contiguous(), rows).t()
    else:
        zeros = zero_point.to(torch.int32) + 8
    if zeros.shape != (rows, groups):
        raise ValueError(f"zero points {tuple(zeros.shape)}, expected {(rows, groups)}")
    return (
        pack_gemm(weights.t().contiguous()),
        pack_gemm(zeros.t().contiguous()),
        scale.t().contiguous().to(torch.float16),
    )


def convert_to_gemm(directory: Path, group: int) -> None:
    """Rewrite a compressed-tensors W4A16_ASYM export in place, weights and config.json.

    All other tensors become float16, the data type of these kernels.
    """
    import torch
    from safetensors.torch import load_file, save_file

    for path in sorted(directory.glob("*.safetensors")):
        tensors = load_file(path)
        converted: dict[str, Any] = {}
        for name, tensor in tensors.items():
            stem, _, kind = name.rpartition(".")
            if kind in ("weight_scale", "weight_zero_point", "weight_shape"):
                continue
            if kind == "weight_packed":
                shape = tuple(tensors[f"{stem}.weight_shape"].tolist())
                zeros = tensors[f"{stem}.weight_zero_point"]
                parts = convert_layer(tensor, tensors[f"{stem}.weight_scale"], zeros, shape)
                for key, part in zip(("qweight", "qzeros", "scales"), parts, strict=True):
                    converted[f"{stem}.{key}"] = part
            else:
                converted[name] = tensor.to(torch.float16)
        save_file(converted, path, metadata={"format": "pt"})
    index = directory / "model.safetensors.index.json"
    if index.is_file():
        _rewrite_index(directory, index)
    path = directory / "config.json"
    config = json.loads(path.read_text(encoding="utf-8"))
    config["torch_dtype"] = "float16"
    config.pop("dtype", None)
    config["quantization_config"] = {
        "quant_method": "awq",
        "bits": 4,
        "group_size": group,
        "zero_point": True,
        "version": "gemm",
        "modules_to_not_convert": ["lm_head"],
    }
    path.write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")


def _rewrite_index(directory: Path, index: Path) -> None:
    from safetensors import safe_open

    names: dict[str, str] = {}
    for path in sorted(directory.glob("*.safetensors")):
        with safe_open(path, "pt") as tensors:
            names |= dict.fromkeys(tensors.keys(), path.name)
    size = sum(path.stat().st_size for path in directory.glob("*.safetensors"))
    text = json.dumps({"metadata": {"total_size": size}, "weight_map": names}, indent=2)
    index.write_text(text + "\n", encoding="utf-8")
