"""A connection to a store that is cut, held up, damaged or written down on its way."""

import contextlib
import re
import socket
import threading
import time
from collections.abc import Iterator
from urllib.parse import urlsplit


class FaultProxy:
    """Passes bytes on between clients and a server, until it is told to misbehave.

    ``cut_after`` bytes of answers a connection is reset; ``damage_at`` that byte of the requests is changed;
    while ``hold`` is set nothing is passed on. Each fault strikes ``times`` connections; with ``only``, those
    alone whose last request begins with it.
    """

    def __init__(self, target: str):
        parts = urlsplit(target)
        self._target = (parts.hostname, parts.port)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        self.times = 0
        self.cut_answer_after: int | None = None
        self.cut_request_after: int | None = None
        self.damage_request_at: int | None = None
        self.only = b""
        self.struck = 0
        self._seen: dict[socket.socket, bytearray] = {}
        self._last: dict[tuple[socket.socket, socket.socket], bytes] = {}
        self._go = threading.Event()
        self._go.set()
        self._lock = threading.Lock()
        threading.Thread(target=self._accept, daemon=True).start()

    def heads(self) -> list[str]:
        """The first line and the headers of every request that has passed; bodies must not look like one."""
        head = re.compile(rb"^[A-Z]+ \S+ HTTP/1\.1\r\n(?:[^\r\n]+\r\n)*\r\n", re.MULTILINE)
        return [found.decode() for seen in list(self._seen.values()) for found in head.findall(bytes(seen))]

    def hold(self) -> None:
        self._go.clear()

    def release(self) -> None:
        self._go.set()

    def close(self) -> None:
        self._listener.close()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                server = socket.create_connection(self._target)
                pair = (client, server)
                threading.Thread(target=self._pump, args=(client, server, pair, "request"), daemon=True).start()
                threading.Thread(target=self._pump, args=(server, client, pair, "answer"), daemon=True).start()

    def _strike(self) -> bool:
        with self._lock:
            if self.times <= 0:
                return False
            self.times -= 1
            self.struck += 1
            return True

    def _pump(self, source, target, pair, direction) -> None:
        passed = 0
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                self._go.wait()
                # Asked for each time: connections are kept and used again.
                cut = self.cut_request_after if direction == "request" else self.cut_answer_after
                damage = self.damage_request_at if direction == "request" else None
                if damage is not None and passed <= damage < passed + len(data) and self._strike():
                    data = bytearray(data)
                    data[damage - passed] ^= 0xFF
                if direction == "request":
                    self._seen.setdefault(source, bytearray()).extend(data)
                if direction == "request":
                    self._last[pair] = data
                spared = not self._last.get(pair, b"").startswith(self.only)
                if cut is not None and passed + len(data) > cut and not spared and self._strike():
                    break
                target.sendall(data)
                passed += len(data)
            else:
                # Whoever was speaking has finished.
                with contextlib.suppress(OSError):
                    target.shutdown(socket.SHUT_WR)
                return
        for end in pair:
            with contextlib.suppress(OSError):
                # A reset, as a router does that has forgotten the connection. The other thread stops reading, without
                # which the socket would stay open; a shutdown for writing would be an ordinary end of the connection.
                end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
                end.shutdown(socket.SHUT_RD)
            end.close()


@contextlib.contextmanager
def before(target: str) -> Iterator[FaultProxy]:
    proxy = FaultProxy(target)
    try:
        yield proxy
    finally:
        proxy.release()
        proxy.close()


def wait_until(condition, what: str, seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"waited {seconds} s for {what}"
        time.sleep(0.05)


def half_an_upload(url: str, path: str, sent: int, announced: int, method: str = "PUT") -> socket.socket:
    """An upload of which no more comes for now."""
    parts = urlsplit(url)
    client = socket.create_connection((parts.hostname, parts.port))
    head = f"{method} {path} HTTP/1.1\r\nHost: {parts.netloc}\r\nContent-Length: {announced}\r\n\r\n"
    client.sendall(head.encode())
    client.sendall(bytes(sent))
    return client
