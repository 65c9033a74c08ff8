"""A receiver of webhooks: an HTTP server on the loopback address that keeps what it is told.

    with receiver() as hook:
        ...  # a webhook at hook.url
        message = hook.next()
"""

import contextlib
import http.server
import json
import queue
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

#: A key of secrets for servers under test, and the settings with which they reach a receiver.
KEY = "cw_0x689RpI-jtRR7oE8h_eQsKImvJapLeSbXpwF4e4="
SETTINGS = {
    "MLFLOW_WEBHOOK_SECRET_ENCRYPTION_KEY": KEY,
    "MLFLOW_WEBHOOK_ALLOW_PRIVATE_IPS": "true",
    "MLFLOW_WEBHOOK_ALLOWED_SCHEMES": "http,https",
}

#: Seconds that a message may take.
PATIENCE = 60


@dataclass(frozen=True)
class Message:
    path: str
    headers: Mapping[str, str]
    body: bytes

    @property
    def event(self) -> str:
        """Such as ``model_version.created``."""
        content = json.loads(self.body)
        return f"{content['entity']}.{content['action']}"

    @property
    def data(self) -> dict:
        return json.loads(self.body)["data"]

    @property
    def delivery_id(self) -> str:
        return self.headers["X-MLflow-Delivery-Id"]


class Receiver:
    def __init__(self, url: str):
        self.url = url
        #: Statuses of the next answers; then 200.
        self.statuses: queue.SimpleQueue[int] = queue.SimpleQueue()
        #: While it is not set, nothing is answered.
        self.answering = threading.Event()
        self.answering.set()
        self._messages: queue.SimpleQueue[Message] = queue.SimpleQueue()

    def next(self) -> Message:
        """The next message, waited for if need be."""
        return self._messages.get(timeout=PATIENCE)

    @property
    def is_idle(self) -> bool:
        """Whether every message was taken."""
        return self._messages.empty()


@contextlib.contextmanager
def receiver() -> Iterator[Receiver]:
    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self):
            body = self.rfile.read(int(self.headers["Content-Length"]))
            hook._messages.put(Message(self.path, self.headers, body))
            hook.answering.wait(PATIENCE)
            status = 200
            with contextlib.suppress(queue.Empty):
                status = hook.statuses.get_nowait()
            # The server may be gone.
            with contextlib.suppress(OSError):
                self.send_response(status)
                self.send_header("Content-Type", "text/plain; charset=utf-8")
                self.send_header("Content-Length", "6")
                self.end_headers()
                self.wfile.write(b"heard\n")

        def log_message(self, *_):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    hook = Receiver(f"http://127.0.0.1:{server.server_port}")
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield hook
    finally:
        hook.answering.set()
        server.shutdown()
        server.server_close()
        thread.join()
