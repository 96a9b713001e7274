"""The loopback hub's Hugging Face side, as huggingface_hub 1.33 and 2.4 call it; no Xet."""

import base64
import hashlib
import json
import shutil
from pathlib import Path
from typing import Any

LFS_SUFFIXES = (".safetensors", ".bin", ".pt", ".gguf")  # large files, by their name


class HuggingFaceRoutes:
    """Mixed into the handler: model info, file tree, file bytes; create, upload, commit."""

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
        blob = hashlib.sha1(b"blob %d\0" % size + path.read_bytes()).hexdigest()
        entry: dict[str, Any] = {"size": size, "blobId": blob, "oid": blob}
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

    # --- writing --------------------------------------------------------------------------------

    def hf_create(self) -> None:
        if self._needs_token():
            return None
        body = json.loads(self._body())
        repo = f"{body['organization']}/{body['name']}"
        url = {"url": f"{self.hub.endpoint}/{repo}", "name": repo}
        if (self.hub.root / repo).exists():
            return self._json({"error": "You already created this model repo", **url}, 409)
        (self.hub.root / repo / "master").mkdir(parents=True)
        if body.get("private") or body.get("visibility") == "private":
            self.hub.private.add(repo)
        return self._json(url)

    def hf_validate(self) -> None:
        self._body()
        self._json({"errors": [], "warnings": []})

    def hf_preupload(self, repo: str, revision: str) -> None:
        files = json.loads(self._body())["files"]
        directory = self._hf_directory(repo, revision)
        if directory is None:
            return
        told = [
            {
                "path": file["path"],
                "uploadMode": "lfs" if file["path"].endswith(LFS_SUFFIXES) else "regular",
                "shouldIgnore": False,
            }
            for file in files
        ]
        self._json({"files": told})

    def hf_lfs_batch(self, repo: str) -> None:
        if not self._needs_token():
            self._json({"transfer": "basic", "objects": self._lfs_objects()})

    def hf_commit(self, repo: str, revision: str) -> None:
        if self._needs_token():
            return None
        lines = [json.loads(line) for line in self._body().splitlines()]
        directory = self._hf_directory(repo, revision)
        if directory is None:
            return None
        for line in lines:
            value = line["value"]
            if line["key"] == "lfsFile":
                if not self.hub.blob(value["oid"]).is_file():
                    return self._error(400, f"{value['path']}: its blob was never uploaded")
                shutil.copyfile(self.hub.blob(value["oid"]), directory / value["path"])
            elif line["key"] == "file":
                (directory / value["path"]).write_bytes(base64.b64decode(value["content"]))
        self.hub.commits.append({"repo": repo, "revision": revision, "lines": len(lines)})
        url = f"{self.hub.endpoint}/{repo}/commit/{self._commit_of(repo, revision)}"
        return self._json({"commitUrl": url, "commitOid": self._commit_of(repo, revision)})
