"""Quantized exports by llm-compressor: AWQ, GPTQ, FP8, int8; AWQ also in AutoAWQ's layout; and
bitsandbytes' 8 and 4 bit, which vLLM reads on NVIDIA GPUs where bitsandbytes is installed.

compressed-tensors is what newer vLLM reads; `awq-gemm` is the older layout, which vLLM 0.10.0 on
the judge's device takes. Nothing here counts before `python -m train check` has loaded it in vLLM
and asked it something.
"""

import json
import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from common.language import either
from common.manifest import (
    Manifest,
    directory_records,
    library_versions,
    read_manifest,
    write_manifest,
)
from common.pairs import Pair
from common.prompting import system_prompt_for
from train.autoawq import convert_to_gemm
from train.base import (
    ModelError,
    copy_base_files,
    load_tokenizer,
    need_disk,
    quantization_config,
    weight_bytes,
)
from train.dataset import encode_rows

LIBRARIES = ["torch", "transformers", "llmcompressor", "compressed-tensors", "bitsandbytes"]
GROUP = 128  # weights that share a scale; what AWQ kernels support
# Rows calibrated at once. AWQ runs each layer forty times over all rows, which one by one keeps a
# GPU waiting for its host; llm-compressor batches rows of similar length.
AWQ_BATCH = 16
# Scheme of compressed-tensors, and whether calibration rows are needed. Left out everywhere:
# lm_head, whose errors go straight into the choice of token. awq is symmetric because
# compressed-tensors' kernels for it are more widely supported; AutoAWQ's layout has zero points.
SCHEMES = {
    "awq": ("W4A16", True),
    "awq-gemm": ("W4A16_ASYM", True),
    "gptq": ("W4A16", True),
    "fp8": ("FP8_DYNAMIC", False),
    "int8": ("W8A8", True),
    "bnb-8bit": ("LLM.int8", False),
    "bnb-4bit": ("NF4", False),
}
BITS = {"bnb-8bit": 8, "bnb-4bit": 4}


def quantize(
    model_dir: Path, out: Path, form: str, rows: list[Pair], samples: int = 256, seed: int = 0
) -> Path:
    """Quantize a full model to `out`, calibrated on rendered questions with their answers.

    Raises ModelError for an unknown form, widths that do not divide into groups, or a full disk.
    """
    started = time.monotonic()
    if form not in SCHEMES:
        known = ", ".join(SCHEMES)
        raise ModelError(
            f"{form}：没有这种格式；有 {known}", f"{form}: no such format; there are {known}"
        )
    scheme, calibrated = SCHEMES[form]
    _check_widths(model_dir, scheme)
    need_disk(out, weight_bytes(model_dir), either(f"导出 {form}", f"the {form} export"))
    tokenizer = load_tokenizer(model_dir)
    system_prompt = system_prompt_for(model_dir)
    if form in BITS:
        model = _with_bitsandbytes(model_dir, BITS[form])
    else:
        chosen = rows[:samples]
        encoded = encode_rows(tokenizer, chosen, system_prompt) if calibrated else []
        model = _with_llmcompressor(model_dir, tokenizer, form, encoded)
    out.mkdir(parents=True, exist_ok=True)
    model.save_pretrained(out, **({} if form in BITS else {"save_compressed": True}))
    config = json.loads((out / "config.json").read_text(encoding="utf-8"))
    copy_base_files(model_dir, out, system_prompt)
    _write_quantization(out, config["quantization_config"])
    if form == "awq-gemm":
        convert_to_gemm(out, GROUP)
    for path in out.glob("*.safetensors"):
        path.chmod(0o644)
    parent = read_manifest(model_dir)
    manifest = Manifest(
        stage="quantize",
        name=out.name,
        demo=bool(parent and parent.demo),
        outputs=directory_records(out),
        settings={"format": form, "scheme": scheme, "group": GROUP, "samples": samples},
        counts={"bytes_before": weight_bytes(model_dir), "bytes": weight_bytes(out)},
        versions=library_versions(LIBRARIES),
        seconds=round(time.monotonic() - started, 1),
        parents=[parent] if parent else [],
    )
    write_manifest(out, manifest)
    return out


def _with_llmcompressor(
    model_dir: Path, tokenizer: Any, form: str, encoded: list[dict[str, list[int]]]
) -> Any:
    """The model quantized, calibrated on the rows when there are any."""
    import torch
    from datasets import Dataset
    from llmcompressor import oneshot
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(model_dir, dtype="auto")
    options: dict[str, Any] = {}
    if encoded:
        columns = [
            {"input_ids": row["input_ids"]}
            | {mask: [1] * len(row["input_ids"]) for mask in ("attention_mask", "loss_mask")}
            for row in encoded
        ]
        options = {
            "dataset": Dataset.from_list(columns),
            "num_calibration_samples": len(columns),
            "max_seq_length": max(len(row["input_ids"]) for row in columns),
        }
        if form.startswith("awq"):  # it knows about padding; the others would calibrate on it
            options |= {"batch_size": AWQ_BATCH, "data_collator": _padded, "use_loss_mask": True}
    if not torch.cuda.is_available():
        _without_pinned_memory()
    with _one_bar(form):
        modifiers = _modifiers(form, SCHEMES[form][0])
        oneshot(model=model, recipe=modifiers, tokenizer=tokenizer, **options)
    return model


@contextmanager
def _one_bar(form: str) -> Iterator[None]:
    """One bar instead of llm-compressor's hundreds: two a layer, and with AWQ one a module."""
    from llmcompressor.modifiers.transform.awq import base as awq
    from llmcompressor.pipelines.sequential import pipeline
    from tqdm import tqdm

    bar: tqdm | None = None
    parts = either("：模型的各部分", ": parts of the model")

    def counting(items: Any, *args: Any, desc: str = "", **options: Any) -> tqdm:
        nonlocal bar
        if part := re.match(r"\((\d+)/(\d+)\): Calibrating", desc):
            bar = bar or tqdm(total=int(part[2]), desc=f"{form}{parts}")
            bar.update(int(part[1]) - 1 - bar.n)
        return tqdm(items, *args, desc=desc, **options, disable=True)

    awq.tqdm = pipeline.tqdm = counting
    try:
        yield
        if bar:
            bar.update(bar.total - bar.n)
    finally:
        awq.tqdm = pipeline.tqdm = tqdm
        if bar:
            bar.close()


def _with_bitsandbytes(model_dir: Path, bits: int) -> Any:
    from transformers import AutoModelForCausalLM

    config = quantization_config(bits)
    return AutoModelForCausalLM.from_pretrained(model_dir, quantization_config=config, dtype="auto")


def _padded(rows: list[dict[str, list[int]]]) -> dict[str, Any]:
    """Rows as tensors of one width; both masks are 0 where there is padding."""
    import torch
    from torch.nn.utils.rnn import pad_sequence

    return {
        key: pad_sequence([torch.as_tensor(row[key]) for row in rows], batch_first=True)
        for key in rows[0]
    }


def _modifiers(form: str, scheme: str) -> list[Any]:
    from llmcompressor.modifiers.gptq import GPTQModifier
    from llmcompressor.modifiers.quantization import QuantizationModifier
    from llmcompressor.modifiers.transform.awq import AWQModifier

    chosen = {"targets": ["Linear"], "scheme": scheme, "ignore": ["lm_head"]}
    if form in ("gptq", "int8"):
        return [GPTQModifier(**chosen)]
    if form == "fp8":
        return [QuantizationModifier(**chosen)]
    return [AWQModifier(duo_scaling="both"), QuantizationModifier(**chosen)]


def _check_widths(model_dir: Path, scheme: str) -> None:
    if not scheme.startswith("W4"):
        return
    config = json.loads((model_dir / "config.json").read_text(encoding="utf-8"))
    for key in ("hidden_size", "intermediate_size"):
        if config[key] % GROUP:
            said = f"{key}={config[key]}"
            raise ModelError(
                f"{model_dir}：{said} 不是 {GROUP} 的倍数，不能做 4 位量化",
                f"{model_dir}: {said} is no multiple of {GROUP}",
            )


def _write_quantization(out: Path, quantization: dict[str, Any]) -> None:
    """Put `quantization_config` into the base's own config.json."""
    path = out / "config.json"
    config = json.loads(path.read_text(encoding="utf-8"))
    config["quantization_config"] = quantization
    path.write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")


def _without_pinned_memory() -> None:
    """llm-compressor 0.13 pins its cache for copies to a GPU, and torch without one raises."""
    from llmcompressor.pipelines.cache import IntermediatesCache

    IntermediatesCache.pin_memory = lambda self, *args, **kwargs: None
