"""Command line and environment of `vllm serve` for a model; whether the memory will do."""

import os
from typing import Any

import psutil

from chat.catalogue import Model
from chat.cpu_server import SERVER
from chat.errors import too_little
from chat.memory import Gpu, measure
from chat.settings import ChatSettings
from common.language import either
from common.model_shape import ShapeError, read_shape
from serving.engine import devices

CPU_LORA_SERVER = "chat.cpu_server"  # the same, with adapters as they should be
TALKS = 64  # whose whole context the KV cache on a GPU is made for
ACTIVATIONS = 3 << 30  # bytes on a GPU beside weights and KV cache: activations, CUDA graphs
GPU_SHARE = 0.9  # at most, of one card
LORA_RANKS = (8, 16, 32, 64, 128, 256, 320, 512)  # vLLM's --max-lora-rank takes no other


def server_command(
    model: Model, settings: ChatSettings, rank: int, cards: list[Gpu]
) -> tuple[str, ...]:
    """The command of `vllm serve` for a model on this machine; `{port}` is filled in later.

    rank: the highest of the adapters that may come; 0: none, and the model answers faster.
    Raises LoadError when the memory that is free will not do.
    """
    python = str(settings.engine_python.absolute())  # not resolved: a venv's python is a link
    path = str(model.path.resolve())
    context = min(settings.max_model_len, model.context)
    chosen: dict[str, Any] = {
        "model": path,
        "served_model_name": model.id,
        "host": "127.0.0.1",
        "port": "{port}",
        "max_model_len": context,
        # Weights are data: no pickle is unpacked. Sampling is the caller's, as in the service.
        "load_format": "safetensors",
        "generation_config": "vllm",
        "disable_uvicorn_access_log": True,
    }
    if rank:
        ranks = [each for each in LORA_RANKS if each >= rank]
        chosen |= {"enable_lora": True, "max_loras": settings.max_loras}
        chosen["max_lora_rank"] = ranks[0] if ranks else LORA_RANKS[-1]
    if cards:
        chosen["gpu_memory_utilization"] = gpu_share(model, context, cards)
    else:
        chosen |= devices.cpu("").engine_args
        _check_host_memory(model)
    words: list[str] = []
    for name, value in chosen.items():
        option = f"--{name.replace('_', '-')}"
        words += [option] if value is True else [option, str(value)]
    server = CPU_LORA_SERVER if rank and not cards else SERVER
    return (python, "-m", server, *words, *settings.engine_args)


def server_environment(key: str, cards: list[Gpu]) -> dict[str, str]:
    """All its variables; key: what it asks of every request. Of the rest the user's own win."""
    return {
        **({} if cards else _on_a_processor()),
        "OMP_WAIT_POLICY": "passive",  # see common/before_imports.py
        **os.environ,
        # Long past the idle seconds after which the gateway uses a connection no more: a request
        # that met the moment at which vLLM closes it would be lost.
        "VLLM_HTTP_TIMEOUT_KEEP_ALIVE": "600",
        # Not on the command line, which every user of this machine can read.
        "VLLM_API_KEY": key,
        "VLLM_ALLOW_RUNTIME_LORA_UPDATING": "1",
        "VLLM_NO_USAGE_STATS": "1",
        "HF_HUB_OFFLINE": "1",
    }


def _on_a_processor() -> dict[str, str]:
    """Leaves the web servers, vLLM's own and ours, time on a core.

    By itself vLLM computes in a worker process there, and its core waits for that by spinning: on
    two cores streams stood still for tenths of a second (docs/chat.md, Speed). So the core computes
    itself, as in the service, with as many threads as vLLM would have taken: one core is left.
    """
    cores = min(psutil.cpu_count(logical=False) or 1, len(os.sched_getaffinity(0)))
    return {
        **devices.cpu("").environment,
        "VLLM_ENABLE_V1_MULTIPROCESSING": "0",
        "OMP_NUM_THREADS": str(max(1, cores - 1)),
    }


def gpu_share(model: Model, context: int, cards: list[Gpu]) -> float:
    """The share of a card for `--gpu-memory-utilization`: weights, and KV cache for TALKS talks.

    Less than all, so that a second model can stand beside. vLLM takes the first card. Raises
    LoadError when not even the weights and a tenth of the KV cache fit into what is free.
    """
    card = cards[0]
    try:
        per_token = read_shape(str(model.path)).kv_bytes
    except ShapeError:  # an architecture that the kit cannot count: as much as for a 4B
        per_token = 144 << 10
    cache = TALKS * context * per_token
    fixed = model.weight_bytes + ACTIVATIONS
    free = card.total - card.used
    if fixed + cache / 10 > free:
        raise too_little(model.id, fixed + cache // 10, free, card.name)
    # A little less than what is free: vLLM refuses to start with a share that is not.
    most = min(GPU_SHARE, free / card.total - 0.02)
    return round(min(most, (fixed + cache) / card.total), 3)


def _check_host_memory(model: Model) -> None:
    cache = float(os.environ.get("VLLM_CPU_KVCACHE_SPACE", "1")) * (1 << 30)
    needed, free = int(model.weight_bytes * 1.2 + cache) + (1 << 30), measure().available
    if needed > free:
        raise too_little(model.id, needed, free, either("内存", "memory"))
