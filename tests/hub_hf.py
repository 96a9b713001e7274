"""The loopback hub's read-only Hugging Face side, as huggingface_hub 2.4.0 calls it."""

import hashlib
from pathlib import Path
from typing import Any

LFS_SUFFIXES = (".safetensors", ".bin", ".pt", ".gguf")  # large files, by their name


class HuggingFaceRoutes:
    """Mixed into the handler: model info, file tree, file bytes."""

    def _commit_of(self, repo: str, revision: str) -> str:
        return hashlib.sha1(f"{repo}@{revision}".encode()).hexdigest()

    def _hf_directory(self, repo: str, revision: str) -> Path | None:
        names = {"main": "master"} | {
            self._commit_of(repo, p.name): p.name for p in (self.hub.root / repo).glob("*")
        }
        return self._directory(repo, names.get(revision, revision))

    def hf_info(self, repo: str, revision: str = "main") -> None:
        directory = self._hf_directory(repo, revision)
        if directory is None:
            return None
        siblings = [
            {"rfilename": p.relative_to(directory).as_posix(), **self._hf_entry(p)}
            for p in sorted(directory.rglob("*"))
            if p.is_file()
        ]
        sha = self._commit_of(repo, directory.name)
        return self._json(
            {"id": repo, "sha": sha, "siblings": siblings, "private": False, "tags": []}
        )

    def _hf_entry(self, path: Path) -> dict[str, Any]:
        size, digest = path.stat().st_size, self.hub.sha256(path)
        entry: dict[str, Any] = {"size": size, "blobId": digest[:40], "oid": digest[:40]}
        if path.suffix in LFS_SUFFIXES:
            entry["lfs"] = {"oid": digest, "sha256": digest, "size": size, "pointerSize": 130}
        return entry

    def hf_tree(self, repo: str, revision: str) -> None:
        directory = self._hf_directory(repo, revision)
        if directory is not None:
            files = [p for p in sorted(directory.rglob("*")) if p.is_file()]
            names = [p.relative_to(directory).as_posix() for p in files]
            entries = zip(names, files, strict=True)
            self._json([{"type": "file", "path": n, **self._hf_entry(p)} for n, p in entries])

    def hf_file(self, repo: str, revision: str, path: str) -> None:
        directory = self._hf_directory(repo, revision)
        if directory is None:
            return None
        if not (directory / path).is_file():
            return self._error(404, f"{path} does not exist", **{"X-Error-Code": "EntryNotFound"})
        digest = self.hub.sha256(directory / path)
        extra = {"X-Repo-Commit": self._commit_of(repo, directory.name), "ETag": f'"{digest}"'}
        return self._send_file(directory / path, path, extra)
