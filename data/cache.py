"""Content-addressed cache in one SQLite file: a key names everything its value depends on."""

import json
import sqlite3
from pathlib import Path
from typing import Any

from common.language import BilingualError


class CacheError(BilingualError, RuntimeError):
    """The cache file cannot be used; the message says what to do."""


class Cache:
    """Values by key. Every `put` is on disk when it returns, so a killed run loses nothing."""

    def __init__(self, directory: Path) -> None:
        """Opens `cache.sqlite` in `directory`, making both. Raises CacheError."""
        directory.mkdir(parents=True, exist_ok=True)
        self.path = directory / "cache.sqlite"
        try:
            self._db = sqlite3.connect(self.path, timeout=60, isolation_level=None)
            self._db.execute("PRAGMA journal_mode=WAL")
            self._db.execute("PRAGMA synchronous=NORMAL")
            self._db.execute("CREATE TABLE IF NOT EXISTS made (key TEXT PRIMARY KEY, value TEXT)")
        except sqlite3.DatabaseError as error:
            raise CacheError(
                f"{self.path}：{error}；删掉这个文件就重新开始",
                f"{self.path}: {error}; delete the file to start anew",
            ) from error

    def get(self, key: str) -> Any | None:
        """The stored value, or None."""
        row = self._db.execute("SELECT value FROM made WHERE key = ?", (key,)).fetchone()
        return json.loads(row[0]) if row else None

    def put(self, key: str, value: Any) -> None:
        """Store a JSON value, replacing an earlier one."""
        text = json.dumps(value, ensure_ascii=False)
        self._db.execute("INSERT OR REPLACE INTO made VALUES (?, ?)", (key, text))

    def close(self) -> None:
        """Close the file; the object cannot be used afterwards."""
        self._db.close()
