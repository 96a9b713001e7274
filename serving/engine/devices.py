"""What each device needs of vLLM: one function a device, each value with its reason and source.

A setting that the user made always wins. Sources: "measured" is by this project, on the device
named (figures in bench/README.md); "plugin source" is MetaX's public vLLM plugin, read and never
run by us.
"""

import os
import platform
from dataclasses import dataclass, field
from typing import Any, Literal

DeviceKind = Literal["cpu", "cuda", "wsl", "metax", "other"]


# Batch sizes to capture CUDA graphs for. vLLM's own list has one for every 8 or 16, 51 up to 512;
# these 22 capture faster and answer as fast (measured, H100). 358 is the bonus set at once. Sizes
# count tokens: a step that computes a prompt beside 256 answers needs one above 256.
GRAPH_SIZES = (
    *(1, 2, 4, 8, 16, 32, 48, 64, 80, 96, 112, 128),
    *(160, 192, 224, 256, 288, 320, 358, 384, 448, 512),
)


@dataclass(frozen=True)
class Device:
    """A device's defaults. in_process: the engine core runs in the service's process. engine_args:
    of `LLM(...)`. graph_sizes: tokens in a step that CUDA graphs are captured for; empty: vLLM's
    own choice. environment: variables, set where they are not."""

    kind: DeviceKind
    name: str
    in_process: bool
    engine_args: dict[str, Any] = field(default_factory=dict)
    graph_sizes: tuple[int, ...] = ()
    environment: dict[str, str] = field(default_factory=dict)


def detect() -> Device:
    """The device that vLLM will use on this machine, with its defaults. Imports vLLM."""
    from vllm.platforms import current_platform

    marks = f"{current_platform.device_name} {type(current_platform).__module__}".lower()
    if current_platform.is_cpu():
        return cpu(platform.processor() or platform.machine())
    # The plugin's platform calls itself "maca" (plugin source: platform.py, device_name). It is
    # found through vLLM's plugin entry points, so VLLM_PLUGINS must stay as the image sets it.
    if "maca" in marks or "metax" in marks:
        return metax(_device_name(current_platform))
    if current_platform.is_cuda():
        name = _device_name(current_platform)
        return wsl(name) if "microsoft" in platform.uname().release.lower() else cuda(name)
    return Device("other", _device_name(current_platform), in_process=False)


def cpu(name: str) -> Device:
    """A processor: compilation costs a minute and gains little, and an engine core in a process of
    its own competes with the service for the cores (both measured, 2 cores)."""
    return Device(
        "cpu",
        name,
        in_process=True,
        # Short steps, because a deadline is only looked at between two of them.
        engine_args={
            "enforce_eager": True,
            "max_num_seqs": 256,
            "max_num_batched_tokens": 1024,
        },
        environment={
            # GiB of KV cache, filled at start-up; vLLM's own default takes a share of all memory.
            "VLLM_CPU_KVCACHE_SPACE": "1",
            # oneDNN caches compiled code for each number of tokens it meets, 1,024 of them by
            # default: under load, memory grows for a long time (measured with bench/load.py).
            "ONEDNN_PRIMITIVE_CACHE_CAPACITY": "64",
        },
    )


def cuda(name: str) -> Device:
    """A data-centre NVIDIA card: the whole test set runs at once."""
    return Device(
        "cuda",
        name,
        in_process=True,
        engine_args={"max_num_seqs": 512, "gpu_memory_utilization": 0.9},
        graph_sizes=GRAPH_SIZES,
    )


def wsl(name: str) -> Device:
    """An NVIDIA card under Windows: the desktop holds part of its memory, so that vLLM's usual
    share of 0.9 is often not free (vLLM then refuses to start)."""
    return Device(
        "wsl",
        name,
        in_process=True,
        engine_args={"max_num_seqs": 256, "gpu_memory_utilization": 0.8},
        graph_sizes=GRAPH_SIZES,
    )


def metax(name: str) -> Device:
    """MetaX C500: graphs of 257 and more sequences are dropped there, and a batch without graphs
    runs several times slower, so 256 at once (plugin source: hotfix/fix_cudagraph_sizes.py).
    Weights in 4 bit need AutoAWQ's layout and float16 (`weights_args`)."""
    return Device(
        "metax",
        name,
        in_process=True,
        engine_args={"max_num_seqs": 256, "gpu_memory_utilization": 0.9},
        graph_sizes=tuple(size for size in GRAPH_SIZES if size <= 256),
        # V1 is the only engine that the plugin supports (plugin source: README).
        environment={"VLLM_USE_V1": "1"},
    )


def weights_args(device: Device, quantization_config: dict[str, Any] | None) -> dict[str, Any]:
    """Arguments that the weights' format needs on this device.

    quantization_config: of the model's config.json, or None for plain weights. MetaX has no
    Marlin kernels, which is what vLLM would turn `awq` into, and AWQ's own kernels take float16
    only (plugin source: platform.py, supported_quantization).
    """
    method = (quantization_config or {}).get("quant_method")
    if device.kind == "metax" and method == "awq":
        return {"quantization": "awq", "dtype": "float16"}
    return {}


def apply_environment(device: Device) -> dict[str, str]:
    """Set the device's environment variables that are not set yet; returns those in force."""
    for name, value in device.environment.items():
        os.environ.setdefault(name, value)
    return {name: os.environ[name] for name in device.environment}


def _device_name(current_platform: Any) -> str:
    try:
        return str(current_platform.get_device_name())
    except (NotImplementedError, RuntimeError) as error:
        return f"{current_platform.device_name} (name unknown: {error})"
