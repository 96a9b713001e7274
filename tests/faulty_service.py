"""A real HTTP service under judgement, well-behaved or not, for the tests of the local judge."""

import contextlib
import json
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Service:
    """A service whose replies are functions: path -> (prompt -> bytes | (status, bytes))."""

    def __init__(self, port=0):
        self.routes = {}
        self.bodies = []
        service = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self):  # noqa: N802
                self.reply(None)

            def do_POST(self):  # noqa: N802
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                service.bodies.append((self.path, body))
                self.reply(body["prompt"])

            def reply(self, prompt):
                route = service.routes.get(self.path)
                answer = route(prompt) if route else (404, b"")
                if answer is None:  # hang up without a word
                    self.close_connection = True
                    return
                status, body = answer if isinstance(answer, tuple) else (200, answer)
                # The other side may have stopped waiting.
                with contextlib.suppress(OSError):
                    self.send_response(status)
                    self.end_headers()
                    for piece in body if isinstance(body, list) else [body]:
                        self.wfile.write(piece)
                        self.wfile.flush()
                        if isinstance(body, list):
                            time.sleep(0.1)

            def log_message(self, *args):
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", port), Handler)
        self.server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, args=(0.05,), daemon=True).start()

    def close(self):
        self.server.shutdown()
        self.server.server_close()


def dumped(value):
    return json.dumps(value).encode()


def replying(value):
    """A route that answers every prompt with `response: value`."""
    return lambda prompt: dumped({"response": value})


def slowly(seconds, route):
    def wait(prompt):
        time.sleep(seconds)
        return route(prompt)

    return wait
