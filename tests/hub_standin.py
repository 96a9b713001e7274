"""A loopback model hub: ModelScope's HTTP API as its SDK calls it, and Hugging Face's (no Xet).

python -m tests.hub_standin --root DIR --port N [--publish owner/name=DIR …] [--log FILE]

Point the real SDKs at it: `MODELSCOPE_ENDPOINT=http://127.0.0.1:N` (or `endpoint=`), and
`HF_ENDPOINT` for huggingface_hub. Paths and payloads were read off modelscope 1.40.2,
modelscope-hub 0.5.1 and huggingface_hub 2.4.0. Repositories are plain directories,
`root/owner/name/revision/…`, so that a test can look at what an upload left there.

Faults are asked for, never random: `hub.fail("*.safetensors", "cut", times=2)`.
"""

import argparse
import dataclasses
import fnmatch
import hashlib
import json
import shutil
import sys
import threading
from http.server import ThreadingHTTPServer
from pathlib import Path
from typing import Any

from tests.hub_api import Fault, HubHandler, Request


class HubStandin:
    """The server: `with HubStandin(root) as hub:`, then use `hub.endpoint`.

    `token`: when given, every API call must carry it (Bearer header or m_session_id cookie).
    """

    def __init__(
        self, root: Path, *, token: str | None = None, port: int = 0, log: Path | None = None
    ):
        self.root = Path(root)
        self.root.mkdir(parents=True, exist_ok=True)
        self.token = token
        self.faults: list[Fault] = []
        self.requests: list[Request] = []
        self.commits: list[dict[str, Any]] = []
        self.private: set[str] = set()
        self._log = log
        self._lock = threading.Lock()
        self._hashes: dict[tuple[str, int, int], str] = {}
        self._server = ThreadingHTTPServer(
            ("127.0.0.1", port), type("H", (HubHandler,), {"hub": self})
        )
        self._server.daemon_threads = True
        self.port = self._server.server_address[1]
        self.endpoint = f"http://127.0.0.1:{self.port}"

    # --- for tests -----------------------------------------------------------------------------

    def publish(self, repo_id: str, source: Path, revision: str = "master") -> Path:
        """Copy `source` in as `repo_id` at `revision`; returns where it lies."""
        target = self.root / repo_id / revision
        shutil.copytree(source, target, dirs_exist_ok=True)
        return target

    def fail(self, pattern: str, kind: str, **options: Any) -> Fault:
        """Ask for a fault; it wears off after `times` requests (default 1)."""
        fault = Fault(pattern, kind, **options)
        self.faults.append(fault)
        return fault

    def downloads(self, pattern: str = "*") -> list[Request]:
        """Requests that sent bytes of a matching repository file."""
        return [r for r in self.requests if r.path and r.sent and fnmatch.fnmatch(r.path, pattern)]

    def serve(self) -> None:
        """Serve in this thread until closed or interrupted."""
        self._server.serve_forever(poll_interval=0.05)

    def start(self) -> "HubStandin":
        """Serve in a background thread."""
        threading.Thread(target=self.serve, daemon=True).start()
        return self

    def close(self) -> None:
        """Stop serving and free the port."""
        self._server.shutdown()
        self._server.server_close()

    __enter__ = start

    def __exit__(self, *_: object) -> None:
        self.close()

    # --- for the handler -----------------------------------------------------------------------

    def take_fault(self, path: str, kind: str = "") -> Fault | None:
        with self._lock:
            for fault in self.faults:
                wanted = fault.kind == kind if kind else True
                if fault.times > 0 and wanted and fnmatch.fnmatch(path, fault.pattern):
                    fault.times -= 1
                    return fault
        return None

    def record(self, request: Request) -> None:
        with self._lock:
            self.requests.append(request)
            if self._log:
                with self._log.open("a", encoding="utf-8") as stream:
                    stream.write(json.dumps(dataclasses.asdict(request)) + "\n")

    def sha256(self, path: Path) -> str:
        stat = path.stat()
        key = (str(path), stat.st_size, stat.st_mtime_ns)
        if key not in self._hashes:
            digest = hashlib.sha256()
            with path.open("rb") as stream:
                while piece := stream.read(1 << 20):
                    digest.update(piece)
            self._hashes[key] = digest.hexdigest()
        return self._hashes[key]

    def repo_dir(self, repo_id: str, revision: str) -> Path | None:
        directory = self.root / repo_id / revision
        return directory if directory.is_dir() else None

    def blob(self, oid: str) -> Path:
        return self.root / ".blobs" / oid


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--root", type=Path, required=True, help="where the repositories lie")
    parser.add_argument("--port", type=int, default=0, help="0 takes a free one")
    parser.add_argument("--token", help="the only token accepted")
    parser.add_argument("--log", type=Path, help="append one JSON line per request")
    parser.add_argument("--publish", action="append", default=[], metavar="OWNER/NAME=DIR")
    args = parser.parse_args()
    hub = HubStandin(args.root, token=args.token, port=args.port, log=args.log)
    for item in args.publish:
        repo, _, directory = item.partition("=")
        hub.publish(repo, Path(directory))
    print(hub.endpoint, flush=True)
    try:
        hub.serve()
    except KeyboardInterrupt:
        hub.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
