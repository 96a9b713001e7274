"""What the device does in a step, by kernel: torch's profiler over a few steps of each phase.

Used by bench/breakdown.py on a GPU. The profiler slows the host, so its runs are not timed; what
the device computes is not slowed. Busy is the time in which at least one kernel or copy ran.
"""

import re
from collections import defaultdict
from collections.abc import Iterable
from typing import Any

STEPS = 10
# Steps of a phase that pass before its window opens.
SETTLE = 5
# What a kernel's name tells of its work, first match; what matches nothing is "other".
KINDS = {
    # First, because their names list what they were fused around.
    "norms, activations, rope, quantizing": r"^triton",
    "KV cache write": r"reshape_and_cache",
    "attention": r"flash|attn|attention|paged",
    "matrix products": r"nvjet|gemm|cutlass|splitK|marlin|machete|cublas|Cijk",
    "sampling": r"gumbel|argmax|ArgMax|sampl|direct_copy",
    "copies": r"Memcpy|Memset",
    "other norms and activations": r"norm|silu|rotary|quant",
}


class KernelWindows:
    """Opens the profiler for STEPS steps of each phase; `after` is told of every step."""

    def __init__(self) -> None:
        self.found: dict[str, dict[str, Any]] = {}
        self._seen: dict[str, int] = defaultdict(int)
        self._open: tuple[str, Any] | None = None
        self._left = 0

    def after(self, phase: str) -> None:
        """One step of this phase has ended; runs between two steps."""
        import torch
        from torch.profiler import ProfilerActivity, profile

        if self._open is not None:
            self._left -= 1
            if self._left == 0:
                torch.cuda.synchronize()
                self.close()
            return
        self._seen[phase] += 1
        if phase not in self.found and self._seen[phase] == SETTLE:
            torch.cuda.synchronize()
            self._open = (phase, profile(activities=[ProfilerActivity.CUDA]))
            self._open[1].__enter__()
            self._left = STEPS

    def close(self) -> None:
        """End an open window; one that a batch's end cut short is not counted."""
        if self._open is None:
            return
        (phase, profiler), self._open = self._open, None
        profiler.__exit__(None, None, None)
        if self._left == 0:
            self.found[phase] = summary(device_events(profiler), STEPS)


def device_events(profiler: Any) -> list[tuple[str, float, float]]:
    """Name, begin and end in microseconds of everything that ran on the device."""
    from torch.autograd import DeviceType

    return [
        (event.name, event.time_range.start, event.time_range.end)
        for event in profiler.events()
        if event.device_type == DeviceType.CUDA
    ]


def summary(events: Iterable[tuple[str, float, float]], steps: int) -> dict[str, Any]:
    """Milliseconds a step: busy, and by kind of kernel; kernels a step, and the longest ones."""
    kinds: dict[str, float] = defaultdict(float)
    names: dict[str, list[float]] = defaultdict(list)
    busy, until = 0.0, float("-inf")
    for name, begin, end in sorted(events, key=lambda event: event[1]):
        busy += max(0.0, end - max(begin, until))
        until = max(until, end)
        kinds[kind_of(name)] += end - begin
        names[name].append(end - begin)
    longest = sorted(names.items(), key=lambda item: -sum(item[1]))[:12]

    def per_step(microseconds: float) -> float:
        return round(microseconds / 1000 / steps, 4)

    return {
        "steps": steps,
        "busy_ms": per_step(busy),
        "kernels": sum(map(len, names.values())) / steps,
        "kinds_ms": {k: per_step(v) for k, v in sorted(kinds.items(), key=lambda i: -i[1])},
        "longest": [
            {"name": name[:100], "count": len(times) / steps, "ms": per_step(sum(times))}
            for name, times in longest
        ],
    }


def kind_of(name: str) -> str:
    """The kind of work of a kernel."""
    return next((k for k, pattern in KINDS.items() if re.search(pattern, name)), "other")
