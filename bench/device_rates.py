"""Memory speed and 16-bit matrix rate of this machine's GPU, for floors on a card that is in no
table: as those of common/facts.json were taken, a device-to-device copy and an 8192³ product.

    python -m bench.device_rates        a line of JSON: bytes_per_s, flops_per_s
"""

import json
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

from common.device_table import Device

COPIED_BYTES = 2 << 30
SIDE = 8192
REPEATS = 20


def measured_device(name: str) -> Device | None:
    """The GPU's rates, measured in a process that leaves its memory free; None: that failed."""
    done = subprocess.run(
        [sys.executable, "-m", "bench.device_rates"], capture_output=True, text=True
    )
    if done.returncode:
        print(f"no floors: the rates of {name} cannot be measured: {done.stderr[-300:]}")
        return None
    rates: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return Device(name, name, "cuda", None, **rates, max_num_seqs=512, source="measured here")


def seconds_of(action: Callable[[], Any], wait: Callable[[], Any]) -> float:
    """Seconds of one of many in a row, after one that warms up."""
    action()
    wait()
    began = time.perf_counter()
    for _ in range(REPEATS):
        action()
    wait()
    return (time.perf_counter() - began) / REPEATS


def main() -> None:
    """Print the rates."""
    import torch

    source = torch.empty(COPIED_BYTES, dtype=torch.uint8, device="cuda")
    target = torch.empty_like(source)
    copy = seconds_of(lambda: target.copy_(source), torch.cuda.synchronize)
    matrix = torch.randn(SIDE, SIDE, dtype=torch.bfloat16, device="cuda")
    product = seconds_of(lambda: matrix @ matrix, torch.cuda.synchronize)
    rates = {"bytes_per_s": 2 * COPIED_BYTES / copy, "flops_per_s": 2 * SIDE**3 / product}
    print(json.dumps(rates))


if __name__ == "__main__":
    main()
