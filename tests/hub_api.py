"""The routes of the loopback model hub (`hub_standin.py`): reading, downloading, uploading."""

import base64
import dataclasses
import fnmatch
import hashlib
import json
import re
import shutil
import time
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from tests.hub_hf import LFS_SUFFIXES, HuggingFaceRoutes

PIECE = 64 * 1024
ALREADY_EXISTS = 10010101001  # ModelScope's business code for "this model exists already"
BAD_TOKEN = 10010103009


@dataclasses.dataclass
class Fault:
    """What goes wrong with requests whose file path (or API path) matches `pattern`.

    kind: `status` (reply with `status` and `retry_after`), `cut` (close the connection after
    `after` bytes of the body; an upload's path is `upload/SHA256`, and its bytes are those
    received), `corrupt` (flip one byte), `stall` (send `after` bytes, then nothing for `seconds`).
    """

    pattern: str
    kind: str
    times: int = 1
    status: int = 503
    retry_after: float | None = None
    after: int = 1024
    seconds: float = 3600.0


@dataclasses.dataclass
class Request:
    """One finished request: `path` is the file's path in its repository where there is one."""

    method: str
    url: str
    path: str
    range: str
    status: int
    sent: int
    received: int
    token: bool


class HubHandler(HuggingFaceRoutes, BaseHTTPRequestHandler):
    """Routes of the hub; `hub` is the `HubStandin` that made this class."""

    hub: Any
    protocol_version = "HTTP/1.1"

    # --- plumbing ------------------------------------------------------------------------------

    def log_message(self, *_: object) -> None:
        pass

    def _start(self) -> None:
        self.parts = urlsplit(self.path)
        self.query = {k: v[0] for k, v in parse_qs(self.parts.query).items()}
        self.route = unquote(self.parts.path)
        self.file_path, self.status, self.sent, self.received = "", 0, 0, 0

    def _record(self) -> None:
        self.hub.record(
            Request(
                self.command,
                self.path,
                self.file_path,
                self.headers.get("Range", ""),
                self.status,
                self.sent,
                self.received,
                bool(self._token()),
            )
        )

    def _token(self) -> str:
        bearer = self.headers.get("Authorization", "").removeprefix("Bearer ").strip()
        cookie = re.search(r"m_session_id=([^;]+)", self.headers.get("Cookie", ""))
        return bearer or (cookie.group(1) if cookie else "")

    def _body(self) -> bytes:
        data = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        self.received = len(data)
        return data

    def _headers(self, status: int, length: int, extra: dict[str, str] | None = None) -> None:
        self.status = status
        self.send_response(status)
        self.send_header("Content-Length", str(length))
        for name, value in (extra or {}).items():
            self.send_header(name, value)
        self.end_headers()

    def _json(self, data: Any, status: int = 200, extra: dict[str, str] | None = None) -> None:
        body = json.dumps(data, ensure_ascii=False).encode()
        self._headers(status, len(body), {"Content-Type": "application/json", **(extra or {})})
        if self.command != "HEAD":
            self.wfile.write(body)

    def _ok(self, data: Any) -> None:
        if self.route.startswith("/openapi/"):
            return self._json({"success": True, "data": data})
        return self._json({"Code": 200, "Success": True, "Message": "success", "Data": data})

    def _error(self, status: int, message: str, code: int | None = None, **extra: str) -> None:
        body = {"Code": code or status, "Success": False, "Message": message}
        self._json(body, status, extra)

    def _serve(self) -> None:
        self._start()
        try:
            if self._refused() or self._status_fault(self.route):
                self._body()
                return
            for method, pattern, action in _ROUTES:
                match = re.fullmatch(pattern, self.route)
                if match and self.command in method.split():
                    getattr(self, action)(**match.groupdict())
                    return
            self._body()
            self._error(404, f"the stand-in does not know {self.command} {self.route}")
        except (BrokenPipeError, ConnectionResetError):
            self.close_connection = True
        finally:
            self._record()

    do_GET = do_HEAD = do_POST = do_PUT = _serve  # noqa: N815

    def _refused(self) -> bool:
        if self.route.startswith("/-/"):  # signed storage URLs carry no token
            return False
        wanted = self.hub.token
        private = any(f"/{repo}" in self.route for repo in self.hub.private)
        given = self._token()
        if (wanted and given and given != wanted) or ((wanted or private) and not given):
            self._error(401, "AccessToken is invalid or expired", BAD_TOKEN)
            return True
        return False

    def _status_fault(self, path: str) -> bool:
        for fault in self.hub.faults:
            if fault.kind == "status" and fault.times > 0 and fnmatch.fnmatch(path, fault.pattern):
                fault.times -= 1
                wait = (
                    {} if fault.retry_after is None else {"Retry-After": f"{fault.retry_after:g}"}
                )
                self._error(fault.status, f"planted fault {fault.status}", None, **wait)
                return True
        return False

    def _directory(self, repo: str, revision: str) -> Path | None:
        directory = self.hub.repo_dir(repo, revision)
        if directory is None:
            known = (self.hub.root / repo).is_dir()
            what = f"revision {revision} of {repo}" if known else f"repository {repo}"
            kind = "RevisionNotFound" if known else "RepoNotFound"  # Hugging Face's own words
            self._error(404, f"{what} does not exist", **{"X-Error-Code": kind})
        return directory

    # --- reading: ModelScope --------------------------------------------------------------------

    def model_info(self, repo: str) -> None:
        if not (self.hub.root / repo).is_dir():
            return self._error(404, f"repository {repo} does not exist")
        owner, name = repo.split("/")
        return self._ok({"id": repo, "owner": owner, "name": name, "Path": owner, "Name": name})

    def revisions(self, repo: str) -> None:
        if not (self.hub.root / repo).is_dir():
            return self._error(404, f"repository {repo} does not exist")
        names = sorted(p.name for p in (self.hub.root / repo).iterdir())
        entries = [{"Revision": n, "CreatedAt": 1700000000} for n in names]
        branches = [e for e in entries if e["Revision"] == "master"]
        tags = [e for e in entries if e["Revision"] != "master"]
        return self._ok({"RevisionMap": {"Branches": branches, "Tags": tags}})

    def file_list(self, repo: str) -> None:
        directory = self._directory(repo, self.query.get("Revision", "master"))
        if directory is None:
            return None
        base = directory / self.query.get("Root", "").strip("/")
        walk = base.rglob("*") if self.query.get("Recursive") == "True" else base.glob("*")
        files = []
        for path in sorted(walk):
            name = path.relative_to(directory).as_posix()
            if path.is_dir():
                files.append({"Path": name, "Name": path.name, "Type": "tree", "Size": 0})
                continue
            lfs = path.suffix in LFS_SUFFIXES
            entry = {"Path": name, "Name": path.name, "Type": "blob", "IsLFS": lfs}
            files.append({**entry, "Size": path.stat().st_size, "Sha256": self.hub.sha256(path)})
        return self._ok({"Files": files})

    def model_file(self, repo: str) -> None:
        revision = self.query.get("Revision", "master")
        directory = self._directory(repo, revision)
        if directory is not None:
            self._file(directory, self.query["FilePath"], f"{repo}/{revision}")

    def stored_file(self, repo: str, revision: str, path: str) -> None:
        directory = self._directory(repo, revision)
        if directory is not None:
            self._send_file(directory / path, path)

    def region(self) -> None:
        self._ok({"InternalRegionQueryAddress": ""})

    # --- sending bytes --------------------------------------------------------------------------

    def _file(self, directory: Path, path: str, where: str) -> None:
        if not (directory / path).is_file():
            self._error(404, f"{path} does not exist")
        elif path.endswith(LFS_SUFFIXES):
            self._headers(302, 0, {"Location": f"{self.hub.endpoint}/-/{where}/{path}"})
        else:
            self._send_file(directory / path, path)

    def _send_file(self, file: Path, path: str, extra: dict[str, str] | None = None) -> None:
        if self._status_fault(path):
            self.file_path = path
            return None
        self.file_path = path
        size = file.stat().st_size
        first, last, status = 0, size - 1, 200
        headers = {"Accept-Ranges": "bytes", **(extra or {})}
        if match := re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range", "")):
            first = int(match.group(1))
            last = min(int(match.group(2) or last), last)
            if first >= size:
                return self._headers(416, 0, {"Content-Range": f"bytes */{size}"})
            status, headers["Content-Range"] = 206, f"bytes {first}-{last}/{size}"
        if self.command == "HEAD":
            return self._headers(status, last - first + 1, headers)
        fault = self.hub.take_fault(path)
        self._headers(status, last - first + 1, headers)
        with file.open("rb") as stream:
            stream.seek(first)
            self._pump(stream, last - first + 1, fault)
        return None

    def _pump(self, stream: Any, total: int, fault: Fault | None) -> None:
        while self.sent < total:
            piece = stream.read(min(PIECE, total - self.sent))
            if fault and fault.kind == "corrupt" and self.sent == 0:
                piece = bytes([piece[0] ^ 1]) + piece[1:]
            if fault and fault.kind in ("cut", "stall") and self.sent + len(piece) > fault.after:
                rest = piece[: max(0, fault.after - self.sent)]
                self.wfile.write(rest)
                self.wfile.flush()
                self.sent += len(rest)
                if fault.kind == "stall":
                    time.sleep(fault.seconds)
                self.close_connection = True
                return
            self.wfile.write(piece)
            self.sent += len(piece)

    # --- writing: ModelScope --------------------------------------------------------------------

    def _needs_token(self) -> bool:
        if self._token():
            return False
        self._body()
        self._error(401, "this call needs an access token", BAD_TOKEN)
        return True

    def create(self) -> None:
        if self._needs_token():
            return None
        body = json.loads(self._body())
        repo = f"{body['Path']}/{body['Name']}"
        if (self.hub.root / repo).exists():
            return self._error(400, f"model {repo} already exists", ALREADY_EXISTS)
        (self.hub.root / repo / "master").mkdir(parents=True)
        if body.get("Visibility") == 1:
            self.hub.private.add(repo)
        return self._ok(
            {"Path": body["Path"], "Name": body["Name"], "Visibility": body["Visibility"]}
        )

    def lfs_batch(self, repo: str) -> None:
        if self._needs_token() or self._directory(repo, "master") is None:
            return
        self._ok({"objects": self._lfs_objects()})

    def _lfs_objects(self) -> list[dict[str, Any]]:
        """The objects asked about; those that are not here yet with the address to send them to."""
        objects = []
        for entry in json.loads(self._body())["objects"]:
            if not self.hub.blob(entry["oid"]).is_file():
                href = f"{self.hub.endpoint}/-/upload/{entry['oid']}"
                entry = {**entry, "actions": {"upload": {"href": href}}}
            objects.append(entry)
        return objects

    def upload_blob(self, oid: str) -> None:
        if fault := self.hub.take_fault(f"upload/{oid}", "cut"):
            self.received = len(self.rfile.read(fault.after))
            self.close_connection = True
            return None
        data = self._body()
        if self._status_fault(f"upload/{oid}"):
            return None
        if hashlib.sha256(data).hexdigest() != oid:
            return self._error(400, f"the bytes are not those of {oid}")
        target = self.hub.blob(oid)
        target.parent.mkdir(exist_ok=True)
        target.write_bytes(data)
        return self._ok({})

    def commit(self, repo: str, revision: str) -> None:
        if self._needs_token():
            return None
        body = json.loads(self._body())
        if not (self.hub.root / repo).is_dir():
            return self._error(404, f"repository {repo} does not exist")
        directory = self.hub.root / repo / revision
        for action in body["actions"]:
            if action["type"] == "lfs" and action["action"] != "delete":
                blob = self.hub.blob(action["sha256"])
                if not blob.is_file() or blob.stat().st_size != action["size"]:
                    return self._error(400, f"{action['path']}: its blob was never uploaded")
        for action in body["actions"]:
            target = directory / action["path"]
            if action["action"] == "delete":
                target.unlink(missing_ok=True)
                continue
            target.parent.mkdir(parents=True, exist_ok=True)
            if action["type"] == "lfs":
                shutil.copyfile(self.hub.blob(action["sha256"]), target)
            else:
                target.write_bytes(base64.b64decode(action.get("content") or ""))
        self.hub.commits.append({"repo": repo, "revision": revision, **body})
        oid = hashlib.sha1(json.dumps(body, sort_keys=True).encode()).hexdigest()
        return self._ok({"oid": oid, "commit_id": oid})

    def tag(self, repo: str) -> None:
        if self._needs_token():
            return
        body = json.loads(self._body())
        source = self._directory(repo, body["Ref"])
        if source is not None:
            shutil.copytree(source, source.parent / body["TagName"])
            self._ok({"TagName": body["TagName"]})


_REPO = r"(?P<repo>[^/]+/[^/]+)"
_V1 = r"/api/v1"
_ROUTES = [
    ("GET", rf"{_V1}/repos/internalAccelerationInfo", "region"),
    ("POST", rf"{_V1}/models", "create"),
    ("GET", rf"{_V1}/models/{_REPO}/revisions", "revisions"),
    ("GET", rf"{_V1}/models/{_REPO}/repo/files", "file_list"),
    ("POST", rf"{_V1}/models/{_REPO}/repo/tag", "tag"),
    ("GET HEAD", rf"{_V1}/models/{_REPO}/repo", "model_file"),
    ("GET", rf"{_V1}/models/{_REPO}", "model_info"),
    ("POST", rf"{_V1}/repos/models/{_REPO}/info/lfs/objects/batch", "lfs_batch"),
    ("POST", rf"{_V1}/repos/models/{_REPO}/commit/(?P<revision>[^/]+)", "commit"),
    ("GET", rf"/openapi/v1/models/{_REPO}", "model_info"),
    ("PUT", r"/-/upload/(?P<oid>[0-9a-f]{64})", "upload_blob"),
    ("GET HEAD", rf"/-/{_REPO}/(?P<revision>[^/]+)/(?P<path>.+)", "stored_file"),
    ("POST", r"/api/repos/create", "hf_create"),
    ("POST", r"/api/validate-yaml", "hf_validate"),
    ("POST", rf"/api/models/{_REPO}/preupload/(?P<revision>[^/]+)", "hf_preupload"),
    ("POST", rf"/{_REPO}\.git/info/lfs/objects/batch", "hf_lfs_batch"),
    ("POST", rf"/api/models/{_REPO}/commit/(?P<revision>[^/]+)", "hf_commit"),
    ("GET", rf"/api/models/{_REPO}/tree/(?P<revision>[^/]+)", "hf_tree"),
    ("GET", rf"/api/models/{_REPO}/revision/(?P<revision>[^/]+)", "hf_info"),
    ("GET", rf"/api/models/{_REPO}", "hf_info"),
    ("GET HEAD", rf"/{_REPO}/resolve/(?P<revision>[^/]+)/(?P<path>.+)", "hf_file"),
]
