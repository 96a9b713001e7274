"""Adapters into full weights: one, or several one after another."""

import json
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from common.manifest import (
    Manifest,
    directory_records,
    library_versions,
    read_manifest,
    write_manifest,
)
from common.prompting import SYSTEM_PROMPT_FILE, system_prompt_for
from train.base import ModelError, load_tokenizer, need_disk, save_full, weight_bytes


def merge(base: Path, adapters: Sequence[Path], out: Path, shard_gb: float = 5) -> Path:
    """Write base + adapters as full weights (float32 sums, saved in the base's data type).

    Several adapters are added in the order given: W + s1·B1·A1 + s2·B2·A2; the system prompt is
    the one that the last of them was trained with. Raises ModelError when an adapter is missing or
    was trained on weights of another shape.
    """
    started = time.monotonic()
    for adapter in adapters:
        if not (adapter / "adapter_config.json").is_file():
            raise ModelError(f"{adapter}: no adapter_config.json; give the directory of an adapter")
    if not adapters:
        raise ModelError("no adapter to merge")
    need_disk(out, weight_bytes(base) * 1.05, "the merged model")
    load_tokenizer(base)  # a base that serving cannot use is not worth merging
    model = merged_model(base, adapters)
    # An adapter without the file was trained before recipes could choose: with its base's.
    told = (adapters[-1] / SYSTEM_PROMPT_FILE).is_file()
    system_prompt = system_prompt_for(adapters[-1] if told else base)
    save_full(model, base, out, system_prompt, shard_gb)
    parents = [m for m in map(read_manifest, adapters) if m]
    base_manifest = read_manifest(base)
    write_manifest(
        out,
        Manifest(
            stage="merge",
            name=out.name,
            demo=bool(base_manifest and base_manifest.demo),
            outputs=directory_records(out),
            settings={"base": str(base), "adapters": [str(a) for a in adapters]},
            counts={"bytes": weight_bytes(out)},
            versions=library_versions(["torch", "transformers", "peft"]),
            seconds=round(time.monotonic() - started, 1),
            parents=parents,
        ),
    )
    return out


def merged_model(base: Path, adapters: Sequence[Path]) -> Any:
    """The base model with all adapters added to its weights, float32, on the CPU."""
    import torch
    from peft import PeftModel
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32)
    for adapter in adapters:
        try:
            model = PeftModel.from_pretrained(model, adapter).merge_and_unload(safe_merge=True)
        except RuntimeError as error:  # torch's size mismatch
            named = json.loads((adapter / "adapter_config.json").read_text(encoding="utf-8"))
            raise ModelError(
                f"{adapter} does not fit {base} (it was trained on "
                f"{named.get('base_model_name_or_path')}): {str(error).splitlines()[0]}"
            ) from error
    return model
