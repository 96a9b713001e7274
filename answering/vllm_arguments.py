"""The arguments of vLLM's `LLM(...)`: device, settings and ENGINE_ARGS, in this order."""

import json
import logging
from typing import Any

from . import devices
from .engine import EngineError
from .settings import Settings

log = logging.getLogger("answering.vllm")

# Answers at once on the second rung of the start-up: fewer, to leave memory to spare.
EAGER_MAX_NUM_SEQS = 128
# Arguments that only tune, and may be what failed.
TUNING = {"compilation_config", "speculative_config", "optimization_level", "async_scheduling"}


def engine_arguments(settings: Settings, device: devices.Device) -> dict[str, Any]:
    """Arguments of `LLM(...)`: the device's defaults, then the settings, then ENGINE_ARGS.

    Raises EngineError when the model directory cannot be used.
    """
    config = read_config(settings)
    longest = config.get("max_position_embeddings", settings.max_model_len)
    chosen = {
        "dtype": None if settings.dtype == "auto" else settings.dtype,
        "quantization": settings.quantization,
        "enforce_eager": settings.enforce_eager,
        "max_num_seqs": settings.max_num_seqs,
        "max_num_batched_tokens": settings.max_num_batched_tokens,
        "gpu_memory_utilization": settings.gpu_memory_utilization,
    }
    arguments = {
        "model": str(settings.model_dir),
        "max_model_len": min(settings.max_model_len, longest),
        "enable_prefix_caching": settings.enable_prefix_caching,
        "seed": settings.seed,
        "disable_log_stats": True,
        # Weights are data: no pickle is unpacked, no code of the model's directory runs.
        "load_format": "safetensors",
        "trust_remote_code": False,
        **device.engine_args,
        **devices.weights_args(device, config.get("quantization_config")),
        **{name: value for name, value in chosen.items() if value is not None},
        **settings.engine_args,
    }
    if settings.startup == "eager":  # wins over everything: what was asked for did not start
        for name in TUNING & arguments.keys():
            log.warning("eager start: %s is left out", name)
            del arguments[name]
        arguments["enforce_eager"] = True
        asked = arguments.get("max_num_seqs", EAGER_MAX_NUM_SEQS)
        arguments["max_num_seqs"] = min(asked, EAGER_MAX_NUM_SEQS)
    return arguments


def import_model_class(architectures: list[str]) -> None:
    """Import the model's class here, before vLLM asks another process about it.

    vLLM inspects a model's class in a subprocess that imports vLLM once more, so that this process
    may still fork before the device is in use. With the engine core in this process nothing forks,
    and the subprocess costs seconds (28 s of a cold start on an H100's host, 7 s on two CPU
    cores, measured). A class that a plugin has registered is left alone.
    """
    from vllm import ModelRegistry

    for name in architectures:
        known = ModelRegistry.models.get(name)
        if known is not None and getattr(known, "module_name", "").startswith("vllm."):
            ModelRegistry.register_model(name, known.load_model_cls())


def read_config(settings: Settings) -> dict[str, Any]:
    """The model's config.json. Raises EngineError naming what is wrong with the directory."""
    path = settings.model_dir / "config.json"
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise EngineError(
            f"MODEL_DIR={settings.model_dir}: no config.json there; point MODEL_DIR at a model "
            "directory, or fetch one with download_model.py"
        ) from error
    except ValueError as error:
        raise EngineError(f"{path}: not valid JSON ({error})") from error
