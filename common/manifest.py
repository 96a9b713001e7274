"""`manifest.json`: where a stage's output came from, so that a score can be traced to a book.

Every stage (data, train, merge, quantize) writes one beside its output and names its parents.
"""

import hashlib
import json
import platform
from collections.abc import Iterable
from datetime import datetime, timezone
from importlib import metadata
from pathlib import Path
from typing import Any

from pydantic import BaseModel, Field, ValidationError

MANIFEST_NAME = "manifest.json"


class ManifestError(ValueError):
    """A manifest.json that is none of this kit's; the message is one line that says where."""


class FileRecord(BaseModel):
    """One file: path relative to the manifest (or its name, for inputs), bytes and sha256."""

    path: str
    bytes: int
    sha256: str


class Manifest(BaseModel):
    """What one stage read, did and wrote. `seconds` is wall time; times are UTC, ISO 8601."""

    stage: str = Field(description="what made it: data, demo, lora, merge, quantize, …")
    name: str
    demo: bool = Field(False, description="a demo of the flow: its scores must say so")
    created: str = ""
    inputs: list[FileRecord] = []
    outputs: list[FileRecord] = []
    settings: dict[str, Any] = {}
    counts: dict[str, float] = {}
    scores: dict[str, float] = Field({}, description="measured ones only")
    versions: dict[str, str] = {}
    seconds: float = 0.0
    parents: list["Manifest"] = []


def file_record(path: Path, root: Path | None = None) -> FileRecord:
    """Size and sha256 of a file, read in pieces; named relative to `root`, else by its name."""
    digest = hashlib.sha256()
    with path.open("rb") as stream:
        while piece := stream.read(1 << 20):
            digest.update(piece)
    name = path.relative_to(root).as_posix() if root else path.name
    return FileRecord(path=name, bytes=path.stat().st_size, sha256=digest.hexdigest())


def directory_records(directory: Path) -> list[FileRecord]:
    """Records of every file below `directory` except its manifest, in name order."""
    files = sorted(p for p in directory.rglob("*") if p.is_file() and p.name != MANIFEST_NAME)
    return [file_record(path, directory) for path in files]


def library_versions(names: Iterable[str]) -> dict[str, str]:
    """Installed versions of the named distributions (absent ones left out), and Python's."""
    versions = {"python": platform.python_version()}
    for name in names:
        try:
            versions[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return versions


def write_manifest(directory: Path, manifest: Manifest) -> Path:
    """Write `manifest.json` into `directory`, stamping the time when it has none."""
    if not manifest.created:
        manifest.created = datetime.now(timezone.utc).isoformat(timespec="seconds")
    path = directory / MANIFEST_NAME
    text = json.dumps(manifest.model_dump(), ensure_ascii=False, indent=2)
    path.write_text(text + "\n", encoding="utf-8")
    return path


def read_manifest(directory: Path) -> Manifest | None:
    """The manifest in `directory`, or None. Raises ManifestError on a malformed one."""
    path = directory / MANIFEST_NAME
    if not path.is_file():
        return None
    try:
        return Manifest.model_validate_json(path.read_bytes())
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(map(str, first["loc"]))
        where = f"{field}: " if field else ""
        raise ManifestError(
            f"{path}: not a manifest of this kit ({where}{first['msg']}): restore it, or remove it"
        ) from error


def chain(manifest: Manifest) -> list[str]:
    """One line per stage from the newest back to the book, for logs and reports."""
    lines = [f"{manifest.stage}: {manifest.name}" + (" (demo)" if manifest.demo else "")]
    for parent in manifest.parents:
        lines += ["  " + line for line in chain(parent)]
    return lines
