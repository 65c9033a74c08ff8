"""Small services that stores are reached with, or that stand in for a store that misbehaves."""

import contextlib
import datetime
import http.server
import json
import socket
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from support import stores


@dataclass
class Request:
    """What was asked."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes


@dataclass
class Answer:
    """What is said."""

    status: int = 200
    body: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)
    #: The length that is announced, where it is another one than the body's.
    length: int | None = None


@dataclass
class Service:
    """A running service."""

    url: str
    asked: list[Request] = field(default_factory=list)


@contextlib.contextmanager
def running(answer: Callable[[Request], Answer]) -> Iterator[Service]:
    """A service that answers as a function says."""

    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def handle_one(self):
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            headers = {name.lower(): value for name, value in self.headers.items()}
            request = Request(self.command, self.path, headers, body)
            service.asked.append(request)
            said = answer(request)
            self.send_response(said.status)
            for name, value in said.headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(said.body) if said.length is None else said.length))
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(said.body)
            if said.length is not None:
                self.close_connection = True

        do_GET = do_HEAD = do_PUT = do_POST = do_DELETE = handle_one

        def log_message(self, *_):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    service = Service(f"http://127.0.0.1:{server.server_port}")
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield service
    finally:
        server.shutdown()
        server.server_close()


def keys(token: str) -> Answer:
    """Temporary keys, as AWS hands them out to machines and pods."""
    expires = datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(hours=1)
    said = {"Code": "Success", "AccessKeyId": stores.KEY, "SecretAccessKey": stores.SECRET, "Token": token}
    return Answer(body=json.dumps(said | {"Expiration": f"{expires:%Y-%m-%dT%H:%M:%SZ}"}).encode())


@contextlib.contextmanager
def nowhere() -> Iterator[str]:
    """An address that nothing comes back from, as where a network policy swallows what is sent."""
    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    listener.listen(0)
    with contextlib.ExitStack() as stack:
        stack.callback(listener.close)
        # Whoever comes when the queue is full is not answered.
        for _ in range(4):
            waiting = stack.enter_context(socket.socket())
            waiting.setblocking(False)
            with contextlib.suppress(BlockingIOError):
                waiting.connect(listener.getsockname())
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
