"""An adapter read and put on its base, or refused in one line that says what to do."""

import json
import re
from dataclasses import fields
from pathlib import Path
from typing import Any

from common.language import either
from common.manifest import read_manifest
from common.safetensors_header import ModelFileError, read_header
from train.base import ModelError, fingerprint

WEIGHTS, PICKLE, CONFIG = "adapter_model.safetensors", "adapter_model.bin", "adapter_config.json"
NAMED = 3
# Ways to begin that change the base's weights by chance or by data: what was trained is base minus
# that change, plus the adapter, and nobody can do it again. (pissa and olora change it the same
# way each time; PEFT does so when it loads them.)
_CHANGED_BASE = ("pissa_niter", "loftq", "lora_ga", "corda")
_NUMBERS = {"r": int, "lora_alpha": (int, float)}


def read_config(adapter: Path) -> Any:
    """PEFT's LoraConfig of an adapter. Raises ModelError for whatever cannot be merged."""
    from peft import LoraConfig, __version__

    path = adapter / CONFIG
    if not path.is_file():
        below = sorted(each.parent.name for each in adapter.glob(f"*/{CONFIG}"))[:NAMED]
        found = f" ({', '.join(below)})" if below else ""
        raise ModelError(
            f"{adapter}：没有 {CONFIG}；请给适配器所在的目录{found}",
            f"{adapter}: no {CONFIG}; give the directory of an adapter{found}",
        )
    try:
        told = json.loads(path.read_text(encoding="utf-8-sig"))
        kind = str(told["peft_type"]).upper()
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ModelError(
            f"{path}：不是适配器的配置（{error!r}）",
            f"{path}: no adapter's configuration ({error!r})",
        ) from error
    if kind != "LORA":
        raise ModelError(
            f"{path}：peft_type={kind}；只有 LORA（包括 DoRA 和 rsLoRA）能合并进权重",
            f"{path}: peft_type={kind}; only LORA (DoRA and rsLoRA too) is added to weights",
        )
    if (task := told.get("task_type")) not in ("CAUSAL_LM", None):
        raise ModelError(
            f"{path}：task_type={task}；基座用的是 CAUSAL_LM",
            f"{path}: task_type={task}; the base answers by CAUSAL_LM",
        )
    if told.get("layer_replication"):
        raise ModelError(
            f"{path}：layer_replication 把基座的层重复使用，合并出的模型层数会与 config.json "
            "不同，不能合并",
            f"{path}: layer_replication uses the base's layers several times: the model would "
            "have other layers than its config.json says, and cannot be merged",
        )
    begun = str(told.get("init_lora_weights")).lower()
    if begun.startswith(_CHANGED_BASE):
        raise ModelError(
            f"{path}：init_lora_weights={begun} 训练前改过基座，这个改动重做不出来，合并到"
            "原来的基座会是另一个模型；请用训练工具转换成普通 LoRA（LLaMA-Factory 的 "
            "pissa_convert，PEFT 的 path_initial_model_for_weight_conversion）",
            f"{path}: init_lora_weights={begun} changed the base before training in a way that "
            "cannot be done again: merged into the original it would be another model; convert "
            "it to a plain LoRA with what trained it (LLaMA-Factory's pissa_convert, PEFT's "
            "path_initial_model_for_weight_conversion)",
        )
    for name, kinds in _NUMBERS.items():
        if name in told and (not isinstance(told[name], kinds) or isinstance(told[name], bool)):
            raise ModelError(
                f"{path}：{name}={told[name]!r} 应是数字",
                f"{path}: {name}={told[name]!r}: expected a number",
            )
    told |= {name: {} for name in ("rank_pattern", "alpha_pattern") if told.get(name) is None}
    if told.get("alora_invocation_tokens"):
        raise ModelError(
            f"{path}：activated LoRA 从某个词元之后才起作用，不能合并",
            f"{path}: an activated LoRA works from some token on: it cannot be merged",
        )
    known = {field.name for field in fields(LoraConfig)}
    strange = sorted(name for name in told if name not in known and told[name])
    if strange:  # PEFT would leave them out with a warning, and compute something else
        names = ", ".join(strange)
        raise ModelError(
            f"{path}：设置了 {names}，这里的 PEFT {__version__} 不认识：它由更新的版本写成；"
            "若不影响结果就改成 null，或用本项目训练",
            f"{path}: sets {names}, unknown to PEFT {__version__} here: a newer one "
            "made it; set it to null if it changes nothing, or train with this kit",
        )
    try:
        config = LoraConfig(**{name: told[name] for name in known & told.keys()})
    except (TypeError, ValueError) as error:
        raise ModelError(f"{path}: {_line(error)}") from error
    config.inference_mode = True
    return config


def read_weights(adapter: Path) -> dict[str, Any]:
    """An adapter's tensors by name. Raises ModelError for a file that is none, for NaN, and for
    numbers that are no floats."""
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
            told = _line(error)
            raise ModelError(
                f"{adapter / PICKLE} 读不出来：{told}", f"{adapter / PICKLE} cannot be read: {told}"
            ) from error
    else:
        raise ModelError(
            f"{adapter}：{CONFIG} 旁边没有 {WEIGHTS}", f"{adapter}: no {WEIGHTS} beside {CONFIG}"
        )
    if not isinstance(weights, dict) or not all(map(torch.is_tensor, weights.values())):
        raise ModelError(
            f"{adapter / PICKLE}：里面应是按名字存放的张量",
            f"{adapter / PICKLE}: expected tensors by name",
        )
    if not weights:
        raise ModelError(f"{adapter}：权重文件里没有张量", f"{adapter}: no tensor in its weights")
    for name, tensor in weights.items():
        if tensor.numel() == 0:
            raise ModelError(
                f"{adapter}：{name} 是空的，DeepSpeed ZeRO-3 会留下这样的文件：设 "
                "stage3_gather_16bit_weights_on_model_save=true 再保存一次",
                f"{adapter}: {name} is empty, as DeepSpeed ZeRO-3 leaves it: save again with "
                "stage3_gather_16bit_weights_on_model_save=true",
            )
        if tensor.dtype not in (torch.float32, torch.bfloat16, torch.float16, torch.float64):
            dtype = str(tensor.dtype).removeprefix("torch.")
            raise ModelError(
                f"{adapter}：{name} 是 {dtype}，适配器的权重应是 float32、bfloat16 或 float16："
                "它被量化过，请给原来的",
                f"{adapter}: {name} is {dtype}, an adapter's weights are float32, bfloat16 or "
                "float16: it was quantized, give the original",
            )
        if not torch.isfinite(tensor).all():
            raise ModelError(
                f"{adapter}：{name} 里有 NaN 或无穷大：训练发散了",
                f"{adapter}: {name} holds NaN or infinity: training diverged",
            )
    return weights


def need_own_base(adapter: Path, base: Path) -> None:
    """Raise ModelError where an adapter of this kit was trained on other weights than the base's,
    which may have the same shapes; one without this kit's manifest is taken at its word."""
    manifest = read_manifest(adapter)
    told = manifest.settings.get("base_fingerprint") if manifest else None
    if told and told != fingerprint(base):
        trained_on = manifest.settings.get("model_name_or_path") if manifest else ""
        raise ModelError(
            f"{adapter} 是在另一个基座（{trained_on}）上训练的：{base} 形状也许一样，"
            "权重不同，合并后不会是训练时的那个模型；用原来的基座",
            f"{adapter} was trained on another base ({trained_on}): {base} may have its "
            "shapes, and has other weights; the merged model would not be the one that was "
            "trained. Give its own base",
        )


def _note_few_layers(config: Any, weights: dict[str, Any], model: Any, adapter: Path) -> None:
    """Say so where an adapter reaches the first layers only, without having been asked to."""
    layers = int(getattr(model.config, "num_hidden_layers", 0) or 0)
    found = (re.search(r"\.layers\.(\d+)\.", name) for name in weights)
    reached = {int(match[1]) for match in found if match}
    if not config.layers_to_transform and reached and max(reached) + 1 < layers:
        last = max(reached)
        print(
            either(
                f"注意：{adapter} 只改第 0 到 {last} 层，基座有 {layers} 层："
                "是给更小的模型训练的吗？",
                f"note: {adapter} changes layers 0 to {last} of the base's {layers}: was it "
                "trained for a smaller model?",
            )
        )


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
        told = _line(error)
        raise ModelError(
            f"{adapter} 与 {base} 不匹配：{told}", f"{adapter} does not fit {base}: {told}"
        ) from error
    wanted = get_peft_model_state_dict(tuned, save_embedding_layers=False)
    # PEFT saves the base's embedding too where an adapter is on it, or its vocabulary has grown.
    allowed = wanted | get_peft_model_state_dict(tuned, save_embedding_layers=True)
    strange = [name for name in weights if name not in allowed]
    missing = [name for name in wanted if name not in weights]
    if strange or missing:
        raise ModelError(_unmatched(adapter, base, len(weights), strange, missing, wanted))
    for name, tensor in weights.items():
        if tensor.shape != allowed[name].shape:
            own, there = list(tensor.shape), list(allowed[name].shape)
            origin = config.base_model_name_or_path
            then = either("：先把它的词元加进基座", ": add its tokens to the base first")
            raise ModelError(
                either(
                    f"{adapter} 与 {base} 不匹配：{name} 的形状是 {own}，基座的是 "
                    f"{there}；它是在 {origin} 上训练的",
                    f"{adapter} does not fit {base}: {name} has shape {own}, the base "
                    f"{there}; it was trained on {origin}",
                )
                + (then if _of_vocabulary(name) else "")
            )
    trained_on = Path(config.base_model_name_or_path or base).name
    if trained_on != base.name:  # perhaps the same model elsewhere; shapes cannot tell
        print(
            either(
                f"注意：{adapter} 写明是在 {trained_on} 上训练的；现在合并进 {base}",
                f"note: {adapter} says that it was trained on {trained_on}; merging into {base}",
            )
        )
    _note_few_layers(config, weights, model, adapter)
    result = set_peft_model_state_dict(tuned, weights)
    if result.unexpected_keys:
        names = _some(result.unexpected_keys)
        raise ModelError(
            f"{adapter}：PEFT 没有接受 {names}", f"{adapter}: PEFT did not take {names}"
        )
    return tuned.eval()


def _unmatched(
    adapter: Path, base: Path, count: int, strange: list[str], missing: list[str], wanted: Any
) -> str:
    told = []
    if strange:
        names = _some(strange)
        told.append(
            either(
                f"它的 {count} 个张量里有 {len(strange)} 个在基座中没有对应（{names}）",
                f"{len(strange)} of its {count} tensors match nothing in the base ({names})",
            )
        )
    if missing:
        names = _some(missing)
        told.append(
            either(
                f"{CONFIG} 要求的 {len(wanted)} 个里缺 {len(missing)} 个（{names}）",
                f"{len(missing)} of {len(wanted)} that {CONFIG} asks for are missing ({names})",
            )
        )
    hint = ""
    if strange and missing:
        hint = either("；请按 PEFT 的命名改张量的名字", "; rename its tensors as PEFT names them")
    return either(
        f"{adapter} 与 {base} 不匹配：{'；'.join(told)}{hint}",
        f"{adapter} does not fit {base}: {' and '.join(told)}{hint}",
    )


def _of_vocabulary(name: str) -> bool:
    return "embed_tokens" in name or "lm_head" in name


def _some(names: list[str]) -> str:
    left = len(names) - NAMED
    more = either(f" 等，另有 {left} 个", f" and {left} more") if left > 0 else ""
    return ", ".join(sorted(names)[:NAMED]) + more


def _line(error: Exception) -> str:
    return " ".join(str(error).split()) or type(error).__name__
