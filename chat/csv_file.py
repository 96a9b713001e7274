"""Rows that people make, kept in CSV files (UTF-8, comma, a header) that only grow."""

import csv
import threading
from collections.abc import Mapping
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

_writing = threading.Lock()


def append(path: Path, row: Mapping[str, Any]) -> None:
    """Append a row; a new file begins with its columns. Raises OSError."""
    with _writing:
        path.parent.mkdir(parents=True, exist_ok=True)
        begin = not path.exists() or path.stat().st_size == 0
        with path.open("a", encoding="utf-8", newline="") as stream:
            writer = csv.DictWriter(stream, row.keys())
            if begin:
                writer.writeheader()
            writer.writerow(row)


def now() -> str:
    """UTC, ISO 8601, whole seconds."""
    return datetime.now(timezone.utc).isoformat(timespec="seconds")
