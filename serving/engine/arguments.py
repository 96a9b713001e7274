"""The arguments of vLLM's `LLM(...)`: device, settings and ENGINE_ARGS, in this order."""

import importlib.util
import json
import logging
from typing import Any

from serving.engine import devices
from serving.engine.base import EngineError, ModelError
from serving.settings import Settings

log = logging.getLogger(__name__)

# Answers at once in an eager start: few, because the tuned one may have run out of memory.
EAGER_MAX_NUM_SEQS = 128
# Arguments for speed only, one of which may have failed the tuned start.
TUNING = {"compilation_config", "speculative_config", "optimization_level", "async_scheduling"}


def engine_arguments(settings: Settings, device: devices.Device) -> dict[str, Any]:
    """Arguments of `LLM(...)`: the device's defaults, then the settings, then ENGINE_ARGS.

    Raises ModelError when the model directory cannot be used, EngineError when Ray is missing.
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
        "distributed_executor_backend": settings.distributed_executor_backend,
        "speculative_config": drafts(settings.draft_tokens),
    }
    # One GPU is every version's default, and not passed: a platform plugin may set its own.
    if settings.tensor_parallel_size > 1:
        chosen["tensor_parallel_size"] = settings.tensor_parallel_size
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
    if "compilation_config" not in arguments and not arguments.get("enforce_eager"):
        arguments |= _graphs(device, arguments.get("max_num_seqs"))
    if settings.startup == "eager":  # wins over the settings: with them the engine did not start
        for name in TUNING & arguments.keys():
            log.warning("eager start: %s is left out", name)
            del arguments[name]
        arguments["enforce_eager"] = True
        asked = arguments.get("max_num_seqs", EAGER_MAX_NUM_SEQS)
        arguments["max_num_seqs"] = min(asked, EAGER_MAX_NUM_SEQS)
    _check_ray(arguments)
    return arguments


def drafts(tokens: int) -> dict[str, Any] | None:
    """vLLM's n-gram drafts of so many tokens; None: none. A copied phrase is told by 2 to 4 tokens
    (0.10.0 needs both bounds)."""
    if not tokens:
        return None
    lookup = {"prompt_lookup_min": 2, "prompt_lookup_max": 4}
    return {"method": "ngram", "num_speculative_tokens": tokens, **lookup}


def _graphs(device: devices.Device, at_once: int | None) -> dict[str, Any]:
    """CUDA graph sizes: `at_once`, and the device's up to twice that, as in vLLM's own list."""
    if not device.graph_sizes or not at_once:
        return {}
    sizes = {size for size in device.graph_sizes if size <= 2 * at_once}
    return {"compilation_config": {"cudagraph_capture_sizes": sorted(sizes | {at_once})}}


def core_in_process(settings: Settings, device: devices.Device, arguments: dict[str, Any]) -> bool:
    """Whether vLLM's engine core runs in this process.

    Unless ENGINE_IN_PROCESS decides: not with several GPUs, whose workers are processes that vLLM
    watches from a core process. Nor when ENGINE_ARGS asks for asynchronous scheduling: 0.10.0 has
    that between processes only; newer versions do it by default and lose nothing by a process.
    """
    if settings.engine_in_process is not None:
        return settings.engine_in_process
    if arguments.get("async_scheduling"):
        return False
    sizes = [arguments.get(f"{kind}_parallel_size", 1) for kind in ("tensor", "pipeline")]
    return device.in_process and max(sizes) == 1


def _check_ray(arguments: dict[str, Any]) -> None:
    """Raises EngineError when Ray is asked for and not installed."""
    ray = arguments.get("distributed_executor_backend") == "ray"
    if ray and importlib.util.find_spec("ray") is None:
        raise EngineError(
            "DISTRIBUTED_EXECUTOR_BACKEND=ray: Ray is not installed here; install the version that "
            "vLLM's own requirements name, and start it on every host (`ray start`)"
        )


def import_model_class(architectures: list[str]) -> None:
    """Import the model's class in this process, which spares vLLM a subprocess for it.

    vLLM inspects a model's class in a subprocess that imports vLLM once more, so that this process
    can still fork before it uses the device. With the engine core in this process nothing forks,
    and the subprocess costs seconds of a cold start. A class that a plugin has registered is left
    alone.
    """
    from vllm import ModelRegistry

    for name in architectures:
        known = ModelRegistry.models.get(name)
        if known is not None and getattr(known, "module_name", "").startswith("vllm."):
            ModelRegistry.register_model(name, known.load_model_cls())


def read_config(settings: Settings) -> dict[str, Any]:
    """The model's config.json. Raises ModelError naming what is wrong with the directory."""
    path = settings.model_dir / "config.json"
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise ModelError(
            f"MODEL_DIR={settings.model_dir}: no config.json there; point MODEL_DIR at a model "
            "directory, or fetch one with download_model.py"
        ) from error
    except ValueError as error:
        raise ModelError(f"{path}: not valid JSON ({error})") from error
