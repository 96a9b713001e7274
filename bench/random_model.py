"""A model directory of random weights in files, for a shape: config.json and tokenizer alone.

    python -m bench.random_model SHAPE_DIR OUT_DIR [--form awq]

Unlike vLLM's `load_format="dummy"` (bench/random_weights.py) the files serve every candidate alike:
several processes, raw vLLM, `vllm serve`, 4 bit as well. What such a model says means nothing.
"""

import json
import shutil
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from bench.quantized_shapes import quantized_config
from bench.random_weights import INT4_SPREAD, WEIGHT_SPREAD
from common.model_shape import GROUP

RandomForm = Literal["bf16", "awq"]


def write_random_model(shape: Path, out: Path, form: RandomForm = "bf16") -> None:
    """Write `out` with the shape's config.json and tokenizer, and one file of random weights.

    awq: W4A16 of all linear modules but lm_head, packed as compressed-tensors does it
    (llm-compressor's AWQ export).
    """
    import torch
    from safetensors.torch import save_file
    from transformers import AutoConfig, AutoModelForCausalLM

    shutil.copytree(shape, out, ignore=shutil.ignore_patterns("*.safetensors*"))
    config = json.loads((shape / "config.json").read_text(encoding="utf-8"))
    with torch.device("meta"):
        model = AutoModelForCausalLM.from_config(AutoConfig.from_pretrained(shape))
    packed = {
        f"{name}.weight"
        for name, module in model.named_modules()
        if form == "awq" and isinstance(module, torch.nn.Linear) and name != "lm_head"
    }
    device = "cuda" if torch.cuda.is_available() else "cpu"
    random = torch.Generator(device=device).manual_seed(0)
    tensors: dict[str, Any] = {}
    for name, like in model.state_dict().items():
        if name == "lm_head.weight" and config.get("tie_word_embeddings"):
            continue
        if name in packed:
            tensors |= _four_bits(name, tuple(like.shape), random)
            continue
        drawn = torch.empty(like.shape, dtype=torch.bfloat16, device=device)
        if like.dim() == 1 and name.endswith("norm.weight"):
            drawn.fill_(1.0)
        else:
            drawn.normal_(0.0, WEIGHT_SPREAD, generator=random)
        tensors[name] = drawn.cpu()
    save_file(tensors, out / "model.safetensors", metadata={"format": "pt"})
    if packed:
        config = quantized_config(config, "awq")
    config["torch_dtype"] = "bfloat16"
    (out / "config.json").unlink()  # the copy may be read-only
    (out / "config.json").write_text(json.dumps(config, indent=1), encoding="utf-8")


def _four_bits(name: str, shape: tuple[int, ...], random: Any) -> dict[str, Any]:
    """A linear module's weight, eight in 32 bits, with a scale for each group of 128."""
    import torch

    rows, columns = shape
    drawn = torch.empty((rows, columns // 8), dtype=torch.int32, device=random.device)
    drawn.view(torch.uint8).random_(0, 256, generator=random)
    scale = torch.full((rows, columns // GROUP), WEIGHT_SPREAD / INT4_SPREAD, dtype=torch.bfloat16)
    return {
        f"{name}_packed": drawn.cpu(),
        f"{name}_scale": scale,
        f"{name}_shape": torch.tensor([rows, columns]),
    }


def main(
    shape: Annotated[Path, typer.Argument(help="config.json and tokenizer files")],
    out: Annotated[Path, typer.Argument(help="a new directory")],
    form: Annotated[RandomForm, typer.Option(help="bf16 or awq")] = "bf16",
) -> None:
    """Make a model of random weights."""
    write_random_model(shape, out, form)


if __name__ == "__main__":
    typer.run(main)
