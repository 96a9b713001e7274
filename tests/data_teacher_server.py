"""A scripted OpenAI-compatible server on loopback, for tests: it serves, stalls, lies and dies."""

import json
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

# A script maps (number of the call from 0, request) to what happens: a reply's text, an HTTP
# status, or one of these words; a (status, text) pair is an error with that text.
STALL, HANG_UP, REFUSE, CUT_OFF, NOT_JSON = "stall", "hang up", "refuse", "cut off", "not json"
FILTERED = "filtered"


@dataclass(frozen=True)
class Raw:
    """A reply of any body: `content` as bytes, or as JSON of anything else."""

    content: Any
    kind: str = "application/json"


Script = Callable[[int, dict[str, Any]], Any]


class TeacherServer:
    """`with TeacherServer(script) as server:` — `server.url`, `server.requests`."""

    def __init__(self, script: Script, stall: float = 3.0) -> None:
        self.requests: list[dict[str, Any]] = []
        self._lock = threading.Lock()
        owner = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:  # noqa: N802 - the library's name
                body = json.loads(self.rfile.read(int(self.headers["content-length"])))
                with owner._lock:
                    number = len(owner.requests)
                    owner.requests.append(body)
                what = script(number, body)
                if what == STALL:
                    time.sleep(stall)
                    what = 500
                if what == HANG_UP:
                    self.connection.close()
                    return
                if isinstance(what, tuple):
                    self._send(what[0], json.dumps({"error": {"message": what[1]}}))
                elif isinstance(what, int):
                    self._send(what, json.dumps({"error": {"message": f"scripted {what}"}}))
                elif what == NOT_JSON:
                    self._send(200, "<html>busy</html>")
                elif isinstance(what, Raw):
                    body = what.content
                    text = body.decode() if isinstance(body, bytes) else json.dumps(body)
                    self._send(200, text, what.kind)
                else:
                    self._send(200, json.dumps(completion(what)))

            def _send(self, status: int, text: str, kind: str = "application/json") -> None:
                data = text.encode()
                self.send_response(status)
                self.send_header("content-type", kind)
                self.send_header("content-length", str(len(data)))
                if status in (429, 500, 503):
                    self.send_header("retry-after-ms", "20")
                self.end_headers()
                self.wfile.write(data)

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_port}/v1"

    def __enter__(self) -> "TeacherServer":
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()


def completion(what: Any) -> dict[str, Any]:
    """What an honest endpoint answers, with this text."""
    message: dict[str, Any] = {"role": "assistant", "content": what}
    finish = "stop"
    if what == REFUSE:
        message = {"role": "assistant", "content": None, "refusal": "I will not."}
    if what == FILTERED:
        message["content"], finish = "", "content_filter"
    if what == CUT_OFF:
        message["content"], finish = '{"pairs": [{"question": "什么', "length"
    return {
        "id": "x",
        "object": "chat.completion",
        "created": 0,
        "model": "teacher",
        "choices": [{"index": 0, "message": message, "finish_reason": finish}],
        "usage": {"prompt_tokens": 100, "completion_tokens": 50, "total_tokens": 150},
    }


def good_reply(body: dict[str, Any]) -> str:
    """One honest pair about the chunk in the request: its first sentence, as a fact."""
    text = body["messages"][-1]["content"].split("<<<\n")[1].split("\n>>>")[0]
    prose = [line for line in text.split("\n") if line.startswith("主题")]
    subject = prose[0].split("是")[0]
    pair = {
        "kind": "definition",
        "question": f"什么是{subject}？",
        "answer": prose[0],
        "wordings": [f"请解释{subject}。"],
    }
    return json.dumps({"pairs": [pair]}, ensure_ascii=False)
