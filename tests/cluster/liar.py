"""A proxy between clients and the balancer that breaks a promise, so that the checker has something to find."""

import contextlib
import http.client
import http.server
import random
import threading
import time
from collections.abc import Iterator

#: One in so many requests of the kind is answered wrongly.
EVERY = 3

#: Seconds for which a stale answer is kept.
STALE = 0.5


class Liar(http.server.ThreadingHTTPServer):
    """``fault`` is one of ``FAULTS``."""

    daemon_threads = True
    request_queue_size = 64

    def __init__(self, behind: tuple[str, int], fault: str):
        super().__init__(("127.0.0.1", 0), Handler)
        self.behind, self.fault = behind, fault
        self.order = random.Random(fault)
        self.kept: dict[str, tuple[float, tuple]] = {}
        self.lies, self.is_lying = 0, False

    def lie(self) -> bool:
        """Whether this is the one."""
        lies = self.is_lying and self.order.randrange(EVERY) == 0
        self.lies += lies
        return lies


class Handler(http.server.BaseHTTPRequestHandler):
    """Forwards requests, but for some."""

    protocol_version = "HTTP/1.1"
    server: Liar

    def log_message(self, *_) -> None:
        pass

    def do_GET(self) -> None:
        self._answer(b"")

    def do_POST(self) -> None:
        self._answer(self.rfile.read(int(self.headers.get("Content-Length", 0))))

    do_DELETE = do_POST

    def _answer(self, body: bytes) -> None:
        status, kind, content = self.server_answer(body)
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def server_answer(self, body: bytes) -> tuple[int, str, bytes]:
        fault, server = self.server.fault, self.server
        if fault in ("lost tag", "lost metric", "lost alias") and self.command == "POST":
            path = {"lost tag": "runs/set-tag", "lost metric": "runs/log-metric", "lost alias": "registered-models/alias"}[fault]
            if self.path.endswith(path) and server.lie():
                return 200, "application/json", b"{}"
        if fault == "stale read" and self.command == "GET":
            at, answer = server.kept.get(self.path, (0.0, None))
            if time.monotonic() - at < STALE and server.lie():
                return answer
            answer = self.forward(body)
            if time.monotonic() - at >= STALE:
                server.kept[self.path] = (time.monotonic(), answer)
            return answer
        if fault == "sent twice" and self.path.endswith(("runs/create", "model-versions/create")) and server.lie():
            self.forward(body)
        if fault == "same version" and self.path.endswith("model-versions/create"):
            answer = server.kept.get(self.path, (0.0, None))[1]
            if answer and server.lie():
                return answer
            answer = self.forward(body)
            if answer[0] == 200 and b"versioned 0" in answer[2]:
                server.kept[self.path] = (0.0, answer)
            return answer
        if fault == "taken name" and self.path.endswith("experiments/create"):
            answer = self.forward(body)
            if answer[0] == 400 and server.lie():
                return 200, "application/json", b'{"experiment_id": "1"}'
            return answer
        return self.forward(body)

    def forward(self, body: bytes) -> tuple[int, str, bytes]:
        connection = http.client.HTTPConnection(*self.server.behind, timeout=60)
        try:
            connection.request(self.command, self.path, body or None, {"Content-Type": "application/json"})
            response = connection.getresponse()
            return response.status, response.getheader("Content-Type") or "", response.read()
        finally:
            connection.close()


#: What the proxy can do wrong, and the kind of object that it must show in.
FAULTS = {
    "lost tag": {"tag"},
    "lost metric": {"metric"},
    "lost alias": {"alias"},
    "stale read": {"tag", "metric", "alias", "versions", "model"},
    "sent twice": {"runs", "versions"},
    "same version": {"versions"},
    "taken name": {"experiment"},
}


@contextlib.contextmanager
def liar(behind: tuple[str, int], fault: str) -> Iterator[Liar]:
    """Its ``server_address`` is that of the proxy."""
    server = Liar(behind, fault)
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
