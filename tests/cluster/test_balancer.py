"""The balancer's rules, with servers that fail at a chosen moment."""

import contextlib
import http.server
import threading
import time

import daemons
import pytest
import requests
from fleet import SERVERS
from support.ports import free_port


class Server(http.server.ThreadingHTTPServer):
    """Answers, or closes the connection of a request that it has received."""

    daemon_threads = True

    def __init__(self, port: int):
        super().__init__(("127.0.0.1", port), Handler)
        self.is_ready, self.breaks = True, False
        self.received: list[str] = []


class Handler(http.server.BaseHTTPRequestHandler):
    server: Server

    def log_message(self, *_) -> None:
        pass

    def do_GET(self) -> None:
        if self.path == "/readyz?needs=database":
            self._answer(200 if self.server.is_ready else 503)
            return
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.server.received.append(self.command)
        if not self.server.breaks:
            self._answer(200)

    do_POST = do_DELETE = do_PUT = do_PATCH = do_GET

    def _answer(self, status: int) -> None:
        self.send_response(status)
        self.send_header("Content-Length", "0")
        self.end_headers()


@pytest.fixture
def balanced():
    """Ports of servers behind a balancer, a function that starts one of them, and the balancer's URL."""
    ports = [free_port() for _ in range(SERVERS)]
    with contextlib.ExitStack() as stack:

        def start(port: int) -> Server:
            server = Server(port)
            thread = threading.Thread(target=server.serve_forever, args=(0.02,))
            thread.start()
            stack.callback(thread.join)
            stack.callback(server.server_close)
            stack.callback(server.shutdown)
            return server

        host, port = stack.enter_context(daemons.balancer(ports)).address
        yield ports, start, f"http://{host}:{port}/"


def ask_until_all_are_asked(servers: list[Server], url: str) -> None:
    deadline = time.monotonic() + 30
    while not all(server.received for server in servers):
        assert requests.post(url, data=b"{}", timeout=30).status_code == 200
        assert time.monotonic() < deadline, "some server is never asked"


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE"])
def test_a_request_that_changes_something_is_sent_once(balanced, method):
    ports, start, url = balanced
    servers = [start(port) for port in ports]
    for server in servers:
        server.breaks = True
    assert requests.request(method, url, data=b"{}", timeout=30).status_code == 502
    assert [received for server in servers for received in server.received] == [method]


def test_a_request_that_reads_is_sent_to_another_server(balanced):
    ports, start, url = balanced
    servers = [start(port) for port in ports]
    ask_until_all_are_asked(servers, url)
    before = len(servers[0].received)
    servers[0].breaks = True
    for _ in range(12):
        assert requests.get(url, timeout=30).status_code == 200
    assert len(servers[0].received) > before


def test_a_server_that_is_gone_costs_no_request(balanced):
    ports, start, url = balanced
    server = start(ports[2])
    # Before the balancer knows that the others are not there.
    for method in ["POST", "GET", "DELETE"] * 4:
        assert requests.request(method, url, timeout=30).status_code == 200
    assert len(server.received) == 12


def test_while_no_server_is_ready_all_are_asked(balanced):
    ports, start, url = balanced
    servers = [start(port) for port in ports]
    for server in servers:
        server.is_ready = False
    ask_until_all_are_asked(servers, url)
    deadline = time.monotonic() + 30
    # One that is ready again gets them all.
    servers[1].is_ready = True
    while True:
        before = [len(server.received) for server in servers]
        assert requests.post(url, data=b"{}", timeout=30).status_code == 200
        for _ in range(6):
            requests.post(url, data=b"{}", timeout=30)
        after = [len(server.received) for server in servers]
        if [later - earlier for earlier, later in zip(before, after, strict=True)] == [0, 7, 0]:
            break
        assert time.monotonic() < deadline, (before, after)
