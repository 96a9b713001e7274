"""Crash reports: a file for each time the engine was lost, with the reason and the shape of the
work in flight, never its text.

Logs may be gone by the time an operator looks.
"""

import contextlib
import json
import logging
import time
from collections.abc import Sequence
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from serving import __version__
from serving.resource_usage import resident_bytes

log = logging.getLogger(__name__)

# Reports kept: a service that keeps failing must not fill the disk.
KEPT = 20


def spread(numbers: Sequence[float]) -> dict[str, float]:
    """Count, least, mean and most of some numbers; only the count when there are none."""
    if not numbers:
        return {"count": 0}
    mean = round(sum(numbers) / len(numbers), 1)
    return {"count": len(numbers), "min": min(numbers), "mean": mean, "max": max(numbers)}


def write_crash_report(
    directory: Path,
    reason: str,
    trace: str,
    outcome: str,
    shape: dict[str, Any],
    engine: dict[str, Any],
) -> Path | None:
    """Write `crash-<UTC time>.json`; None, and a log line, when the disk refuses."""
    now = datetime.now(timezone.utc)
    report = {
        "time": now.isoformat(timespec="seconds"),
        "version": __version__,
        "reason": reason,
        "outcome": outcome,
        "work": shape,
        "engine": engine,
        "memory_bytes": resident_bytes(),
        "process_cpu_seconds": round(time.process_time(), 1),
        "trace": trace.splitlines(),
    }
    path = directory / f"crash-{now:%Y%m%dT%H%M%S%f}.json"
    try:
        directory.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(report, ensure_ascii=False, indent=2) + "\n", "utf-8")
        for old in sorted(directory.glob("crash-*.json"))[:-KEPT]:
            old.unlink(missing_ok=True)
    except OSError as error:
        with contextlib.suppress(OSError):
            path.unlink()  # half a report is no JSON
        log.error("no crash report in %s: %s", directory, error)
        return None
    log.error("crash report: %s", path)
    return path
