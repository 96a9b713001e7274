"""An adapter read and put on its base, or refused in one line that says what to do."""

import json
from dataclasses import fields
from pathlib import Path
from typing import Any

from common.model_files import ModelFileError, read_header
from train.base import ModelError

WEIGHTS, PICKLE, CONFIG = "adapter_model.safetensors", "adapter_model.bin", "adapter_config.json"
NAMED = 3


def read_config(adapter: Path) -> Any:
    """PEFT's LoraConfig of an adapter. Raises ModelError for whatever cannot be merged."""
    from peft import LoraConfig, __version__

    path = adapter / CONFIG
    if not path.is_file():
        raise ModelError(f"{adapter}: no {CONFIG}; give the directory of an adapter")
    try:
        told = json.loads(path.read_text(encoding="utf-8"))
        kind = str(told["peft_type"]).upper()
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ModelError(f"{path}: no adapter's configuration ({error!r})") from error
    if kind != "LORA":
        raise ModelError(
            f"{path}: peft_type={kind}; only LORA (DoRA and rsLoRA too) is added to weights"
        )
    if told.get("task_type") not in ("CAUSAL_LM", None):
        raise ModelError(f"{path}: task_type={told['task_type']}; the base answers by CAUSAL_LM")
    if told.get("alora_invocation_tokens"):
        raise ModelError(f"{path}: an activated LoRA works from some token on: it cannot be merged")
    known = {field.name for field in fields(LoraConfig)}
    strange = sorted(name for name in told if name not in known and told[name])
    if strange:  # PEFT would leave them out with a warning, and compute something else
        raise ModelError(
            f"{path}: sets {', '.join(strange)}, unknown to PEFT {__version__} here: a newer one "
            "made it; set it to null if it changes nothing, or train with this kit"
        )
    try:
        config = LoraConfig(**{name: told[name] for name in known & told.keys()})
    except (TypeError, ValueError) as error:
        raise ModelError(f"{path}: {_line(error)}") from error
    config.inference_mode = True
    return config


def read_weights(adapter: Path) -> dict[str, Any]:
    """An adapter's tensors by name. Raises ModelError for a file that is none, and for NaN."""
    import torch
    from safetensors.torch import load_file

    if (adapter / WEIGHTS).is_file():
        try:
            read_header(adapter / WEIGHTS)
        except ModelFileError as error:
            raise ModelError(f"{adapter}: {error}") from error
        weights = load_file(adapter / WEIGHTS)
    elif (adapter / PICKLE).is_file():
        try:
            weights = torch.load(adapter / PICKLE, map_location="cpu", weights_only=True)
        except Exception as error:  # noqa: BLE001  unpickling raises whatever the bytes spell
            raise ModelError(f"{adapter / PICKLE} cannot be read: {_line(error)}") from error
    else:
        raise ModelError(f"{adapter}: no {WEIGHTS} beside {CONFIG}")
    if not isinstance(weights, dict) or not all(map(torch.is_tensor, weights.values())):
        raise ModelError(f"{adapter / PICKLE}: expected tensors by name")
    if not weights:
        raise ModelError(f"{adapter}: no tensor in its weights")
    for name, tensor in weights.items():
        if tensor.numel() == 0:
            raise ModelError(
                f"{adapter}: {name} is empty, as DeepSpeed ZeRO-3 leaves it: save again with "
                "stage3_gather_16bit_weights_on_model_save=true"
            )
        if not torch.isfinite(tensor).all():
            raise ModelError(f"{adapter}: {name} holds NaN or infinity: training diverged")
    return weights


def put_on(model: Any, adapter: Path, base: Path) -> Any:
    """A PeftModel of `model` with the adapter's weights, every one of them in its place.

    Raises ModelError, which counts and names them, when tensors of the file match nothing in the
    base, when some that the configuration asks for are not in the file, or when shapes differ.
    """
    from peft import PeftModel, get_peft_model_state_dict, set_peft_model_state_dict

    config, weights = read_config(adapter), read_weights(adapter)
    try:
        tuned = PeftModel(model, config, autocast_adapter_dtype=False)
    except (ValueError, TypeError, AttributeError, LookupError, RuntimeError, ImportError) as error:
        raise ModelError(f"{adapter} does not fit {base}: {_line(error)}") from error
    wanted = get_peft_model_state_dict(tuned, save_embedding_layers=False)
    # PEFT saves the base's embedding too where an adapter is on it, or its vocabulary has grown.
    allowed = wanted | get_peft_model_state_dict(tuned, save_embedding_layers=True)
    strange = [name for name in weights if name not in allowed]
    missing = [name for name in wanted if name not in weights]
    if strange or missing:
        raise ModelError(_unmatched(adapter, base, len(weights), strange, missing, wanted))
    for name, tensor in weights.items():
        if tensor.shape != allowed[name].shape:
            raise ModelError(
                f"{adapter} does not fit {base}: {name} has shape {list(tensor.shape)}, the base "
                f"{list(allowed[name].shape)}; it was trained on {config.base_model_name_or_path}"
                + (": add its tokens to the base first" if _of_vocabulary(name) else "")
            )
    trained_on = Path(config.base_model_name_or_path or base).name
    if trained_on != base.name:  # perhaps the same model elsewhere; shapes cannot tell
        print(f"note: {adapter} says that it was trained on {trained_on}; merging into {base}")
    result = set_peft_model_state_dict(tuned, weights)
    if result.unexpected_keys:
        raise ModelError(f"{adapter}: PEFT did not take {_some(result.unexpected_keys)}")
    return tuned.eval()


def _unmatched(
    adapter: Path, base: Path, count: int, strange: list[str], missing: list[str], wanted: Any
) -> str:
    told = []
    if strange:
        told.append(
            f"{len(strange)} of its {count} tensors match nothing in the base ({_some(strange)})"
        )
    if missing:
        told.append(
            f"{len(missing)} of {len(wanted)} that {CONFIG} asks for are missing ({_some(missing)})"
        )
    hint = "; rename its tensors as PEFT names them" if strange and missing else ""
    return f"{adapter} does not fit {base}: {' and '.join(told)}{hint}"


def _of_vocabulary(name: str) -> bool:
    return "embed_tokens" in name or "lm_head" in name


def _some(names: list[str]) -> str:
    more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
    return ", ".join(sorted(names)[:NAMED]) + more


def _line(error: Exception) -> str:
    return " ".join(str(error).split()) or type(error).__name__
