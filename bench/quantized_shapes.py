"""A model's shape in 4 and 8 bit, for random weights: config.json as llm-compressor writes it.

python -m bench.quantized_shapes SHAPE_DIR OUT_DIR      OUT_DIR/NAME, NAME-awq, NAME-int8, NAME-fp8
"""

import json
import shutil
from pathlib import Path
from typing import Annotated, Any

import typer

# Scheme and layout of train/quantize.py's `awq` and `int8` exports; fp8 here with the activations'
# scales fixed beforehand, unlike its `fp8` (and QUANTIZATION=fp8), which finds them for each token.
SHAPES = {
    "awq": ("W4A16", "pack-quantized"),
    "int8": ("W8A8", "int-quantized"),
    "fp8": ("FP8", "float-quantized"),
}


def quantized_config(config: dict[str, Any], name: str) -> dict[str, Any]:
    """A config.json's content with the quantization of SHAPES's `name`."""
    from compressed_tensors.quantization import QuantizationConfig, preset_name_to_scheme

    scheme, layout = SHAPES[name]
    quantization = QuantizationConfig(
        config_groups={"group_0": preset_name_to_scheme(scheme, ["Linear"])},
        ignore=["lm_head"],
        format=layout,
        quantization_status="compressed",
    )
    return config | {"quantization_config": quantization.model_dump(mode="json")}


def main(
    shape: Annotated[Path, typer.Argument(help="config.json and tokenizer files")],
    out: Annotated[Path, typer.Argument(help="where the directories go")],
) -> None:
    """Copy a shape, and make its quantized ones."""
    shutil.copytree(shape, out / shape.name)
    config = json.loads((shape / "config.json").read_text(encoding="utf-8"))
    for name in SHAPES:
        made = out / f"{shape.name}-{name}"
        shutil.copytree(shape, made)
        (made / "config.json").unlink()
        text = json.dumps(quantized_config(config, name), indent=1)
        (made / "config.json").write_text(text, encoding="utf-8")


if __name__ == "__main__":
    typer.run(main)
