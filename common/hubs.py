"""Where a model comes from: ModelScope, Hugging Face, or a directory of this machine.

Ships in the image beside download_model.py. The SDKs are imported where they are used: each reads
its environment on import.
"""

import filecmp
import glob
import hashlib
import os
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

SECRET_FILES = {"modelscope": "modelscope_token", "hf": "hf_token"}
TOKEN_VARIABLES = {"modelscope": "MODELSCOPE_API_TOKEN", "hf": "HF_TOKEN"}


class DownloadError(Exception):
    """Cannot go on; the message says what is wrong and what to do about it."""


@dataclass(frozen=True)
class RemoteFile:
    """One file to have: path in the model directory, bytes, and sha256 where it is known."""

    path: str
    size: int
    sha256: str | None


class Hub(Protocol):
    """A place that models come from."""

    name: str

    def files(self) -> list[RemoteFile]:
        """Every file of the repository at the wanted revision."""

    def fetch(self, files: list[RemoteFile], out: Path) -> None:
        """Bring `files` into `out`, going on where an earlier try stopped."""

    def changed(self, file: RemoteFile, out: Path) -> bool:
        """Whether a file without sha256 holds other bytes in `out`, where it has the same size."""

    def explain(self, error: Exception) -> tuple[bool, str]:
        """Whether to try again after `error`, and what it means."""


class ModelScope:
    """ModelScope through its own SDK, which resumes, retries and checks what the hub lists."""

    def __init__(self, model_id: str, revision: str | None, token: str | None, workers: int):
        self.name = f"{model_id}@{revision or 'master'} on ModelScope"
        self.model_id, self.revision = model_id, revision or "master"
        self.token, self.workers, self.endpoint = token, workers, ""

    def files(self) -> list[RemoteFile]:
        """The hub's list with sizes and sha256."""
        from modelscope_hub import HubApi

        api = HubApi(token=self.token or "")
        if not self.endpoint:  # MODELSCOPE_ENDPOINT, else whichever of the two sites has the model
            self.endpoint = api.resolve_endpoint_for_read(self.model_id, repo_type="model")
        api = HubApi(token=self.token or "", endpoint=self.endpoint)
        listed = api.list_repo_files(self.model_id, "model", revision=self.revision)
        return [RemoteFile(f.path, f.size, f.sha256) for f in listed if f.type != "tree"]

    def fetch(self, files: list[RemoteFile], out: Path) -> None:
        """Files in parallel; large ones also in parallel pieces."""
        from modelscope.hub.snapshot_download import snapshot_download

        snapshot_download(
            self.model_id,
            revision=self.revision,
            local_dir=str(out),
            allow_patterns=[glob.escape(file.path) for file in files],
            max_workers=self.workers,
            token=self.token or "",
            endpoint=self.endpoint,
        )

    def changed(self, file: RemoteFile, out: Path) -> bool:
        """Never: the hub lists sha256 of all files."""
        return False

    def explain(self, error: Exception) -> tuple[bool, str]:
        """Reads the SDK's error classes; an error hidden in a per-file report counts as itself."""
        from modelscope_hub import errors

        causes = list(getattr(error, "failed_files", {}).items()) or [
            ("", error.__cause__ or error)
        ]
        path, cause = next((c for c in causes if not _retryable(c[1])), causes[0])
        where = f"{path}: " if path else ""
        if isinstance(cause, errors.AuthenticationError | errors.PermissionDeniedError):
            return False, _refused(self.name, self.token, "modelscope")
        if isinstance(cause, errors.NotExistError):
            return (
                False,
                f"{where or self.name + ': '}no such model, revision or file ({_line(cause)})",
            )
        if isinstance(cause, errors.FileIntegrityError):
            return (
                False,
                f"{where}what the hub sends is not what it lists ({_line(cause)}); upload it again",
            )
        if isinstance(cause, errors.RequestTimeoutError):
            # One that the SDK gives up for good after 15 s of a network that is away: its list of
            # files may still come in the time that we have.
            return True, f"{where or self.name + ': '}no answer in time; is the network there?"
        return _retryable(cause), f"{where}{_line(cause)}"


class HuggingFace:
    """Hugging Face's hub (HF_ENDPOINT for a mirror)."""

    def __init__(self, model_id: str, revision: str | None, token: str | None, workers: int):
        self.name = f"{model_id}@{revision or 'main'} on Hugging Face"
        self.model_id, self.revision = model_id, revision or "main"
        self.token, self.workers = token, workers
        self._blobs: dict[str, str | None] = {}

    def files(self) -> list[RemoteFile]:
        """The hub's list; only its large files carry a sha256."""
        from huggingface_hub import HfApi

        info = HfApi(token=self.token or False).model_info(
            self.model_id, revision=self.revision, files_metadata=True
        )
        self._blobs = {f.rfilename: f.blob_id for f in info.siblings or []}
        return [
            RemoteFile(f.rfilename, f.size or 0, f.lfs.sha256 if f.lfs else None)
            for f in info.siblings or []
        ]

    def fetch(self, files: list[RemoteFile], out: Path) -> None:
        """Files in parallel, resumed by the SDK; its bookkeeping folder is removed."""
        from huggingface_hub import snapshot_download

        snapshot_download(
            self.model_id,
            revision=self.revision,
            local_dir=out,
            allow_patterns=[glob.escape(file.path) for file in files],
            max_workers=self.workers,
            token=self.token or False,
        )
        shutil.rmtree(out / ".cache", ignore_errors=True)

    def changed(self, file: RemoteFile, out: Path) -> bool:
        """By git's id of the content."""
        known = self._blobs.get(file.path)
        if not known:
            return False
        data = (out / file.path).read_bytes()
        return hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest() != known  # noqa: S324

    def explain(self, error: Exception) -> tuple[bool, str]:
        """By the HTTP status where there is one."""
        status = getattr(getattr(error, "response", None), "status_code", None)
        if status in (401, 403):
            return False, _refused(self.name, self.token, "hf")
        if status == 404:
            return False, f"{self.name}: no such model, revision or file ({_line(error)})"
        return status is None or status == 429 or status >= 500, _line(error)


class Directory:
    """A model directory of this machine."""

    def __init__(self, directory: Path):
        self.name, self.directory = str(directory), directory
        if not directory.is_dir():
            raise DownloadError(f"--from {directory}: not a directory")

    def files(self) -> list[RemoteFile]:
        """Its files; their sha256 come from the manifest, where there is one."""
        found = sorted(p for p in self.directory.rglob("*") if p.is_file())
        names = [p.relative_to(self.directory).as_posix() for p in found]
        return [RemoteFile(n, p.stat().st_size, None) for n, p in zip(names, found, strict=True)]

    def fetch(self, files: list[RemoteFile], out: Path) -> None:
        """Plain copies (of what links point to)."""
        for file in files:
            target = out / file.path
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(self.directory / file.path, target)

    def changed(self, file: RemoteFile, out: Path) -> bool:
        """Byte by byte: another model of the same shape has files of the same sizes."""
        return not filecmp.cmp(self.directory / file.path, out / file.path, shallow=False)

    def explain(self, error: Exception) -> tuple[bool, str]:
        """A local copy that failed will fail again."""
        return False, _line(error)


def _retryable(error: BaseException) -> bool:
    return bool(getattr(error, "retryable", isinstance(error, ConnectionError | TimeoutError)))


def _line(error: BaseException) -> str:
    text = str(error).strip()
    return text.splitlines()[0] if text else type(error).__name__


def _refused(name: str, token: str | None, hub: str) -> str:
    if token:
        return f"{name}: the hub refuses the access token (wrong, expired, or without read access)"
    return (
        f"{name}: the hub asks for an access token, so the repository is private. The judge passes "
        f"none: make it public, or, for a build of your own, give {TOKEN_VARIABLES[hub]}"
    )


def read_token(hub: str, token_file: Path | None) -> str | None:
    """The token from a build secret's file, else from the environment, else None."""
    path = token_file or Path("/run/secrets") / SECRET_FILES[hub]
    if path.is_file():
        return path.read_text(encoding="utf-8").strip() or None
    if token_file is not None:
        raise DownloadError(f"--token-file {token_file}: no such file")
    return os.environ.get(TOKEN_VARIABLES[hub]) or None
