"""What each device needs of vLLM, one entry a device, each with its reason and source.

A setting that the user made always wins. Sources: "measured" is by this project, on the device
named; "plugin source" is MetaX's public vLLM plugin, read and never run by us.
"""

import contextlib
import os
import platform
import sys
from dataclasses import dataclass, field
from typing import Any, Literal

DeviceKind = Literal["cpu", "cuda", "wsl", "metax", "other"]


# vLLM captures a graph for every 8 or 16 answers, 51 of them up to 512, and a fresh start pays for
# each. With these 22 the port opened after 91.5 s instead of 102.8 (once each), and 358 questions
# took 3.35 s instead of 3.33: noise (measured, H100, vLLM 0.25.1). 358 is the bonus set at once.
# Sizes count tokens: a step that computes a prompt beside 256 answers needs one above 256.
GRAPH_SIZES = (
    *(1, 2, 4, 8, 16, 32, 48, 64, 80, 96, 112, 128),
    *(160, 192, 224, 256, 288, 320, 358, 384, 448, 512),
)


@dataclass(frozen=True)
class Device:
    """A device's defaults: arguments of `LLM(...)`, environment, where the core runs, and for how
    many tokens in a step graphs are captured (empty: vLLM's own choice)."""

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
    """A processor: compilation costs a minute and buys little (measured, 2 cores); the engine
    core in its own process fights the service for the cores (measured: 1.6 times slower)."""
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
            # oneDNN keeps compiled code for each number of tokens it has met, 1,024 of them by
            # default: with 200 clients memory grew by 11 % in ten minutes, by 1 % in three and a
            # half with 64 (measured, the demo model).
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


def before_imports() -> None:
    """Environment that libraries read once, when they load; call it before torch is imported.

    Threads that wait for one another actively stall each other for whole time slices as soon as
    something else runs on their cores. Measured on two busy cores, a batch of 16 on the demo
    model: 158 ms a step with active waiting, 14 ms with passive.
    """
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")


def apply_environment(device: Device) -> dict[str, str]:
    """Set the device's environment variables that are not set yet; returns those in force."""
    for name, value in device.environment.items():
        os.environ.setdefault(name, value)
    return {name: os.environ[name] for name in device.environment}


def usage() -> dict[str, float]:
    """Memory (bytes) and utilisation (percent) of the accelerator, as far as they can be read;
    nothing on a processor. Never the first to import torch."""
    torch = sys.modules.get("torch")
    if torch is None or not torch.cuda.is_available():
        return {}
    free, total = torch.cuda.mem_get_info()
    figures = {"device_memory_used_bytes": total - free, "device_memory_bytes": total}
    # It needs NVIDIA's management library, which other makers' builds lack.
    with contextlib.suppress(ImportError, RuntimeError, AttributeError):
        figures["device_utilization_percent"] = torch.cuda.utilization()
    return figures


def _device_name(current_platform: Any) -> str:
    try:
        return str(current_platform.get_device_name())
    except (NotImplementedError, RuntimeError) as error:
        return f"{current_platform.device_name} (name unknown: {error})"
