"""Stands before a store, and has it answer otherwise than it would."""

import contextlib
import http.client
import threading
from collections.abc import Iterator
from datetime import timedelta
from email.utils import format_datetime, parsedate_to_datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit

ERROR = "<?xml version='1.0'?><Error><Code>{code}</Code><Message>No.</Message></Error>"


class Proxy:
    """``denied`` are methods that are refused, with ``error``; ``ahead`` is how far its clock is ahead, ``host`` what it makes of the
    name by which it is called."""

    def __init__(self, target: str):
        self.target = urlsplit(target).netloc
        self.denied: set[str] = set()
        self.error = (403, "AccessDenied")
        self.ahead = timedelta()
        self.host: str | None = None
        handler = type("Handler", (Handler,), {"proxy": self})
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()


class Handler(BaseHTTPRequestHandler):
    proxy: Proxy
    protocol_version = "HTTP/1.1"

    def log_message(self, *_) -> None:
        pass

    def _pass(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        if self.command in self.proxy.denied:
            status, code = self.proxy.error
            return self._answer(status, {"Content-Type": "application/xml"}, ERROR.format(code=code).encode())
        headers = {name.lower(): value for name, value in self.headers.items()}
        headers |= {"host": self.proxy.host} if self.proxy.host else {}
        connection = http.client.HTTPConnection(self.proxy.target, timeout=60)
        connection.putrequest(self.command, self.path, skip_host=True, skip_accept_encoding=True)
        for name, value in headers.items():
            connection.putheader(name, value)
        connection.endheaders(body or None)
        answer = connection.getresponse()
        found = answer.read()
        headers = {name: value for name, value in answer.getheaders() if name.lower() not in ("transfer-encoding", "date", "content-length")}
        for name in [name for name in headers if name.lower() == "last-modified"]:
            headers[name] = format_datetime(parsedate_to_datetime(headers[name]) + self.proxy.ahead, usegmt=True)
        self._answer(answer.status, headers, found)
        connection.close()

    def _answer(self, status: int, headers: dict, body: bytes) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        if status != 204:
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    do_GET = do_PUT = do_HEAD = do_DELETE = do_POST = _pass


@contextlib.contextmanager
def before(target: str) -> Iterator[Proxy]:
    proxy = Proxy(target)
    try:
        yield proxy
    finally:
        proxy.server.shutdown()
        proxy.server.server_close()
