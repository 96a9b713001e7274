"""Content-addressed cache: one small JSON file per key, written whole or not at all."""

import hashlib
import json
import os
import tempfile
from pathlib import Path
from typing import Any


class Cache:
    """Results by a key that names everything they depend on; safe to kill at any time."""

    def __init__(self, directory: Path) -> None:
        """Files go below `directory`, which is made when first needed."""
        self.directory = directory

    def _path(self, key: str) -> Path:
        name = hashlib.sha256(key.encode()).hexdigest()
        return self.directory / name[:2] / f"{name}.json"

    def get(self, key: str) -> dict[str, Any] | None:
        """The stored value, or None. A damaged file counts as missing and is made again."""
        try:
            return json.loads(self._path(key).read_text(encoding="utf-8"))
        except FileNotFoundError:
            return None
        except (json.JSONDecodeError, UnicodeDecodeError):
            return None

    def put(self, key: str, value: dict[str, Any]) -> None:
        """Store `value` (JSON). The rename makes it whole: readers never see a part."""
        path = self._path(key)
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, temporary = tempfile.mkstemp(dir=path.parent, suffix=".tmp")
        try:
            with os.fdopen(handle, "w", encoding="utf-8") as stream:
                json.dump(value, stream, ensure_ascii=False)
            Path(temporary).replace(path)
        finally:
            Path(temporary).unlink(missing_ok=True)
